package watch

import (
	"cmp"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// maxKept is how many events of timelines may wait for one watcher. Past it the connection ends; the watcher comes back with its id and reads the
	// rest from the store.
	maxKept = 4096
	// slowWrite is how long a connection may take what it did not take at once.
	slowWrite = 10 * time.Second
)

// Watcher is one connection, and what it has coming. Nothing of it waits for the connection.
type Watcher struct {
	Home     string // the frontend that its client calls home; "" if it told none
	subjects Subjects
	id       func(b []byte, m mark) []byte
	writers  *writers
	turn     int
	sentHome time.Time // when it was last told to go home; zero: never. Guarded by Hub.mu
	begun    uint64    // it has everything up to here from its beginning

	mu      sync.Mutex
	conn    net.Conn
	raw     syscall.RawConn // nil where the connection has no descriptor to write to
	pending []*frame
	index   map[string]int // of the pending frames that can be replaced, once they are many
	kept    int
	boards  []seen
	stirred bool   // there may be something new of boards
	has     uint64 // frames up to here are no news to it: they are in its beginning, or in a later snapshot
	sent    uint64 // it has everything up to here
	cut     uint64 // and with what is pending up to here
	queued  bool   // a writer has it, or it is written to; or it has not begun
	closed  bool
}

// leave takes in the frames of a batch, with which the watcher has everything up to cut. False: it is closed, for it was too slow.
func (w *Watcher) leave(frames []*frame, cut uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range frames {
		if f.revision > w.has {
			w.addLocked(f)
		}
	}
	w.reachLocked(cut)
	return !w.closed
}

// restart makes a snapshot all that the watcher has coming. Frames up to its revision are in it.
func (w *Watcher) restart(f *frame, cut uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.pending)
	w.pending, w.index, w.kept, w.has = w.pending[:0], nil, 0, cut
	w.addLocked(f)
	w.reachLocked(cut)
}

// tell gives the watcher what is no change.
func (w *Watcher) tell(f *frame, cut uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addLocked(f)
	w.reachLocked(cut)
}

// manyPending is from how many pending frames on they are found by an index.
const manyPending = 16

// addLocked makes a frame pending, in the place of an older one of its name.
func (w *Watcher) addLocked(f *frame) {
	if w.closed {
		return
	}
	if f.kept {
		if w.kept++; w.kept > maxKept {
			w.closeLocked()
			return
		}
		w.pending = append(w.pending, f)
		return
	}
	if i := w.find(f.name); i >= 0 {
		w.pending[i] = f
		return
	}
	w.pending = append(w.pending, f)
	if w.index != nil {
		w.index[f.name] = len(w.pending) - 1
	} else if len(w.pending) > manyPending {
		w.index = make(map[string]int, 4*manyPending)
		for i, p := range w.pending {
			if !p.kept {
				w.index[p.name] = i
			}
		}
	}
}

func (w *Watcher) find(name string) int {
	if w.index != nil {
		if i, ok := w.index[name]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(w.pending, func(p *frame) bool { return !p.kept && p.name == name })
}

// reachLocked notes that with what is pending the watcher has everything up to cut, and hands it to its writer.
func (w *Watcher) reachLocked(cut uint64) {
	w.cut = max(w.cut, cut)
	if !w.queued && !w.closed && (len(w.pending) > 0 || w.stirred) {
		w.queued = true
		w.writers.queue(w)
	}
}

// take appends what is pending to b, in the order of revisions, then what is new of boards, with the id behind it. False: the watcher is closed.
func (w *Watcher) take(b []byte) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return b, false
	}
	slices.SortStableFunc(w.pending, func(a, b *frame) int { return cmp.Compare(a.revision, b.revision) })
	w.boardsLocked()
	for i, f := range w.pending {
		b = append(b, f.bytes...)
		if f.open {
			b = w.closeSnapshotLocked(b)
		}
		switch {
		case i == len(w.pending)-1:
			b = append(w.id(append(b, "id: "...), mark{w.cut, w.cut}), '\n')
		case f.kept:
			b = append(w.id(append(b, "id: "...), mark{w.sent, f.revision}), '\n')
		}
		b = append(b, '\n')
	}
	w.sent = w.cut
	clear(w.pending)
	w.pending, w.index, w.kept = w.pending[:0], nil, 0
	if cap(w.pending) > 4*manyPending {
		w.pending = nil
	}
	return b, true
}

// written ends a write. It tells whether there is more already.
func (w *Watcher) written() (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued = (len(w.pending) > 0 || w.stirred) && !w.closed
	return w.queued
}

func (w *Watcher) closeLocked() {
	if !w.closed {
		w.closed = true
		if w.conn != nil {
			w.conn.Close()
		}
	}
}

func (w *Watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeLocked()
}
