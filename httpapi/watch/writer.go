package watch

import (
	"context"
	"errors"
	"sync"
	"time"
)

// writer writes to one watcher after the other, to each without waiting.
type writer struct {
	gone func(*Watcher)
	wake chan struct{}

	mu    sync.Mutex
	ready []*Watcher
}

func newWriter(gone func(*Watcher)) *writer { return &writer{gone: gone, wake: make(chan struct{}, 1)} }

// queue has w written to. It must not be queued already.
func (r *writer) queue(w *Watcher) {
	r.mu.Lock()
	r.ready = append(r.ready, w)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *writer) run(ctx context.Context) {
	var ready []*Watcher
	buffer := make([]byte, 0, 64<<10)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		r.mu.Lock()
		ready, r.ready = r.ready, ready[:0]
		r.mu.Unlock()
		for i, w := range ready {
			ready[i] = nil
			buffer = w.take(buffer[:0])
			r.write(w, buffer)
		}
		if cap(buffer) > 1<<20 {
			buffer = make([]byte, 0, 64<<10)
		}
	}
}

// write writes as much as the connection takes at once. What is left a goroutine brings it.
func (r *writer) write(w *Watcher, b []byte) {
	n, err := writeNow(w, b)
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

func (r *writer) bring(w *Watcher, rest []byte) {
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

var errClosed = errors.New("the watcher is closed")
