package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"

	"laurel/score"
)

// postUntilSnapshots posts until the member of a node has written count snapshots in all.
// It returns the number of posts.
func postUntilSnapshots(t *testing.T, n *node, source string, count int) (posted uint64) {
	t.Helper()
	eventually(t, "snapshots are written", func() error {
		mustPost(t, n, alerts(source, posted+1, 1))
		posted++
		list, err := n.member().storage.Snapshots.List()
		if err == nil && len(list) < count {
			err = fmt.Errorf("there are %d", len(list))
		}
		return err
	})
	return posted
}

func loseState(t *testing.T, n *node) {
	t.Helper()
	if err := os.Remove(filepath.Join(n.opts.Dir, "state.db")); err != nil {
		t.Fatal(err)
	}
}

func TestMembersContinueFromTheirDirectories(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 10))
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	for _, r := range mustPost(t, g.nodes[1], alerts("bard/a", 1, 10)) {
		if r.Status != score.Duplicate {
			t.Errorf("after the restart %s is %s", r.ID, r.Status)
		}
	}
	mustPost(t, g.nodes[2], alerts("bard/a", 11, 10))
	g.agree(20)
}

func TestLostStateIsRebuiltFromTheLog(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 10))
	g.agree(10)
	for _, n := range g.nodes {
		n.stop()
		loseState(t, n)
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.agree(10)
	mustPost(t, g.nodes[0], alerts("bard/a", 11, 1))
	g.agree(11)
}

func TestLostStateIsRebuiltFromTheSnapshotAndTheLogAfterIt(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, func(o *Options) { o.SnapshotEntries = 5 })
	n := g.nodes[0]
	revision := postUntilSnapshots(t, n, "bard/a", 1)
	n.stop()
	loseState(t, n)
	m := n.start()
	if m.machine.Applied() == 0 {
		t.Error("the snapshot was not restored")
	}
	g.agree(revision)
	if events := timeline(t, m); len(events) != int(revision) {
		t.Errorf("there are %d events", len(events))
	}
	mustPost(t, n, alerts("bard/a", revision+1, 1))
}

func TestLateJoinerCatchesUpFromASnapshot(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, func(o *Options) { o.SnapshotEntries = 5 })
	revision := postUntilSnapshots(t, g.nodes[0], "bard/a", 2)
	late := g.add(func(o *Options) { o.SnapshotEntries = 5 })
	m := late.start()
	g.settle()
	g.agree(revision)
	if events := timeline(t, m); len(events) != int(revision) {
		t.Errorf("there are %d events", len(events))
	}
	mustPost(t, late, alerts("bard/a", revision+1, 3))
	late.stop()
	loseState(t, late)
	late.start()
	g.settle()
	g.agree(revision + 3)
}

func TestStateAheadOfTheLogIsDiscarded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/a", 1, 10))
	n.stop()
	for _, name := range []string{voteFile, logDir, snapshotDir, identityFile} {
		remove(t, n, name)
	}
	m := n.start()
	if m.machine.Applied() > m.raft.LastIndex() {
		t.Errorf("the state is at %d, the log at %d", m.machine.Applied(), m.raft.LastIndex())
	}
	first := mustPost(t, n, alerts("bard/a", 1, 10))[0]
	if first.Revision != 1 || first.Status != score.Applied {
		t.Errorf("in the new group the first result is %+v", first)
	}
}

// damage makes a snapshot of a node unreadable.
func damage(t *testing.T, n *node, id string) {
	t.Helper()
	path := filepath.Join(n.opts.Dir, snapshotDir, id, "state.bin")
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedSnapshotIsReplacedByTheLog(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{true, false} {
		t.Run(fmt.Sprintf("an older snapshot %t", older), func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 1)
			n := g.nodes[0]
			mustPost(t, n, alerts("bard/a", 1, 5))
			if older {
				if err := n.member().raft.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
			}
			mustPost(t, n, alerts("bard/a", 6, 5))
			if err := n.member().raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			mustPost(t, n, alerts("bard/a", 11, 5))
			list, err := n.member().storage.Snapshots.List()
			if err != nil {
				t.Fatal(err)
			}
			n.stop()
			damage(t, n, list[0].ID)
			loseState(t, n)
			m := n.start()
			g.agree(15)
			if events := timeline(t, m); len(events) != 15 {
				t.Errorf("there are %d events", len(events))
			}
			n.stop()
			n.start()
			mustPost(t, n, alerts("bard/a", 16, 1))
		})
	}
}

