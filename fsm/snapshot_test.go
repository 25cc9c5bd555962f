package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"laurel/fsm/view"
	"laurel/score"
)

func TestEqualLogsGiveEqualSnapshots(t *testing.T) {
	events := slices.Concat(readStream(t, "worldcup2026", noLimit), readStream(t, "curling", noLimit),
		readStream(t, "tokyo2020para", noLimit), readStream(t, "marathon", 3000))
	var log []Entry
	for chunk := range slices.Chunk(events, 37) {
		log = append(log, Entry{uint64(len(log)) + 1, encodeEntry(t,
			score.Post{Events: chunk, Mode: score.UntilRefused})})
	}
	var snapshots [][]byte
	for _, atOnce := range []int{1, 7, len(log)} {
		m := newMachine(t)
		for entries := range slices.Chunk(log, atOnce) {
			if _, err := m.Apply(entries, entries[len(entries)-1].Index); err != nil {
				t.Fatal(err)
			}
			if atOnce == 7 {
				if err := m.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}
		snapshots = append(snapshots, snapshotOf(t, m))
	}
	restored := newMachine(t)
	half := newMachine(t)
	if _, err := half.Apply(log[:len(log)/2], log[len(log)/2-1].Index); err != nil {
		t.Fatal(err)
	}
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, half))); err != nil {
		t.Fatal(err)
	}
	if _, err := restored.Apply(log, log[len(log)-1].Index); err != nil {
		t.Fatal(err)
	}
	for i, s := range append(snapshots, snapshotOf(t, restored)) {
		if !bytes.Equal(s, snapshots[0]) {
			t.Errorf("snapshot %d is different", i)
		}
	}
}

func TestADamagedSnapshotIsNotRestored(t *testing.T) {
	good := populate(t, t.TempDir(), nil)
	m := newMachine(t)
	mustApply(t, m, alert, 1, 1, "mine")
	before := snapshotOf(t, m)
	try := func(what string, r io.Reader) {
		t.Helper()
		if err := m.Restore(r); err == nil {
			t.Fatalf("%s was restored", what)
		}
		if !bytes.Equal(snapshotOf(t, m), before) {
			t.Fatalf("%s changed the state", what)
		}
		if list, _ := filepath.Glob(m.path() + ".*"); len(list) > 0 {
			t.Fatalf("%s left its file behind: %q", what, list)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		size := random.IntN(len(good))
		try(fmt.Sprintf("a snapshot of %d of %d bytes", size, len(good)), bytes.NewReader(good[:size]))
		spoilt := bytes.Clone(good)
		at := random.IntN(len(good))
		spoilt[at] ^= 1 << random.IntN(8)
		try(fmt.Sprintf("a snapshot with byte %d changed", at), bytes.NewReader(spoilt))
	}
	for _, version := range []byte{1, 2, 5, 7, 255} {
		other := bytes.Clone(good)
		other[len("LAURELSN")] = version
		fixChecksum(other)
		try(fmt.Sprint("a snapshot of version ", version), bytes.NewReader(other))
	}
	broken := errors.New("connection lost")
	try("a snapshot cut off", io.MultiReader(bytes.NewReader(good[:len(good)/2]), errReader{broken}))
	half := io.MultiReader(bytes.NewReader(good[:len(good)/2]), errReader{broken})
	if err := m.Restore(half); !errors.Is(err, broken) {
		t.Errorf("the error does not wrap that of the reader: %v", err)
	}
	mustApply(t, m, alert, 2, 2, "still mine")
	if err := m.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(snapshotOf(t, m), good) {
		t.Error("the valid snapshot was not restored")
	}
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }

// A snapshot may be written to a slow disk or network. Entries are applied in the
// meantime.
func TestEntriesAreAppliedWhileASnapshotIsWritten(t *testing.T) {
	m := newMachine(t)
	events := longAlerts(t, 3000)
	applyAll(t, m, events[:1000], 100)
	before := snapshotOf(t, m)
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	slow := newBlockingWriter(t)
	written := make(chan error, 1)
	go func() {
		err := s.Write(slow)
		s.Release()
		written <- err
	}()
	slow.wait(t, written)
	applyAll(t, m, events[1000:], 100)
	if err := m.View(func(v *view.View) error {
		if v.Revision() != 3000 {
			t.Errorf("the view's revision is %d", v.Revision())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slow.release()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(slow.Bytes(), before) {
		t.Error("the snapshot is not of the state at which it was taken")
	}
}

// longAlerts returns n events with enough text to make the database grow.
func longAlerts(t testing.TB, n int) (events []score.Event) {
	text := string(bytes.Repeat([]byte("long "), 100))
	for i := range n {
		events = append(events, decodeEvent(t, alert, i+1, i+1, text))
	}
	return events
}

// barrier blocks what passes it until it is released, at the latest when the test ends: a
// machine cannot be closed while a snapshot of it is written.
type barrier struct {
	reached, open chan struct{}
	release       func()
}

// newBarrier returns a barrier. It must be called after the machine of the test is made,
// so that it is released before the machine is closed.
func newBarrier(t testing.TB) barrier {
	b := barrier{reached: make(chan struct{}), open: make(chan struct{})}
	b.release = sync.OnceFunc(func() { close(b.open) })
	t.Cleanup(b.release)
	return b
}

// pass waits for the release. It must be called once.
func (b barrier) pass() {
	close(b.reached)
	<-b.open
}

// wait waits until the barrier is reached by what sends its error to failed if it ends.
func (b barrier) wait(t testing.TB, failed <-chan error) {
	t.Helper()
	select {
	case <-b.reached:
	case err := <-failed:
		t.Fatalf("it ended too early: %v", err)
	}
}

// blockingWriter is a writer whose first write blocks at a barrier.
type blockingWriter struct {
	barrier
	bytes.Buffer
}

func newBlockingWriter(t testing.TB) *blockingWriter { return &blockingWriter{barrier: newBarrier(t)} }

func (g *blockingWriter) Write(b []byte) (int, error) {
	if g.Len() == 0 {
		g.pass()
	}
	return g.Buffer.Write(b)
}

func TestWritingASnapshotReturnsTheError(t *testing.T) {
	m := newMachine(t)
	applyAll(t, m, longAlerts(t, 500), 100)
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	full := errors.New("no space left")
	if err := s.Write(errWriter{full}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type errWriter struct{ error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.error }
