package e2e

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/internal/cli"
	"laurel/witness"
)

// proven returns the certified answer of a frontend to a key.
func (f *frontend) proven(key string) (string, error) {
	a, err := ask("GET", f.url+"/v1/proof/"+key, "")
	if err != nil {
		return "", err
	}
	var p witness.Proven
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK || p.Answer == nil {
		return "", fmt.Errorf("%d %s", a.status, a.body)
	}
	return *p.Answer, nil
}

// withLog calls f with the log of a frontend that is stopped.
func (f *frontend) withLog(use func(l *raftlog.Log, last uint64) error) {
	f.group.t.Helper()
	s, err := raftlog.Open(raftlog.Options{
		Dir: f.data, ID: f.id, Logger: slog.New(slog.DiscardHandler), Fatal: func(err error) { f.group.t.Error(err) },
	})
	if err != nil {
		f.group.t.Fatal(err)
	}
	last, err := s.Log.LastIndex()
	if err = errors.Join(err, use(s.Log, last), s.Close()); err != nil {
		f.group.t.Fatal(err)
	}
}

// A lying master gave it nothing in the place of an event, under the same number.
func TestAMisledFrontendProcessGoesBackWhereverItIsKilled(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSwornGroup(t)
	bard := filepath.Join(g.dir, "bard.key")
	if r := command(t, "bard", "key", "new", "--out", bard); r.code != 0 {
		t.Fatal(r.err)
	}
	g.cli(0, g.key, "access", "grant", "bard/cacofonix", "--role", "bard", "--key", bard)
	const key = "bards/bard/cacofonix"
	// rain posts an event, and waits until running frontends have certified it. One whose answer
	// was lost is posted twice, so that the present answer tells more than that it has changed.
	rain := func(text string) {
		t.Helper()
		urls := urls(g.running())
		eventually(t, "an event is taken", func() error {
			if r := command(t, "bard", "alert", "OG50BC/rain", "--text", text, "--to", urls, "--key", bard); r.code != 0 {
				return errors.New(r.err)
			}
			return nil
		})
		for _, f := range g.running() {
			eventually(t, f.id+" has certified it", func() error {
				want := get(t, f.url+"/v1/"+key).body
				answer, err := f.proven(key)
				if err == nil && answer != want {
					err = fmt.Errorf("it has certified %s, and the present answer is %s", answer, want)
				}
				return err
			})
		}
	}
	rain("one")
	misled, like := g.frontends[3], g.frontends[2]
	misled.Kill()
	rain("two")
	like.Kill()
	var missed []*raft.Log
	misled.withLog(func(_ *raftlog.Log, last uint64) error {
		like.withLog(func(l *raftlog.Log, end uint64) error {
			for index := last + 1; index <= end; index++ {
				e := new(raft.Log)
				if err := l.GetLog(index, e); err != nil {
					return err
				}
				missed = append(missed, e)
			}
			return nil
		})
		return nil
	})
	misled.withLog(func(l *raftlog.Log, _ uint64) error {
		for _, e := range missed {
			if e.Type == raft.LogCommand && strings.Contains(string(e.Data), "two") {
				e.Type, e.Data = raft.LogNoop, nil
			}
		}
		return l.StoreLogs(missed)
	})
	like.start().waitReady()
	if code := misled.start().exit(t); code != cli.ExitGoBack {
		t.Fatalf("exit code %d", code)
	}
	for range 4 {
		misled.start()
		eventually(t, "it begins", func() error {
			if misled.output(t) == "" && !misled.Ended() {
				return errors.New("it has logged nothing")
			}
			return nil
		})
		misled.Kill()
	}
	misled.start().waitReady()
	rain("three")
	for _, f := range g.frontends {
		eventually(t, "nobody is put out", func() error {
			s, err := f.status()
			for _, m := range s.Frontends {
				if m.PutOut != nil {
					return fmt.Errorf("%s says that %s %s", f.id, m.ID, m.PutOut.Text)
				}
			}
			return err
		})
	}
}
