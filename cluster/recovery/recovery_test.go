package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster"
	"laurel/cluster/raftlog"
	"laurel/fsm/entry"
	"laurel/fsm/incarnation"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	// patience is how long a test waits for what must happen.
	patience = time.Minute
	// timeScale stretches the timings of a member, so that a busy machine neither ends it nor has a
	// post without an outcome.
	timeScale = 3
)

// options returns those of the member f1 with the data in dir.
func options(t *testing.T, dir string, secure bool) cluster.Options {
	t.Helper()
	o := cluster.Options{ID: "f1", Dir: dir, Peer: "127.0.0.1:0", URL: "http://127.0.0.1:1", Logger: quiet,
		Metrics: prometheus.NewRegistry(), Guarded: secure, TimeScale: timeScale}
	if !secure {
		return o
	}
	self, err := cluster.ServerID(dir, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	who := pki.Options{Dir: pki.DirIn(dir), Member: self, Hosts: pki.LoopbackHosts}
	if o.Identity, err = pki.Open(who); errors.Is(err, fs.ErrNotExist) {
		o.Identity, err = pki.Bootstrap(who)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// lead starts a member, calls f when it is the master and its store is founded, and stops it.
func lead(t *testing.T, o cluster.Options, f func(*cluster.Member)) {
	t.Helper()
	m, err := cluster.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	for begun := time.Now(); m.Ready(t.Context()) != nil || m.Incarnation() == "" || o.Guarded && len(m.Access().Authorities) == 0; {
		select {
		case err := <-m.Ended():
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(begun) > patience {
			t.Fatal("the member does not lead")
		}
	}
	f(m)
}

var day = time.Date(2026, 1, 30, 9, 0, 0, 0, time.UTC)

func event(seq uint64) score.Event {
	return score.Event{
		ID: fmt.Sprintf("bard/a-%d", seq), IDGiven: true, Source: "bard/a", Seq: seq, Type: score.TypeAlert,
		Time: day, ContestID: "OG50BC/rain", Data: &score.Alert{Text: "rain"},
	}
}

// lostServers are the members that are lost.
var lostServers = []raft.Server{
	{ID: "f2@gone", Address: "127.0.0.1:1", Suffrage: raft.Voter},
	{ID: "f3@gone", Address: "127.0.0.1:2", Suffrage: raft.Voter},
}

// withLog opens the log of a member that does not run.
func withLog(t *testing.T, dir string, f func(*raftlog.Store)) {
	t.Helper()
	s, err := raftlog.Open(raftlog.Options{
		Dir: dir, ID: "f1", Logger: quiet, Fatal: func(err error) { panic(err) }, StallTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// survivor returns the directory of a member of three, with two events that were applied and
// one at the end of its log, of which it does not know whether it was committed.
func survivor(t *testing.T, secure bool) (dir string, before *access.State) {
	t.Helper()
	dir = t.TempDir()
	o := options(t, dir, secure)
	o.Bootstrap = true
	lead(t, o, func(m *cluster.Member) {
		for seq := range uint64(2) {
			if secure {
				break
			}
			r, err := m.Post(t.Context(), score.Post{Events: []score.Event{event(seq + 1)}})
			if err != nil || r[0].Status != score.Applied {
				t.Fatal(r, err)
			}
		}
		before = m.Access()
	})
	withLog(t, dir, func(s *raftlog.Store) {
		last, term, err := s.Last()
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Configuration()
		if err != nil {
			t.Fatal(err)
		}
		c.Servers = append(c.Servers, lostServers...)
		post, problem := entry.EncodePost(score.Post{Events: []score.Event{event(3)}})
		if problem != nil {
			t.Fatal(problem)
		}
		err = s.Log.StoreLogs([]*raft.Log{
			{Index: last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)},
			{Index: last + 2, Term: term, Type: raft.LogCommand, Data: entry.Encode([]entry.EncodedPost{post})},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return dir, before
}

// recoverAll recovers the member of a directory.
func recoverAll(t *testing.T, dir string) Outcome {
	t.Helper()
	m, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Plan(""); err != nil {
		t.Fatal(err)
	}
	o, err := m.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func image(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// checkRecovered starts a recovered member, and checks that it leads alone, in another
// incarnation, with all that its log had.
func checkRecovered(t *testing.T, dir string, secure bool, before *access.State) {
	t.Helper()
	lead(t, options(t, dir, secure), func(m *cluster.Member) {
		now := m.Access()
		if now.Settings.Lineage != before.Settings.Lineage || now.Settings.Incarnation == before.Settings.Incarnation ||
			!slices.Equal(now.Former, []string{before.Settings.Incarnation}) {
			t.Errorf("the store has the settings %+v and was in %q; it had %+v", now.Settings, now.Former, before.Settings)
		}
		for _, id := range []string{"f2@gone", "f3@gone"} {
			if _, out := now.Removed[id]; !out {
				t.Errorf("%s is not removed", id)
			}
		}
		if f := m.Frontends(); len(f.Frontends) != 1 || !f.Frontends[0].Voter || f.Master != "f1" {
			t.Errorf("the group is %+v", f)
		}
		if secure {
			return
		}
		// The third event was at the end of the log. It is a duplicate now, and the fourth is next.
		for i, want := range []string{score.Duplicate, score.Applied} {
			seq := uint64(3 + i)
			r, err := m.Post(t.Context(), score.Post{Events: []score.Event{event(seq)}})
			if err != nil || r[0].Status != want || want == score.Applied && r[0].Revision != 3+incarnation.Jump+1 {
				t.Errorf("event %d: %+v, %v; want it %s", seq, r, err, want)
			}
		}
	})
	if err := cluster.CheckEnded(dir); err != nil {
		t.Error(err)
	}
}

// steps are those before which a recovery may be interrupted.
var steps = []string{"plan", "apply", "certificate", "term", "snapshot", "identity", "end"}

func TestAnInterruptedRecoveryIsFinishedByAnother(t *testing.T) {
	for _, secure := range []bool{false, true} {
		dir, before := survivor(t, secure)
		for _, step := range steps {
			t.Run(fmt.Sprintf("%s, secure %t", step, secure), func(t *testing.T) {
				t.Parallel()
				dir := image(t, dir)
				m, err := Open(dir, quiet)
				if err != nil {
					t.Fatal(err)
				}
				killed := "" // what a kill at this step leaves
				stop := errors.New("stop")
				m.step = func(name string) error {
					if name != step {
						return nil
					}
					killed = image(t, dir)
					return stop
				}
				err = m.Plan("")
				if err == nil {
					_, err = m.Finish()
				}
				if !errors.Is(err, stop) {
					t.Fatalf("before %s it ended with %v", step, err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				for _, left := range []string{killed, dir} {
					err := cluster.CheckEnded(left)
					if begun := step != "plan"; begun != errors.Is(err, raftlog.ErrRecovering) {
						t.Errorf("whether the member starts before it is finished: %v", err)
					}
					recoverAll(t, left)
				}
				checkRecovered(t, killed, secure, before)
			})
		}
	}
}

func TestAMemberWithoutTheAuthoritysKeyGetsANewAuthority(t *testing.T) {
	dir, before := survivor(t, true)
	keys, err := filepath.Glob(filepath.Join(pki.DirIn(dir), "authority-*.pem"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := os.Remove(keys[0]); err != nil {
		t.Fatal(err)
	}
	o := recoverAll(t, dir)
	if o.Authority == "" {
		t.Fatal("it has no new authority")
	}
	checkRecovered(t, dir, true, before)
	lead(t, options(t, dir, true), func(m *cluster.Member) {
		if list := m.Access().Authorities; len(list) != 1 || access.Fingerprint(list[0]) != o.Authority {
			t.Errorf("the group trusts %d authorities; want %s", len(list), o.Authority)
		}
		if holders := m.Access().KeyHolders(); len(holders) > 0 {
			t.Errorf("the lost members %q count as holders of its key", holders)
		}
	})
}

func TestTheLostVotersHoldTheKeyOfAnAuthorityThatStays(t *testing.T) {
	dir, _ := survivor(t, true)
	if o := recoverAll(t, dir); o.Authority != "" {
		t.Fatalf("it has the new authority %s", o.Authority)
	}
	lead(t, options(t, dir, true), func(m *cluster.Member) {
		if holders := m.Access().KeyHolders(); !slices.Equal(holders, []string{"f2", "f3"}) {
			t.Errorf("holders of the key are %q", holders)
		}
	})
}

func TestLookingChangesNothing(t *testing.T) {
	dir, before := survivor(t, false)
	m, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if m.Index != m.Applied+2 || m.Revision != 2 || len(m.Others) != 2 || m.Incarnation != before.Settings.Incarnation {
		t.Errorf("it shows %+v", m)
	}
	if list, most := m.Answering(t.Context()); len(list) > 0 || most {
		t.Errorf("%v answer, a majority: %t", list, most)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	withLog(t, dir, func(s *raftlog.Store) {
		c, err := s.Configuration()
		if err != nil || len(c.Servers) != 3 {
			t.Errorf("the group has %v, %v", c.Servers, err)
		}
	})
	if err := cluster.CheckEnded(dir); err != nil {
		t.Error(err)
	}
}

func TestAMajorityThatAnswersIsNotLost(t *testing.T) {
	dir, _ := survivor(t, false)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	withLog(t, dir, func(s *raftlog.Store) {
		last, term, _ := s.Last()
		c, _ := s.Configuration()
		c.Servers[1].Address = raft.ServerAddress(l.Addr().String())
		e := &raft.Log{Index: last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}
		if err := s.Log.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	})
	m, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	list, most := m.Answering(t.Context())
	for end := time.Now().Add(patience); !most && time.Now().Before(end); { // its time was over
		list, most = m.Answering(t.Context())
	}
	if len(list) != 1 || list[0].ID != "f2@gone" || !most {
		t.Errorf("%v answer, a majority: %t", list, most)
	}
}

func TestOnlyAMemberThatIsLeftIsRecovered(t *testing.T) {
	whole, _ := survivor(t, false)
	alone := t.TempDir()
	o := options(t, alone, false)
	o.Bootstrap = true
	lead(t, o, func(*cluster.Member) {})
	mark := func(name, text string) string {
		dir := image(t, whole)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	out := image(t, whole)
	withLog(t, out, func(s *raftlog.Store) {
		last, term, _ := s.Last()
		e := &raft.Log{Index: last + 1, Term: term, Type: raft.LogConfiguration,
			Data: raft.EncodeConfiguration(raft.Configuration{Servers: lostServers})}
		if err := s.Log.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	})
	for _, c := range []struct{ what, dir, want string }{
		{"an empty directory", t.TempDir(), "no frontend's data"},
		{"a removed member", mark("removed", "removed, by f2\n"), "was removed"},
		{"one with another state", mark("diverged", "another state\n"), "contradicts"},
		{"one of a sworn group", mark("sworn.json", "{}"), "sworn"},
		{"one that goes back", mark("goback.json", `{"index":1,"reason":"r","pending":true}`), "leaves its history"},
		{"one with a damaged plan", mark("recovery.json", "x"), "damaged"},
		{"the only voter", alone, "no majority is lost"},
		{"one that is not in its group", out, "not in its group"},
	} {
		m, err := Open(c.dir, quiet)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an error with %q", c.what, err, c.want)
		}
	}
	first, err := Open(whole, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Open(whole, quiet); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a directory in use: %v", err)
	}
}
