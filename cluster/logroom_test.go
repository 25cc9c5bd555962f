package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"laurel/cluster/raftlog"
	"laurel/score"
)

// smallBounds are bounds for logs of a few MiB. Entries do not count.
var smallBounds = raftlog.Bounds{
	Segment:         128 << 10,
	Recent:          256 << 10,
	Snapshot:        1 << 20,
	TrailingEntries: 8192,
	Trailing:        512 << 10,
	Log:             2 << 20,
	Unapplied:       512 << 10,
}

func withBounds(b raftlog.Bounds) func(*Options) {
	return func(o *Options) { o.hooks.logBounds = func(to *raftlog.Bounds) { *to = b } }
}

// largePost returns a post of size bytes, approximately.
func largePost(source string, seq uint64, size int) score.Post {
	const text = 1000
	p := alerts(source, seq, size/text)
	for i := range p.Events {
		p.Events[i].Data = &score.Alert{Text: strings.Repeat("x", text)}
	}
	return p
}

// logOnDisk returns the size of the log's files of a node.
func logOnDisk(t *testing.T, n *node) (total int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.opts.Dir, "wal", "*.wal"))
	for _, f := range files {
		info, err2 := os.Stat(f)
		if err2 == nil {
			total += info.Size()
		} else if !errors.Is(err2, os.ErrNotExist) {
			err = errors.Join(err, err2)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestLogIsBoundedInBytesAndSnapshotsAreTakenByBytes(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, withBounds(smallBounds))
	late := g.others(g.master())[0]
	late.stop()
	const size, posts = 64 << 10, 200
	// At the bound, there may be batches in flight, the next file, and files that are
	// being removed.
	most := smallBounds.Log + 4*size + 4*int64(smallBounds.Segment)
	seq, events := uint64(1), uint64(0)
	for range posts {
		p := largePost("bard/large", seq, size)
		seq += uint64(len(p.Events))
		events += uint64(len(p.Events))
		eventually(t, "a post is accepted", func() error {
			_, err := g.master().member().Post(context.Background(), p)
			if err != nil && score.CodeOf(err) != score.RateLimited && !masterLost(err) {
				t.Fatal(err)
			}
			return err
		})
		for _, n := range g.nodes {
			if on := logOnDisk(t, n); n != late && on > most {
				t.Fatalf("the log of %s has %d bytes; the bound is %d", n.opts.ID, on, smallBounds.Log)
			}
		}
	}
	late.start()
	g.settle()
	g.agree(events)
	after := smallBounds.Snapshot + smallBounds.Trailing + 4*int64(smallBounds.Segment)
	for _, n := range g.nodes {
		eventually(t, "snapshots shorten the log of "+n.opts.ID, func() error {
			if on := logOnDisk(t, n); on > after {
				return fmt.Errorf("it has %d bytes; want at most %d", on, after)
			}
			return nil
		})
	}
}

func TestFullLogRefusesPostsAsARetryAndProcessesNothing(t *testing.T) {
	t.Parallel()
	b := smallBounds
	b.Log = 1 // never room
	g := newGroup(t, 1, withBounds(b))
	_, err := g.nodes[0].member().Post(context.Background(), alerts("bard/f1", 1, 1))
	if p, ok := errors.AsType[*score.Problem](err); !ok || p.Code != score.RateLimited {
		t.Errorf("a post to a full log came back with %v", err)
	}
	g.agree(0)
}

func TestFollowerWhoseLogIsFullTakesNoEntriesAndStaysCalm(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	seq := uint64(0)
	// On a busy machine, a member may stand for election for a reason of its own.
	eventually(t, "the epoch stays while a log is full", func() error { return g.fillLog(&seq) })
}

// fillLog fills the log of a follower, gives it room again, and returns an error if there
// was another epoch meanwhile. seq counts the events that were posted.
func (g *group) fillLog(seq *uint64) error {
	g.t.Helper()
	full := g.others(g.master())[0]
	full.stop()
	b := smallBounds
	b.Log, b.Unapplied = 1, 1
	withBounds(b)(&full.opts)
	full.start()
	snapshots := filepath.Join(full.opts.Dir, "snapshots")
	if err := errors.Join(os.RemoveAll(snapshots), os.WriteFile(snapshots, nil, 0o600)); err != nil { // in the way
		g.t.Fatal(err)
	}
	epoch := g.master().member().raft.CurrentTerm()
	post := func() {
		*seq++
		mustPost(g.t, g.master(), alerts("bard/f1", *seq, 1))
	}
	eventually(g.t, "the log is full", func() error {
		post()
		if m := full.member(); !m.storage.Log.FollowerFull(m.raft.AppliedIndex()) {
			return errors.New("it has room")
		}
		return nil
	})
	had, err := full.member().storage.Log.LastIndex()
	if err != nil {
		g.t.Fatal(err)
	}
	for range 20 {
		post()
	}
	if got, err := full.member().storage.Log.LastIndex(); err != nil || got != had {
		g.t.Errorf("the full log ends at entry %d, %v; it had %d", got, err, had)
	}
	now := g.master().member().raft.CurrentTerm()
	full.stop()
	if err := os.Remove(snapshots); err != nil {
		g.t.Fatal(err)
	}
	full.opts.hooks.logBounds = nil
	full.start()
	g.settle()
	g.agree(*seq)
	if now != epoch {
		return fmt.Errorf("it was %d and is %d", epoch, now)
	}
	return nil
}

func TestMasterThatCanTakeNoSnapshotHandsOverWhenItsLogIsFull(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, withBounds(smallBounds))
	full := g.master()
	snapshots := filepath.Join(full.opts.Dir, "snapshots")
	if err := errors.Join(os.RemoveAll(snapshots), os.WriteFile(snapshots, nil, 0o600)); err != nil { // in the way
		t.Fatal(err)
	}
	events := uint64(0)
	for events < uint64(3*smallBounds.Log/1000) {
		p := largePost("bard/large", events+1, 64<<10)
		mustPost(t, full, p)
		events += uint64(len(p.Events))
	}
	// On a busy machine it may have become the master again.
	eventually(t, "another one is the master", func() error {
		if g.master() == full {
			return errors.New("it is still the master")
		}
		return nil
	})
	full.stop()
	if err := os.Remove(snapshots); err != nil {
		t.Fatal(err)
	}
	full.start()
	g.settle()
	g.agree(events)
}

