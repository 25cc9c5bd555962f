package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// hangs is how long one write of the log may take. Raft's heartbeats go on while the disk hangs, so a master whose disk hangs would stay
// master and take no writes; after this it ends itself, and the others elect another.
const hangs = 5 * time.Second

// hangTicks is in how many parts hangs is counted.
const hangTicks = 10

// store is where Raft keeps its log, its term and its vote.
type store interface {
	raft.LogStore
	raft.StableStore
}

// apart keeps the log in one place and Raft's term and vote in another.
type apart struct {
	*segmentedLog
	raft.StableStore
}

// disk is a store that is watched. The first error, be it of a read, or a write that hangs, is told to fatal; after an error nothing comes back
// from the disk, so that Raft does nothing more with a log that may lack its last entry.
type disk struct {
	store
	dir     string
	metrics *metrics
	fatal   func(error)
	limit   time.Duration
	halt    chan struct{}
	once    sync.Once
	mu      sync.Mutex
	writes  map[*write]struct{} // those under way; Raft makes more than one at a time
}

// write is a write under way, and the ticks of the watch that it has lasted.
type write struct{ ticks int }

func newDisk(s store, o Options, m *metrics, fatal func(error)) *disk {
	return &disk{store: s, dir: o.Dir, metrics: m, fatal: fatal, limit: time.Duration(float64(hangs) * o.TimeScale), halt: make(chan struct{}), writes: map[*write]struct{}{}}
}

// release lets the goroutines go that wait after an error.
func (d *disk) release() { d.once.Do(func() { close(d.halt) }) }

func (d *disk) write(what string, f func() error) error {
	start := time.Now()
	w := new(write)
	d.mu.Lock()
	d.writes[w] = struct{}{}
	d.mu.Unlock()
	err := f()
	d.mu.Lock()
	delete(d.writes, w)
	d.mu.Unlock()
	d.metrics.diskWrite.Observe(time.Since(start).Seconds())
	if err != nil {
		d.stop(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// stop tells fatal of an error and does not come back.
func (d *disk) stop(err error) {
	d.fatal(err)
	<-d.halt
	// Raft panics, or answers, where it gets an error back. Its goroutine has nothing more to do: the member is closing.
	runtime.Goexit()
}

// GetLog reads an entry.
func (d *disk) GetLog(index uint64, to *raft.Log) error {
	err := d.store.GetLog(index, to)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		d.stop(fmt.Errorf("read the log: %w", err))
	}
	return err
}

// IsMonotonic says whether the log can have no gaps. Raft looks for it behind the interface.
func (d *disk) IsMonotonic() bool {
	log, ok := d.store.(raft.MonotonicLogStore)
	return ok && log.IsMonotonic()
}

// StoreLog appends one entry.
func (d *disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and waits for the disk.
func (d *disk) StoreLogs(l []*raft.Log) error {
	return d.write("write the log", func() error { return d.store.StoreLogs(l) })
}

// DeleteRange removes entries.
func (d *disk) DeleteRange(from, to uint64) error {
	return d.write("shorten the log", func() error { return d.store.DeleteRange(from, to) })
}

// Set stores a value of Raft's: its vote.
func (d *disk) Set(k, v []byte) error {
	return d.write("write Raft's vote", func() error { return d.store.Set(k, v) })
}

// SetUint64 stores a number of Raft's: its term. It ends the member if the term would go down.
func (d *disk) SetUint64(k []byte, v uint64) error {
	if err := checkStable(d.store, k, v); err != nil {
		d.stop(&ContradictionError{d.dir, err})
	}
	if string(k) == voteTermKey {
		// Raft writes the term of a vote and then its candidate. A crash in between must not
		// leave the candidate of an older vote, who would get this one without a look at its log
		// (hashicorp/raft#661).
		d.write("write Raft's vote", func() error { return d.store.Set([]byte(voteCandidateKey), nil) })
	}
	return d.write("write Raft's term", func() error { return d.store.SetUint64(k, v) })
}

// watch tells fatal of a write that hangs, until release. It counts its own ticks and reads no clock, so that a process that was stopped
// for a while does not take that for the disk's fault.
func (d *disk) watch() {
	tick := time.NewTicker(d.limit / hangTicks)
	defer tick.Stop()
	for {
		select {
		case <-d.halt:
			return
		case <-tick.C:
		}
		d.mu.Lock()
		for w := range d.writes {
			if w.ticks++; w.ticks > hangTicks {
				d.fatal(fmt.Errorf("a write of the log has not come to an end for %s", d.limit))
			}
		}
		d.mu.Unlock()
	}
}
