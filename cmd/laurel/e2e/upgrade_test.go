package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"laurel/fsm"
	"laurel/fsm/database"
	"laurel/fsm/head"
	"laurel/internal/cli"
)

// beforeFormats is the last commit whose program knows no formats of a group.
const beforeFormats = "66920e18"

// olderLaurel builds laurel as of beforeFormats, once, and returns its path.
var olderLaurel = sync.OnceValues(func() (path string, err error) {
	source, path := filepath.Join(programs.dir, "older", "source"), filepath.Join(programs.dir, "older", "laurel")
	script := `mkdir -p "$1" && git archive "$3" | tar -x -C "$1" && cd "$1" && go build -trimpath -o "$2" ./cmd/laurel && rm -r "$1"`
	c := exec.Command("sh", "-ec", script, "sh", source, path, beforeFormats)
	c.Dir = repository
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build laurel of %s: %w\n%s", beforeFormats, err, out)
	}
	return path, nil
})

// needsOlderLaurel returns the path of laurel as of beforeFormats.
func needsOlderLaurel(t testing.TB) string {
	t.Helper()
	c := exec.Command("git", "cat-file", "-e", beforeFormats+"^{commit}")
	c.Dir = repository
	if out, err := c.CombinedOutput(); err != nil {
		skipOrFail(t, "the history of this checkout does not have %s, with which versions are mixed: %v %s", beforeFormats, err, out)
	}
	path, err := olderLaurel()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// newOlderGroup starts a group of three that run an older program.
func newOlderGroup(t testing.TB, older string, env ...string) *group {
	t.Helper()
	g := &group{t: t, dir: t.TempDir(), logs: logs(t), env: env}
	for range members {
		f := g.add()
		f.build = older
		f.start().waitReady()
	}
	return g
}

// changeBuild restarts a frontend in order with another program; "" is the one under test.
func (f *frontend) changeBuild(build string) {
	t := f.group.t
	t.Helper()
	f.signal(t, syscall.SIGTERM)
	if code := f.exit(t); code != 0 {
		t.Errorf("%s ended with exit code %d", f.id, code)
	}
	f.build = build
	f.start().waitReady()
}

// expectFormat waits until the frontends that know formats say that the group has one.
func (g *group) expectFormat(want uint64) {
	g.t.Helper()
	for _, f := range g.running() {
		if f.build != "" {
			continue
		}
		eventually(g.t, fmt.Sprintf("%s has format %d", f.id, want), func() error {
			s, err := f.status()
			if err == nil && s.Format != want {
				err = fmt.Errorf("it has format %d", s.Format)
			}
			return err
		})
	}
}

// A group is updated while clients post and read: its followers one after the other, one of
// them killed meanwhile, and its master last.
func TestAGroupIsUpdatedOneFrontendAfterAnother(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	older := needsOlderLaurel(t)
	eachSeed(t, func(t *testing.T, seed uint64) {
		g := newOlderGroup(t, older, soon)
		h := newHistory()
		setUp(t, g.frontends[0], h)
		var urls []string
		for _, f := range g.frontends {
			urls = append(urls, f.url)
		}
		c := newClientPool(urls, h, seed)
		rest := func() { time.Sleep(byForm(200*time.Millisecond, time.Second, 10*time.Second)) } // for the clients
		g.updateAll(rest)
		if byForm(false, false, true) {
			g.awaitRaise()
		} else {
			// The master asks its members from time to time what they read: of the last update
			// it may not know yet.
			eventually(t, "the format is raised", func() error {
				o := command(t, "laurel", "cluster", "format", "raise", "--to", strings.Join(urls, ","))
				if o.code != 0 || !strings.Contains(o.out, "format 2") {
					return errors.New(o.String())
				}
				return nil
			})
		}
		g.expectFormat(2)
		rest()
		killed := g.follower()
		killed.Kill()
		rest()
		killed.start().waitReady()
		rest()
		h.awaitEnough(t, 100, 500)
		c.stopAll()
		lookAtAll(t, g.frontends, h) // settle could repair what is missing
		c.settle(t)
		lookAtAll(t, g.frontends, h)
		events, err := h.close(g.frontends[0].timelines(t))
		if err != nil {
			t.Error(err)
		}
		g.expectRevision(uint64(events))
		g.expectTheSame()
		if len(h.wrong) > 0 {
			t.Errorf("%d answers that no fault excuses, the first: %v", len(h.wrong),
				errors.Join(h.wrong[:min(len(h.wrong), 5)]...))
		}
		if len(h.posted) < 100 || len(h.read) < 500 {
			t.Errorf("%d events acked and %d reads answered are too few to show anything", len(h.posted), len(h.read))
		}
		if err := h.check(); err != nil {
			t.Error(err)
		}
		t.Logf("%d operations, %d events acked, %d reads answered", len(h.known)+len(h.aged), len(h.posted), len(h.read))
		g.expectEqualDatabases()
		g.frontends[0].expectNoWayBack(older)
	})
}

// updateAll updates the frontends of a group, and has one killed.
func (g *group) updateAll(rest func()) {
	g.t.Helper()
	master := g.master()
	for i, f := range g.frontends {
		if f == master {
			continue
		}
		f.changeBuild("")
		rest()
		g.expectFormat(1)
		if i < 2 && g.frontends[i+1] != master || i == 0 { // the first of the two: now versions are mixed
			f.Kill()
			rest()
			f.start().waitReady()
			rest()
		}
	}
	for _, f := range g.frontends {
		if f != master {
			f.becomeMaster()
			break
		}
	}
	rest()
	master.changeBuild("")
	rest()
}

// awaitRaise waits for the master to raise the format by itself, a minute after the last update.
func (g *group) awaitRaise() {
	g.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		s, err := g.running()[0].status()
		if err == nil && s.Format == 2 {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("the format is not raised: %+v, %v", s, err)
		}
		time.Sleep(time.Second)
	}
}

