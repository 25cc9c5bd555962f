package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// reader reads many watchers' connections. All but listen is for its own goroutine, until the audience is over.
type reader struct {
	audience *audience
	speech   speech
	poll     int
	seats    map[int32]*watcher // by connection
	buf      []byte

	hist    *hdrhistogram.Histogram // microseconds from publish to receipt
	told    int                     // measured
	skipped int                     // of these, those that came only as a newer one
}

// watcher is one connection.
type watcher struct {
	begun bool
	next  int    // the first event that it has not been told of
	rest  []byte // the beginning of a message
}

func newReader(a *audience, s speech) (*reader, error) {
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &reader{audience: a, speech: s, poll: poll, seats: map[int32]*watcher{}, buf: make([]byte, 64<<10), hist: newMeter(time.Time{}, time.Time{}).hist}, nil
}

// listen has the reader read a connection too.
func (r *reader) listen(fd int) error {
	return syscall.EpollCtl(r.poll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
}

// run reads until the audience is over.
func (r *reader) run() {
	if err := r.read(); err != nil {
		select {
		case r.audience.failed <- err:
		default: // another has failed
		}
	}
}

func (r *reader) read() error {
	const lookUp = 50 // ms after which it is looked whether the audience is over
	events := make([]syscall.EpollEvent, 256)
	for !r.audience.over.Load() {
		n, err := syscall.EpollWait(r.poll, events, lookUp)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			w := r.seats[e.Fd]
			if w == nil {
				w = &watcher{}
				r.seats[e.Fd] = w
			}
			if err := r.receive(int(e.Fd), w); err != nil {
				return fmt.Errorf("a watcher: %w", err)
			}
		}
	}
	return nil
}

// receive reads once what there is; what is left makes the connection ready again.
func (r *reader) receive(fd int, w *watcher) error {
	n, err := syscall.Read(fd, r.buf)
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("the stream ended: %w; the last that came: %s", io.ErrUnexpectedEOF, clip(w.rest))
	}
	at := time.Since(r.audience.song.began)
	data := r.buf[:n]
	if len(w.rest) > 0 {
		w.rest = append(w.rest, data...)
		data = w.rest
	}
	for {
		m, n, err := r.speech.next(data)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
		if err := r.take(fd, w, m, at); err != nil {
			return err
		}
	}
	w.rest = append(w.rest[:0], data...)
	return nil
}

// take takes in one message.
func (r *reader) take(fd int, w *watcher, m message, at time.Duration) error {
	if m.reply != nil {
		_, err := syscall.Write(fd, m.reply)
		return err
	}
	if m.begins && !w.begun {
		w.begun = true
		r.audience.begun.Add(1)
	}
	if m.revision != 0 {
		return r.tell(w, m.revision, at)
	}
	return nil
}

// tell counts the events up to a revision. One that a newer took the place of has been told when that was: from then on its watcher knows it.
func (r *reader) tell(w *watcher, revision uint64, at time.Duration) error {
	s := r.audience.song
	if revision < s.first {
		return nil
	}
	last := int(revision - s.first)
	if last >= len(s.sent) || s.sent[last].Load() == 0 {
		return fmt.Errorf("the revision %d was told and has not been published", revision)
	}
	if w.next > last {
		return nil
	}
	for ; w.next <= last; w.next++ {
		if w.next < s.warmup {
			continue
		}
		took := at - time.Duration(s.sent[w.next].Load())
		_ = r.hist.RecordValue(min(max(took.Microseconds(), 1), time.Minute.Microseconds()))
		r.told++
		if w.next < last {
			r.skipped++
		}
	}
	if w.next == len(s.sent) {
		r.audience.done.Add(1)
	}
	return nil
}
