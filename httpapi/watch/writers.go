package watch

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// writerBatch is the number of watchers that a writer takes at once. It is small so
	// that all writers finish at about the same time.
	writerBatch = 16
	// slowWriteTimeout bounds the write of what a connection did not accept at once.
	slowWriteTimeout = 10 * time.Second
	// writeBuffer is the initial size of a writer's buffer, and maxWriteBuffer the size
	// above which it is not kept.
	writeBuffer    = 64 << 10
	maxWriteBuffer = 1 << 20
)

// writers is a queue of watchers with pending frames, shared by several goroutines that
// write to one watcher after the other without blocking.
type writers struct {
	remove func(*Watcher) // called when a watcher is closed
	wakeup chan struct{}

	mu    sync.Mutex
	queue []*Watcher
	taken int // leading entries of queue that a writer has taken
}

func newWriters(remove func(*Watcher)) *writers {
	return &writers{remove: remove, wakeup: make(chan struct{}, 1)}
}

// enqueue adds a watcher, which must not be in the queue.
func (r *writers) enqueue(w *Watcher) {
	r.mu.Lock()
	r.queue = append(r.queue, w)
	r.mu.Unlock()
	r.wake()
}

// wake wakes a writer.
func (r *writers) wake() {
	select {
	case r.wakeup <- struct{}{}:
	default:
	}
}

// dequeue replaces batch by watchers from the queue. It wakes another writer if it leaves
// some.
func (r *writers) dequeue(batch []*Watcher) []*Watcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(writerBatch, len(r.queue)-r.taken)
	part := r.queue[r.taken : r.taken+n]
	batch = append(batch[:0], part...)
	clear(part)
	r.taken += n
	if r.taken < len(r.queue) {
		r.wake()
	}
	if 2*r.taken >= len(r.queue) { // bounds the taken part of the queue
		r.queue, r.taken = slices.Delete(r.queue, 0, r.taken), 0
	}
	return batch
}

// run writes to watchers until ctx ends.
func (r *writers) run(ctx context.Context) {
	batch := make([]*Watcher, 0, writerBatch)
	buffer := make([]byte, 0, writeBuffer)
	for {
		if batch = r.dequeue(batch); len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-r.wakeup:
			}
		}
		if ctx.Err() != nil {
			return
		}
		for i, w := range batch {
			batch[i] = nil
			var open bool
			if buffer, open = w.appendPending(buffer[:0]); open {
				r.write(w, buffer)
			} else {
				r.remove(w)
			}
		}
		if cap(buffer) > maxWriteBuffer {
			buffer = make([]byte, 0, writeBuffer)
		}
	}
}

// write writes as much as the connection accepts at once. A goroutine writes the rest.
func (r *writers) write(w *Watcher, b []byte) {
	n, err := 0, error(nil)
	if len(b) > 0 { // a window that changed may be back at what the watcher has
		n, err = writeNow(w, b)
	}
	switch {
	case err != nil:
		r.remove(w)
	case n < len(b):
		rest := append([]byte(nil), b[n:]...)
		go r.writeBlocking(w, rest)
	case w.writeDone():
		r.enqueue(w)
	}
}

// writeBlocking writes to a connection that does not accept everything at once.
func (r *writers) writeBlocking(w *Watcher, b []byte) {
	w.conn.SetWriteDeadline(time.Now().Add(slowWriteTimeout))
	if _, err := w.conn.Write(b); err != nil {
		r.remove(w)
		return
	}
	if w.writeDone() {
		r.enqueue(w)
	}
}
