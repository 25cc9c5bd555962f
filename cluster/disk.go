package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// hangs is how long one write of the log may take. Raft's heartbeats go on while the disk hangs, so a master whose disk hangs would stay
// master and take no writes; after this it ends itself, and the others elect another.
const hangs = 5 * time.Second

// disk is Raft's log and stable store, watched. The first error, or a write that hangs, is told to fatal; after an error nothing comes back
// from the disk, so that Raft does nothing more with a log that may lack its last entry.
type disk struct {
	*raftboltdb.BoltStore
	metrics *metrics
	fatal   func(error)
	limit   time.Duration
	since   atomic.Int64 // when the write began that is under way, in Unix nanoseconds; 0 if none is
	halt    chan struct{}
	once    sync.Once
}

func newDisk(s *raftboltdb.BoltStore, o Options, m *metrics, fatal func(error)) *disk {
	return &disk{BoltStore: s, metrics: m, fatal: fatal, limit: time.Duration(float64(hangs) * o.TimeScale), halt: make(chan struct{})}
}

func (d *disk) release() { d.once.Do(func() { close(d.halt) }) }

func (d *disk) write(what string, f func() error) error {
	start := time.Now()
	d.since.Store(start.UnixNano())
	err := f()
	d.since.Store(0)
	d.metrics.diskWrite.Observe(time.Since(start).Seconds())
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		d.fatal(err)
		<-d.halt
	}
	return err
}

// StoreLog appends one entry.
func (d *disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and waits for the disk.
func (d *disk) StoreLogs(l []*raft.Log) error {
	return d.write("write the log", func() error { return d.BoltStore.StoreLogs(l) })
}

// DeleteRange removes entries.
func (d *disk) DeleteRange(from, to uint64) error {
	return d.write("shorten the log", func() error { return d.BoltStore.DeleteRange(from, to) })
}

// Set stores a value of Raft's: its vote.
func (d *disk) Set(k, v []byte) error {
	return d.write("write Raft's vote", func() error { return d.BoltStore.Set(k, v) })
}

// SetUint64 stores a number of Raft's: its term.
func (d *disk) SetUint64(k []byte, v uint64) error {
	return d.write("write Raft's term", func() error { return d.BoltStore.SetUint64(k, v) })
}

// watch tells fatal of a write that hangs, until release.
func (d *disk) watch() {
	tick := time.NewTicker(d.limit / 10)
	defer tick.Stop()
	for {
		select {
		case <-d.halt:
			return
		case <-tick.C:
			if since := d.since.Load(); since != 0 && time.Since(time.Unix(0, since)) > d.limit {
				d.fatal(fmt.Errorf("a write of the log has not come to an end for %s", d.limit))
				return
			}
		}
	}
}
