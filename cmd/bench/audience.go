package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// song is the events that an audience waits for. Their revisions follow one another, for nobody else writes to the store.
type song struct {
	began  time.Time
	first  uint64         // revision of the first event
	warmup int            // so many events are not measured
	sent   []atomic.Int64 // when each was published, in nanoseconds after began; 0: not yet
}

func newSong(first uint64, warmup, events int) *song {
	return &song{began: time.Now(), first: first, warmup: warmup, sent: make([]atomic.Int64, warmup+events)}
}

func (s *song) call(i int) { s.sent[i].Store(int64(time.Since(s.began))) }

// audience is watchers of one record at one server, each with a connection of its own. A few goroutines read them all with epoll, and every server's in the
// same way, because what the generator costs is taken from the servers: they share the cores.
type audience struct {
	song    *song
	readers []*reader
	fds     []int
	begun   atomic.Int64 // that have been told how the record is when they came
	done    atomic.Int64 // that have been told of the last event
	over    atomic.Bool
	failed  chan error
	reading sync.WaitGroup
}

const (
	// audienceReaders is how many goroutines read. One or two made no difference that could be seen on two cores.
	audienceReaders = 2
	// arriving is how many watchers may be connected and not yet begun, so that no server's queue of connections overflows.
	arriving = 256
)

// seat connects n watchers to a server and waits until each has begun. The audience must be closed, also after an error.
func seat(ctx context.Context, addr string, n int, sp speech, s *song) (*audience, error) {
	a := &audience{song: s, failed: make(chan error, 1)}
	for range audienceReaders {
		r, err := newReader(a, sp)
		if err != nil {
			return a, err
		}
		a.readers = append(a.readers, r)
		a.reading.Go(r.run)
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return a, err
	}
	for i := range n {
		fd, err := connectRaw(to, sp.ask())
		if err != nil {
			return a, fmt.Errorf("connecting the watcher %d of %d to %s: %w", i+1, n, addr, err)
		}
		a.fds = append(a.fds, fd)
		if err := a.readers[i%len(a.readers)].listen(fd); err != nil {
			return a, err
		}
		if err := a.await(ctx, "their beginning", func() bool { return int64(i)-a.begun.Load() < arriving }); err != nil {
			return a, err
		}
	}
	return a, a.await(ctx, "their beginning", func() bool { return a.begun.Load() == int64(n) })
}

// connectRaw opens a connection that Go's poller knows nothing of, sends what begins a watch, and makes it non-blocking.
func connectRaw(to netip.AddrPort, first []byte) (fd int, err error) {
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	defer func() {
		if err != nil {
			syscall.Close(fd)
		}
	}()
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return -1, err
	}
	if _, err := syscall.Write(fd, first); err != nil {
		return -1, err
	}
	return fd, syscall.SetNonblock(fd, true)
}

// await waits until something holds, or a reader fails.
func (a *audience) await(ctx context.Context, what string, holds func() bool) error {
	if holds() {
		return nil
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case err := <-a.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%d of %d watchers have begun, %d have been told all, waiting for %s: %w", a.begun.Load(), len(a.fds), a.done.Load(), what, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// sing publishes all events, so many a second, whether or not the audience keeps up.
func (a *audience) sing(ctx context.Context, c caller, perSecond float64) error {
	step := time.Duration(float64(time.Second) / perSecond)
	due := time.Now()
	for i := range a.song.sent {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-a.failed:
			return err
		case <-time.After(time.Until(due)):
		}
		due = due.Add(step)
		a.song.call(i)
		if err := c.write(ctx); err != nil {
			return err
		}
		if got, want := c.revision(), a.song.first+uint64(i); got != want {
			return fmt.Errorf("the event %d got the revision %d; want %d, for nobody else writes", i+1, got, want)
		}
	}
	return nil
}

// hear waits until every watcher has been told of the last event, at most for limit; then the readers' figures may be read. It tells how many have not.
func (a *audience) hear(ctx context.Context, limit time.Duration) (missing int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	err = a.await(ctx, "the last event", func() bool { return a.done.Load() == int64(len(a.fds)) })
	if errors.Is(err, errLate) {
		err = nil
	}
	a.end()
	return len(a.fds) - int(a.done.Load()), err
}

var errLate = errors.New("they are late")

func (a *audience) end() {
	a.over.Store(true)
	a.reading.Wait()
}

func (a *audience) close() {
	a.end()
	for _, r := range a.readers {
		syscall.Close(r.poll)
	}
	for _, fd := range a.fds {
		syscall.Close(fd)
	}
}
