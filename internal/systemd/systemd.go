// Package systemd tells systemd how this process is, by the protocol of sd_notify(3).
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	// extendEvery is how often a process that starts asks for startTimeout more.
	extendEvery  = 10 * time.Second
	startTimeout = 60 * time.Second
	sendTimeout  = time.Second
)

// Service is this process as a service of systemd. In a process that systemd has not
// started its methods do nothing. It is safe for concurrent use.
type Service struct {
	socket string        // "": systemd does not listen
	watch  time.Duration // the pause between two signs of life; 0: none are wanted
	log    *slog.Logger
	// extendEvery and sendTimeout are the constants of these names, but longer in tests.
	extendEvery, sendTimeout time.Duration

	stopping sync.Once

	mu    sync.Mutex
	ready chan struct{} // closed by Ready
	alive func()
}

// New reads what systemd has told this process. The process must call Run.
func New(log *slog.Logger) *Service {
	s := &Service{
		socket: os.Getenv("NOTIFY_SOCKET"), log: log, extendEvery: extendEvery, sendTimeout: sendTimeout,
		ready: make(chan struct{}), alive: func() {},
	}
	limit, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err == nil && limit > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watch = max(time.Duration(limit)*time.Microsecond/2, time.Millisecond)
	}
	return s
}

// Run has systemd wait while the process starts, and gives it signs of life after that,
// until ctx ends. Then it calls Stopping.
func (s *Service) Run(ctx context.Context) {
	if s.socket == "" {
		return
	}
	defer s.Stopping()
	s.extend(ctx)
	if s.watch == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(s.watch)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.mu.Lock()
		alive := s.alive
		s.mu.Unlock()
		alive()
		s.send("WATCHDOG=1")
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// extend has systemd wait until Ready is called.
func (s *Service) extend(ctx context.Context) {
	tick := time.NewTicker(s.extendEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		select {
		case <-s.ready:
		default:
			s.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startTimeout.Microseconds()))
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-s.ready:
			return
		case <-tick.C:
		}
	}
}

// Ready tells that the process has started. From then on a call of alive must return before
// each sign of life; alive may be nil. Ready may be called again with another one.
func (s *Service) Ready(alive func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if alive != nil {
		s.alive = alive
	}
	select {
	case <-s.ready:
	default:
		s.send("READY=1")
		close(s.ready)
	}
}

// Stopping tells that the process is stopping. It may be called again.
func (s *Service) Stopping() { s.stopping.Do(func() { s.send("STOPPING=1") }) }

func (s *Service) send(state string) {
	if s.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(s.sendTimeout)) // it waits while systemd does not read
		_, err = c.Write([]byte(state))
		c.Close()
	}
	if err != nil {
		s.log.Warn("systemd could not be told", "state", state, "err", err)
	}
}
