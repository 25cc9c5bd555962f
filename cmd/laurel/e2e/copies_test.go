package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// copyData copies the data directory of a stopped frontend.
func (f *frontend) copyData() (dir string) {
	f.group.t.Helper()
	dir = filepath.Join(f.group.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(f.data)); err != nil {
		f.group.t.Fatal(err)
	}
	return dir
}

// forgotten matches the metric of a frontend that forgot.
var forgotten = regexp.MustCompile(`(?m)^laurel_forgotten_entry [1-9]`)

func TestAFrontendWithAnOldDirectoryGivesNoVoteUntilItHasEverythingAgain(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	master := g.master()
	old := g.follower()
	old.stop()
	dir := old.copyData()
	old.start().waitReady()
	for i := range 5 {
		apply(t, master, play(fmt.Sprintf("play-%d", i), 1))
	}
	g.expectRevision(7)
	var witness *frontend
	for _, f := range g.frontends {
		if f != old && f != master {
			witness = f
		}
	}
	eventually(t, "the witness hears what the other one has", func() error {
		m, err := witness.member(old.id)
		if err == nil && m.Revision < 7 {
			err = fmt.Errorf("it has heard of revision %d", m.Revision)
		}
		return err
	})
	old.stop()
	if err := errors.Join(os.RemoveAll(old.data), os.Rename(dir, old.data)); err != nil {
		t.Fatal(err)
	}
	master.killNoWait()
	old.start()
	eventually(t, "it shows that it forgot", func() error {
		a, err := ask("GET", old.url+"/metrics", "")
		if err == nil && !forgotten.MatchString(a.body) {
			err = errors.New("it does not")
		}
		return err
	})
	if s, err := witness.status(); err == nil && s.Master != "" && s.Master != master.id {
		t.Errorf("%s is the master by the vote of one that forgot", s.Master)
	}
	master.start().waitReady()
	old.waitReady()
	g.expectRevision(7)
	g.expectGaul(5)
	if forgotten.MatchString(get(t, old.url+"/metrics").body) {
		t.Error("it still lacks what it forgot")
	}
	if text := old.output(t); !strings.Contains(text, "has forgotten what it acknowledged") {
		t.Errorf("its log has no word of it:\n%s", text)
	}
}

func TestACopyOfAFrontendIsRefusedWhileTheFirstAnswers(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	apply(t, g.frontends[0], running)
	first := g.follower()
	first.stop()
	dir := first.copyData()
	first.start().waitReady()
	clone := &frontend{id: first.id, data: dir, entry: []string{"--join", urls(g.frontends)}, group: g}
	clone.move(freePort(t), freePort(t))
	clone.start()
	if code := clone.exit(t); code != 1 {
		t.Errorf("the copy ended with exit code %d; want 1", code)
	}
	if text := clone.output(t); !strings.Contains(text, "another process with the data of this frontend answers at "+first.peer) {
		t.Errorf("the copy does not say why it ends:\n%s", text)
	}
	for i, f := range g.frontends {
		apply(t, f, play(fmt.Sprintf("play-%d", i), 1))
		if m, err := f.member(first.id); err != nil || m.Peer != first.peer {
			t.Errorf("%s has %s at %s, %v; want %s", f.id, first.id, m.Peer, err, first.peer)
		}
	}
	g.expectRevision(5)
}
