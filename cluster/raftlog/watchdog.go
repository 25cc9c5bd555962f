package raftlog

import (
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

// watchdogStore ends the member at the first read or write that fails, and when a write
// stalls. After an error no call returns to Raft, which would otherwise continue with a
// log that may lack its last entry.
type watchdogStore struct {
	Backend
	dir          string
	observeWrite func(time.Duration)
	fatal        func(error)
	stallTimeout time.Duration
	stopped      chan struct{}
	once         sync.Once
	mu           sync.Mutex
	writes       map[*write]struct{} // under way; Raft makes several at a time
}

// write is a write under way.
type write struct{ ticks int } // of the watchdog since it began

func newWatchdogStore(b Backend, o Options) *watchdogStore {
	return &watchdogStore{
		Backend:      b,
		dir:          o.Dir,
		observeWrite: o.ObserveWrite,
		fatal:        o.Fatal,
		stallTimeout: o.StallTimeout,
		stopped:      make(chan struct{}),
		writes:       map[*write]struct{}{},
	}
}

// stop ends watch and the goroutines that fail keeps waiting.
func (d *watchdogStore) stop() { d.once.Do(func() { close(d.stopped) }) }

func (d *watchdogStore) write(what string, f func() error) error {
	start := time.Now()
	w := new(write)
	d.mu.Lock()
	d.writes[w] = struct{}{}
	d.mu.Unlock()
	err := f()
	d.mu.Lock()
	delete(d.writes, w)
	d.mu.Unlock()
	d.observeWrite(time.Since(start))
	if err != nil {
		d.fail(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// fail passes an error to fatal and does not return.
func (d *watchdogStore) fail(err error) {
	d.fatal(err)
	<-d.stopped
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

// IsMonotonic reports whether the log can have no gaps. Raft finds it by a type
// assertion.
func (d *watchdogStore) IsMonotonic() bool {
	log, ok := d.Backend.(raft.MonotonicLogStore)
	return ok && log.IsMonotonic()
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

// SetUint64 stores a term of Raft's. It ends the member if the term would go down.
func (d *watchdogStore) SetUint64(k []byte, v uint64) error {
	if err := checkStable(d.Backend, k, v); err != nil {
		d.fail(&ContradictionError{d.dir, err})
	}
	if string(k) == voteTermKey {
		// Raft writes the term of a vote and then its candidate. After a crash between
		// the two, the candidate of an older vote would get this one without a comparison
		// of logs (hashicorp/raft#661). So that candidate is erased first.
		d.write("write Raft's vote", func() error { return d.Backend.Set([]byte(voteCandidateKey), nil) })
	}
	return d.write("write Raft's term", func() error { return d.Backend.SetUint64(k, v) })
}

// watch passes a write that stalls to fatal. It returns after stop. It counts its own
// ticks instead of reading a clock, so that a process that was suspended does not blame
// the disk.
func (d *watchdogStore) watch() {
	tick := time.NewTicker(d.stallTimeout / stallTicks)
	defer tick.Stop()
	for {
		select {
		case <-d.stopped:
			return
		case <-tick.C:
		}
		d.mu.Lock()
		for w := range d.writes {
			if w.ticks++; w.ticks > stallTicks {
				d.fatal(fmt.Errorf("a write of the log has not finished within %s", d.stallTimeout))
			}
		}
		d.mu.Unlock()
	}
}
