package raftlog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// DefaultStallTimeout is how long one write of the log may take. Raft's heartbeats
// continue while the disk hangs, so a master whose disk hangs would stay master and
// accept no writes. With this limit it ends itself, and the others elect another one.
const DefaultStallTimeout = 5 * time.Second

// stallTicks is the number of ticks in which the stall timeout is counted.
const stallTicks = 10

// The keys under which hashicorp/raft stores its term and its last vote. The candidate is
// empty while a vote is being stored.
const (
	termKey          = "CurrentTerm"
	voteTermKey      = "LastVoteTerm"
	voteCandidateKey = "LastVoteCand"
)

// watchdogStore ends the member at the first read or write that fails, and when a write
// stalls. After an error no call returns to Raft, which would otherwise continue with a
// log that may lack its last entry.
type watchdogStore struct {
	Backend
	opts    Options
	stopped context.Context
	stop    context.CancelFunc // also ends the goroutines that fail keeps waiting
}

func newWatchdogStore(b Backend, o Options) *watchdogStore {
	d := &watchdogStore{Backend: b, opts: o}
	d.stopped, d.stop = context.WithCancel(context.Background())
	return d
}

func (d *watchdogStore) write(what string, f func() error) error {
	start, w := time.Now(), d.watch()
	err := f()
	w.end()
	d.opts.ObserveWrite(time.Since(start))
	if err != nil {
		d.fail(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// watch begins to watch a write.
func (d *watchdogStore) watch() *watch {
	w := &watch{store: d}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(d.opts.StallTimeout/stallTicks, w.tick)
	return w
}

// watch watches one write, and passes it to fatal if it stalls. It counts its own ticks
// instead of reading a clock, so that a process that was suspended does not blame the
// disk.
type watch struct {
	store *watchdogStore

	mu    sync.Mutex
	timer *time.Timer
	ticks int
	over  bool // the write is done
}

func (w *watch) tick() {
	if w.stalled() {
		w.store.opts.Fatal(fmt.Errorf("a write of the log has not finished within %s", w.store.opts.StallTimeout))
	}
}

// stalled counts a tick, and reports whether it is the one at which the write has stalled.
func (w *watch) stalled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.store.stopped.Err() != nil {
		return false
	}
	w.ticks++
	if w.ticks < stallTicks {
		w.timer.Reset(w.store.opts.StallTimeout / stallTicks)
		return false
	}
	return true
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

// fail passes an error to fatal and does not return.
func (d *watchdogStore) fail(err error) {
	d.opts.Fatal(err)
	<-d.stopped.Done()
	// Raft would panic, or answer a request, if it got the error back. Its goroutine has
	// nothing left to do, because the member is closing.
	runtime.Goexit()
}

// GetLog reads an entry.
func (d *watchdogStore) GetLog(index uint64, to *raft.Log) error {
	err := d.Backend.GetLog(index, to)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		d.fail(fmt.Errorf("read the log: %w", err))
	}
	return err
}

// StoreLog appends one entry.
func (d *watchdogStore) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and waits for the disk.
func (d *watchdogStore) StoreLogs(l []*raft.Log) error {
	return d.write("write the log", func() error { return d.Backend.StoreLogs(l) })
}

// DeleteRange removes entries.
func (d *watchdogStore) DeleteRange(from, to uint64) error {
	return d.write("shorten the log", func() error { return d.Backend.DeleteRange(from, to) })
}

// Set stores the candidate of Raft's vote.
func (d *watchdogStore) Set(k, v []byte) error {
	return d.write("write Raft's vote", func() error { return d.Backend.Set(k, v) })
}

// SetUint64 stores a term of Raft's, which never goes down: a member must not forget what
// it has promised in a higher term. hashicorp/raft writes terms from more than one
// goroutine (hashicorp/raft#695).
func (d *watchdogStore) SetUint64(k []byte, v uint64) error {
	// On an error nothing is stored yet, or the write will fail likewise.
	if before, err := d.Backend.GetUint64(k); err == nil && before > v {
		d.fail(contradiction(d.opts.Dir, "raft is to store %d as its %s, but that is %d already", v, k, before))
	}
	if string(k) == voteTermKey {
		// Raft writes the term of a vote and then its candidate. After a crash between
		// the two, the candidate of an older vote would get this one without a comparison
		// of logs (hashicorp/raft#661). So that candidate is erased first.
		d.write("write Raft's vote", func() error { return d.Backend.Set([]byte(voteCandidateKey), nil) })
	}
	return d.write("write Raft's term", func() error { return d.Backend.SetUint64(k, v) })
}
