package raftlog

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// fakeBackend is a backend whose calls are functions of the test.
type fakeBackend struct {
	Backend
	get   func() error
	store func() error
}

func (b fakeBackend) GetLog(uint64, *raft.Log) error { return b.get() }
func (b fakeBackend) StoreLogs([]*raft.Log) error    { return b.store() }

func newTestWatchdog(b Backend, stallTimeout time.Duration, fatal func(error)) *watchdogStore {
	return newWatchdogStore(b, Options{
		StallTimeout: stallTimeout,
		Fatal:        fatal,
		ObserveWrite: func(time.Duration) {},
	})
}

func TestEntryThatCannotBeReadEndsTheMember(t *testing.T) {
	failed := make(chan error, 1)
	b := fakeBackend{get: func() error { return wal.ErrCorrupt }}
	d := newTestWatchdog(b, time.Minute, func(err error) { failed <- err })
	d.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.GetLog(7, new(raft.Log))
		t.Error("the error was returned, and Raft would panic")
	}()
	<-done
	if err := <-failed; !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("it ended with %v", err)
	}
}

func TestStalledWriteIsSeenWhileOtherWritesPass(t *testing.T) {
	failed := make(chan error, 1)
	stalled, open := make(chan struct{}), make(chan struct{})
	b := fakeBackend{store: func() error {
		close(stalled)
		<-open
		return nil
	}}
	d := newTestWatchdog(b, 50*time.Millisecond, func(err error) {
		select {
		case failed <- err:
		default:
		}
	})
	var running sync.WaitGroup
	running.Go(func() { d.StoreLogs(nil) })
	<-stalled
	stop := make(chan struct{})
	running.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				d.write("pass", func() error { return nil })
			}
		}
	})
	select {
	case <-failed:
	case <-time.After(patience):
		t.Error("the stalled write was not reported")
	}
	close(stop)
	close(open)
	d.stop()
	running.Wait()
}

func TestStoreReturnsNothingAfterAnError(t *testing.T) {
	failed := make(chan error, 1)
	b := fakeBackend{store: func() error { return syscall.ENOSPC }}
	d := newTestWatchdog(b, time.Minute, func(err error) { failed <- err })
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- returned }()
		d.StoreLogs(nil)
		returned = true
	}()
	if err := <-failed; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it failed with %v", err)
	}
	select {
	case <-ended:
		t.Error("it did not wait for the member to close")
	default:
	}
	d.stop()
	if <-ended {
		t.Error("the write returned")
	}
}

// crashingBackend ignores writes of the stable store after the first few, as after a
// crash.
type crashingBackend struct {
	Backend
	left int // writes before the crash
}

func (b *crashingBackend) crashed() bool { b.left--; return b.left < 0 }

func (b *crashingBackend) Set(k, v []byte) error {
	if b.crashed() {
		return nil
	}
	return b.Backend.Set(k, v)
}

func (b *crashingBackend) SetUint64(k []byte, v uint64) error {
	if b.crashed() {
		return nil
	}
	return b.Backend.SetUint64(k, v)
}

// Raft stores the term of a vote and then its candidate (hashicorp/raft#661).
func TestCrashWithinAVoteLeavesNoOlderCandidate(t *testing.T) {
	for left := range 4 {
		s := openStore(t, t.TempDir())
		vote := func(term uint64, candidate string) {
			s.watchdog.SetUint64([]byte(voteTermKey), term)
			s.watchdog.Set([]byte(voteCandidateKey), []byte(candidate))
		}
		vote(4, "old")
		s.watchdog.Backend = &crashingBackend{s.backend, left}
		vote(5, "new")
		term, err := s.votes.GetUint64([]byte(voteTermKey))
		if err != nil {
			t.Fatal(err)
		}
		candidate, err := s.votes.Get([]byte(voteCandidateKey))
		if err != nil {
			t.Fatal(err)
		}
		if term == 5 && string(candidate) == "old" {
			t.Errorf("after a crash after %d writes, the vote of term 5 is for the candidate of term 4", left)
		}
		if left == 3 && (term != 5 || string(candidate) != "new") {
			t.Errorf("the vote is for %q in term %d", candidate, term)
		}
	}
}
