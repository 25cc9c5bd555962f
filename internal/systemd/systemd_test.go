package systemd

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// manager listens as systemd does.
func manager(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		b := make([]byte, 100)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestSystemdWaitsForAProcessThatStartsAndMissesOneThatHangs(t *testing.T) {
	next := manager(t)
	t.Setenv("WATCHDOG_USEC", "2000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	s := New(slog.New(slog.DiscardHandler))
	s.extendEvery, s.sendTimeout = time.Hour, time.Minute // what comes late is neither sent again nor lost
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	if got := next(); got != "EXTEND_TIMEOUT_USEC=60000000" {
		t.Errorf("while it starts: %s", got)
	}
	s.Ready(nil)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := next(); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
	hung, release := make(chan struct{}), make(chan struct{})
	s.Ready(func() {
		select {
		case hung <- struct{}{}:
			<-release
		default:
		}
	})
	<-hung
	go s.send("hung")      // while the signs of life from before fill the socket, it waits for next
	for next() != "hung" { // a sign of life from before
	}
	cancel()
	s.send("cancelled")
	if got := next(); got != "cancelled" {
		t.Errorf("a process that hangs says %s", got)
	}
	close(release)
	for got := next(); got != "STOPPING=1"; got = next() {
		if got != "WATCHDOG=1" {
			t.Errorf("at the end: %s", got)
		}
	}
	<-ended
}

func TestASystemdThatDoesNotReadHoldsNothingUp(t *testing.T) {
	manager(t)
	var warned atomic.Bool
	s := New(slog.New(slog.NewTextHandler(writes(func() { warned.Store(true) }), nil)))
	for range 10_000 { // more than the socket holds
		if s.send("WATCHDOG=1"); warned.Load() {
			return
		}
	}
	t.Error("nothing was lost")
}

// writes calls a function at each write.
type writes func()

func (f writes) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

func TestNothingIsSentWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	s := New(slog.New(slog.DiscardHandler))
	s.Ready(nil)
	s.Run(t.Context()) // returns at once
}

func TestTheWatchdogOfAnotherProcessIsNotFed(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "2000")
	t.Setenv("WATCHDOG_PID", "1")
	if s := New(slog.New(slog.DiscardHandler)); s.watch != 0 {
		t.Errorf("it feeds the watchdog of another process every %s", s.watch)
	}
}