// The entry of a new master must be committed before any snapshot can be taken.
func TestGroupWhoseLogsAreAllFullTakesPostsAfterARestart(t *testing.T) {
	t.Parallel()
	wide := smallBounds
	wide.Snapshot, wide.Log = 1<<30, 1<<30
	g := newGroup(t, 3, withBounds(wide))
	seq, events := uint64(1), uint64(0)
	post := func() error {
		p := largePost("bard/large", seq, 64<<10)
		_, err := g.master().member().Post(context.Background(), p)
		if err == nil {
			seq, events = seq+uint64(len(p.Events)), events+uint64(len(p.Events))
		}
		return err
	}
	for logOnDisk(t, g.nodes[0]) < smallBounds.Log+smallBounds.Unapplied+int64(smallBounds.Segment) {
		eventually(t, "a post is accepted", post)
	}
	g.agree(events)
	for _, n := range g.nodes {
		n.stop()
		withBounds(smallBounds)(&n.opts)
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	eventually(t, "a post is accepted after the restart", post)
	g.agree(events)
	for _, n := range g.nodes {
		eventually(t, "a snapshot makes room at "+n.opts.ID, func() error {
			if on := n.member().storage.Log.Bytes(); on >= smallBounds.Log {
				return fmt.Errorf("the log has %d bytes", on)
			}
			return nil
		})
	}
}

func TestMetricsHaveTheBytesOfTheLog(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, withBounds(smallBounds))
	n := g.nodes[0]
	mustPost(t, n, alerts("bard/f1", 1, 1))
	if err := n.member().raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]float64{
		"laurel_log_bytes":            float64(smallBounds.Segment),
		"laurel_snapshot_bytes":       100,
		"laurel_snapshot_age_seconds": 0,
		"laurel_disk_free_bytes":      -1,
	} {
		if got := n.metric(name, ""); got < least || name == "laurel_disk_free_bytes" && got == 0 {
			t.Errorf("%s is %v; want at least %v", name, got, least)
		}
	}
}
