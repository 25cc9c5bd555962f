package watch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turn is how many watchers a writer takes at once: few, so that all writers end at about the same time, whatever else their processors have to do.
const turn = 16

// writers write to one watcher after the other, to each without waiting. They take them from one queue.
type writers struct {
	gone func(*Watcher)
	wake chan struct{}

	mu    sync.Mutex
	ready []*Watcher
	first int // of ready that no writer has taken
}

func newWriters(gone func(*Watcher)) *writers {
	return &writers{gone: gone, wake: make(chan struct{}, 1)}
}

// queue has a watcher written to. It must not be queued already.
func (r *writers) queue(w *Watcher) {
	r.mu.Lock()
	r.ready = append(r.ready, w)
	r.mu.Unlock()
	r.rouse()
}

// rouse lets a writer know that there is something to do.
func (r *writers) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take takes some watchers out of the queue. If it leaves some, another writer is roused.
func (r *writers) take(some []*Watcher) []*Watcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(turn, len(r.ready)-r.first)
	part := r.ready[r.first : r.first+n]
	some = append(some[:0], part...)
	clear(part)
	r.first += n
	if r.first < len(r.ready) {
		r.rouse()
	}
	if 2*r.first >= len(r.ready) { // the part that is taken must not grow
		r.ready, r.first = slices.Delete(r.ready, 0, r.first), 0
	}
	return some
}

// run is one writer.
func (r *writers) run(ctx context.Context) {
	some := make([]*Watcher, 0, turn)
	buffer := make([]byte, 0, 64<<10)
	for {
		if some = r.take(some); len(some) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
			}
		}
		if ctx.Err() != nil {
			return
		}
		for i, w := range some {
			some[i] = nil
			var open bool
			if buffer, open = w.take(buffer[:0]); open {
				r.write(w, buffer)
			} else {
				r.gone(w)
			}
		}
		if cap(buffer) > 1<<20 {
			buffer = make([]byte, 0, 64<<10)
		}
	}
}

// write writes as much as the connection takes at once. What is left a goroutine brings it.
func (r *writers) write(w *Watcher, b []byte) {
	n, err := 0, error(nil)
	if len(b) > 0 { // of a board there may be nothing new to this watcher
		n, err = writeNow(w, b)
	}
	switch {
	case err != nil:
		w.close()
		r.gone(w)
	case n < len(b):
		rest := append([]byte(nil), b[n:]...)
		go r.bring(w, rest)
	case w.written():
		r.queue(w)
	}
}

func (r *writers) bring(w *Watcher, rest []byte) {
	w.conn.SetWriteDeadline(time.Now().Add(slowWrite))
	if _, err := w.conn.Write(rest); err != nil {
		w.close()
		r.gone(w)
		return
	}
	if w.written() {
		r.queue(w)
	}
}