func TestDamagedSnapshotThatTheLogCannotReplaceStopsTheStart(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, func(o *Options) { o.SnapshotEntries = 5 })
	n := g.nodes[0]
	postUntilSnapshots(t, n, "bard/a", 2)
	m := n.member()
	eventually(t, "the log is shortened", func() error {
		if first, err := m.storage.Log.FirstIndex(); err != nil || first == 1 {
			return fmt.Errorf("it begins at %d: %v", first, err)
		}
		return nil
	})
	n.stop()
	list, err := m.storage.Snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		damage(t, n, s.ID)
	}
	loseState(t, n)
	checkContradiction(t, n)
}

func TestDirectoryOfAnotherMemberIsRefused(t *testing.T) {
	t.Parallel()
	empty := newNode(t, "f1")
	_, err := Start(empty.again())
	var e *EmptyError
	if !errors.As(err, &e) || e.Dir != empty.opts.Dir {
		t.Errorf("an empty directory without --bootstrap and --join got %v", err)
	}
	g := newGroup(t, 1)
	g.nodes[0].stop()
	o := g.nodes[0].again()
	o.ID = "f2"
	if _, err := Start(o); err == nil || !strings.Contains(err.Error(), `belongs to the frontend "f1"`) {
		t.Errorf("another id got %v", err)
	}
	for _, peer := range []string{"9001", ":9001", "0.0.0.0:9001"} {
		o := empty.again()
		o.Peer = peer
		if _, err := Start(o); err == nil || !strings.Contains(err.Error(), "peer address") {
			t.Errorf("the peer address %q got %v", peer, err)
		}
	}
	g.nodes[0].start()
	eventually(t, "it answers", func() error {
		_, err := read(context.Background(), g.master().member())
		return err
	})
}

func TestFollowerThatMissedMoreThanTheLogHasContinuesAfterTheSnapshot(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, func(o *Options) { o.SnapshotEntries = 5 })
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 3))
	g.agree(3)
	late := g.others(g.master())[0]
	had, err := late.member().storage.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	late.stop()
	revision := 3 + postUntilSnapshots(t, g.master(), "bard/b", 2)
	posted := uint64(0)
	for _, n := range g.running() { // any of them may be the master
		eventually(t, n.opts.ID+" has dropped the entries that the follower lacks", func() error {
			if first := n.member().storage.Log.Start(); first <= had+1 {
				posted++
				mustPost(t, n, alerts("bard/d", posted, 1))
				return fmt.Errorf("its log begins at %d", first)
			}
			return nil
		})
	}
	revision += posted
	late.start()
	for i := uint64(1); i <= 2; i++ {
		g.settle()
		mustPost(t, late, alerts("bard/c", i, 1))
		g.agree(revision + i)
		// The post may be in the snapshot, which the state shows before the log is removed.
		eventually(t, "its log begins after the snapshot", func() error {
			if first := late.member().storage.Log.Start(); first <= had+1 {
				return fmt.Errorf("it begins at %d, and ended at %d before", first, had)
			}
			return nil
		})
		late.stop()
		late.start()
	}
	g.settle()
	g.agree(revision + 2)
}

func TestLogThatEndsBeforeTheSnapshotIsDropped(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/a", 1, 10))
	if err := n.member().raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	n.stop()
	shortenLog(t, n, 2)
	n.start()
	mustPost(t, n, alerts("bard/a", 11, 5))
	n.stop()
	n.start()
	g.agree(15)
}

// shortenLog removes the newest entries of a member that is stopped.
func shortenLog(t *testing.T, n *node, by uint64) {
	t.Helper()
	dir := filepath.Join(n.opts.Dir, logDir)
	l, err := wal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	last, err := l.LastIndex()
	if err == nil {
		err = l.DeleteRange(last+1-by, last)
	}
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryThatLacksAPartOfTheLogIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, n *node){
		"the log":        func(t *testing.T, n *node) { remove(t, n, logDir); loseState(t, n) },
		"the vote":       func(t *testing.T, n *node) { remove(t, n, voteFile); loseState(t, n) },
		"the last entry": func(t *testing.T, n *node) { shortenLog(t, n, 1) },
		"its own log":    func(t *testing.T, n *node) { oldFormat(t, n) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, 1)
			n := g.nodes[0]
			mustPost(t, n, alerts("bard/a", 1, 5))
			g.agree(5)
			n.stop()
			spoil(t, n)
			checkContradiction(t, n)
		})
	}
}

func remove(t *testing.T, n *node, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(n.opts.Dir, name)); err != nil {
		t.Fatal(err)
	}
}

// oldFormat makes the directory one of an old version, with the log in the vote file.
func oldFormat(t *testing.T, n *node) {
	t.Helper()
	remove(t, n, logDir)
	db, err := raftboltdb.NewBoltStore(filepath.Join(n.opts.Dir, voteFile))
	if err == nil {
		err = errors.Join(db.StoreLog(&raft.Log{Index: 1, Term: 1}), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(n.opts.Dir, logDir)); err == nil {
			t.Error("an empty log was made")
		}
	})
}