// expectEqualDatabases stops the group and compares the states of its frontends, but for the last
// entry of the log: stopping one makes an entry without content at the others.
func (g *group) expectEqualDatabases() {
	t := g.t
	t.Helper()
	for _, f := range g.frontends {
		f.signal(t, syscall.SIGTERM)
	}
	var first []byte
	for _, f := range g.frontends {
		if code := f.exit(t); code != 0 {
			t.Errorf("%s ended with exit code %d", f.id, code)
		}
		m, err := fsm.Open(f.data, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var state bytes.Buffer
		s, err := m.Snapshot()
		if err == nil {
			err = s.Write(&state)
			s.Release()
		}
		if err := errors.Join(err, m.Close()); err != nil {
			t.Fatal(err)
		}
		var records bytes.Buffer
		err = database.ReadSnapshot(&state, func(r database.Record) error {
			if string(r.Key) != string(head.Key) {
				fmt.Fprintf(&records, "%s %q %q\n", r.Bucket, r.Key, r.Value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case first == nil:
			first = records.Bytes()
		case !bytes.Equal(first, records.Bytes()):
			t.Errorf("the databases of %s and %s differ", g.frontends[0].id, f.id)
		}
	}
	if len(first) < 10_000 {
		t.Errorf("the databases have only %d bytes", len(first))
	}
}

// expectNoWayBack starts a program from before formats with the data of a group in format 2, whose
// others run. It does not say why it ends, but it ends, when it learns that an entry in that format
// is committed at the latest, and loses nothing.
func (f *frontend) expectNoWayBack(older string) {
	t := f.group.t
	t.Helper()
	for _, other := range f.group.frontends {
		if other != f {
			other.start()
		}
	}
	f.build = older
	f.start()
	if code := f.exit(t); code != cli.ExitFailed && code != cli.ExitContradiction {
		t.Errorf("the older program ended with exit code %d", code)
	}
	t.Logf("the older program ended with exit code %d: %s", f.State().ExitCode(), lastLine(f.output(t)))
	f.build = ""
	f.start()
	for _, f := range f.group.frontends {
		f.waitReady()
	}
	f.group.expectTheSame()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// Before its format is raised a group is set back by restarts.
func TestAGroupIsSetBackBeforeItsFormatIsRaised(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	older := needsOlderLaurel(t)
	g := newOlderGroup(t, older, soon)
	h := newHistory()
	setUp(t, g.frontends[0], h)
	g.frontends[0].more = []string{"--max-format", "1"} // holds format 1
	for _, f := range g.frontends {
		f.changeBuild("")
	}
	// The frontend that is asked may not know of the last update yet.
	eventually(t, "raising a format that is held is refused", func() error {
		refused := command(t, "laurel", "cluster", "format", "raise", "--to", urls(g.frontends))
		if refused.code != cli.ExitFailed || !strings.Contains(refused.err, "f1 reads formats up to 1") {
			return errors.New(refused.String())
		}
		return nil
	})
	g.expectFormat(1)
	g.frontends[0].more = nil
	for i, f := range g.frontends {
		f.changeBuild(older)
		apply(t, f, fmt.Sprintf(`{"id":"back-%d","type":"alert","contest_id":"M0","data":{"text":"back"}}`, i))
	}
	g.expectTheSame()
}
