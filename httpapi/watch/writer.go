package watch

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"
)

// runWriter writes to the watchers of the queue until the hub is closed. The hub has
// several writers. None of them waits for a connection.
func (h *Hub) runWriter() {
	buffer := make([]byte, 0, writeBuffer)
	for {
		select {
		case <-h.ctx.Done():
			return
		case w := <-h.queue:
			h.serve(w, &buffer)
		}
		if cap(buffer) > maxWriteBuffer {
			buffer = make([]byte, 0, writeBuffer)
		}
	}
}

// serve writes to a watcher of the queue, with a buffer of the writer.
func (h *Hub) serve(w *Watcher, buffer *[]byte) {
	if !w.permitted() {
		h.Remove(w)
		return
	}
	if w.raw == nil {
		go h.writePage(w)
		return
	}
	var open bool
	if *buffer, open = w.appendPending((*buffer)[:0]); open {
		h.write(w, *buffer)
	} else {
		h.Remove(w)
	}
}

// write writes what the connection accepts at once. A goroutine writes the rest, which is
// held in the client's memory meanwhile. If that has no room, the stream ends.
func (h *Hub) write(w *Watcher, b []byte) {
	n, err := 0, error(nil)
	if len(b) > 0 { // a window that changed may be back at what the watcher has
		n, err = writeNow(w, b)
	}
	switch {
	case err != nil:
		h.Remove(w)
	case n < len(b):
		if !w.client.Memory.Hold(len(b) - n) {
			h.Remove(w)
			return
		}
		rest := slices.Clone(b[n:])
		go h.writeBlocking(w, rest)
	case w.writeDone():
		h.queue <- w
	}
}

// writePage writes to a connection that can only be written to by waiting. The page is
// made once the client's memory has room for it: until then nobody can say that the client
// does not read, and thousands at one address do, one after the other.
func (h *Hub) writePage(w *Watcher) {
	memory, n := w.client.Memory, w.pendingBytes()
	if !h.awaitRoom(w, n) {
		h.Remove(w)
		return
	}
	var b []byte
	open := w.permitted()
	if open {
		b, open = w.appendPending(nil)
	}
	memory.Resize(n, len(b))
	if !open {
		h.Remove(w)
		return
	}
	h.writeBlocking(w, b)
}

// awaitRoom holds n bytes of the memory of w's client once there is room for them.
func (h *Hub) awaitRoom(w *Watcher, n int) bool {
	if w.client.Memory.Hold(n) {
		return true
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.slowWrite)
	defer cancel()
	return awaitRoom(ctx, w.client.Memory, n)
}

// writeBlocking writes b, which is held in the client's memory.
func (h *Hub) writeBlocking(w *Watcher, b []byte) {
	var err error
	if len(b) > 0 { // a window that changed may be back at what the watcher has
		err = w.write(b, h.slowWrite)
	}
	w.client.Memory.Resize(len(b), 0)
	if err != nil {
		h.Remove(w)
	} else if w.writeDone() {
		h.queue <- w
	}
}

// write writes to the connection of an attached watcher within a time limit.
func (w *Watcher) write(b []byte, limit time.Duration) error {
	w.conn.SetWriteDeadline(time.Now().Add(limit))
	_, err := w.conn.Write(b)
	w.conn.SetWriteDeadline(time.Time{}) // writeNow fails after a deadline that has passed
	return err
}

// writeNow writes to the watcher's file descriptor without blocking. It returns the
// number of bytes that the connection accepted.
func writeNow(w *Watcher, b []byte) (n int, err error) {
	closed := w.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case closed != nil:
		return 0, closed
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	}
	return n, err
}
