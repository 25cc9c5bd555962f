package cluster

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const slowestDisk = 60 * time.Millisecond

// mortal is the log of a process. What it writes after its crash is not written.
type mortal struct {
	*raft.InmemStore
	of   *worldMember
	rand *rand.Rand
	mu   sync.Mutex
}

func (s *mortal) wait() {
	s.mu.Lock()
	d := 50*time.Microsecond + time.Duration(s.rand.Int64N(int64(300*time.Microsecond)))
	if s.rand.IntN(200) == 0 {
		d = time.Duration(s.rand.Int64N(int64(slowestDisk)))
	}
	s.mu.Unlock()
	time.Sleep(d)
}

func (s *mortal) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }
func (s *mortal) StoreLogs(l []*raft.Log) error {
	s.wait()
	if s.of.dead.Load() {
		s.of.lost.Store(true)
		return nil
	}
	return s.InmemStore.StoreLogs(l)
}
func (s *mortal) DeleteRange(from, to uint64) error {
	s.wait()
	if s.of.dead.Load() {
		return nil
	}
	return s.InmemStore.DeleteRange(from, to)
}
func (s *mortal) Set(k, v []byte) error {
	s.wait()
	if s.of.dead.Load() {
		return nil
	}
	return s.InmemStore.Set(k, v)
}
func (s *mortal) SetUint64(k []byte, v uint64) error {
	s.wait()
	if s.of.dead.Load() {
		return nil
	}
	return s.InmemStore.SetUint64(k, v)
}
