package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const slowestDisk = 60 * time.Millisecond

// crashableStore is the store of a process in memory. It ignores writes after the crash
// of the process. Like raft-wal it refuses entries that would leave a gap.
type crashableStore struct {
	*raft.InmemStore
	member *worldMember
	rand   *rand.Rand
	mu     sync.Mutex
}

func (s *crashableStore) wait() {
	s.mu.Lock()
	d := 50*time.Microsecond + time.Duration(s.rand.Int64N(int64(300*time.Microsecond)))
	if s.rand.IntN(200) == 0 {
		d = time.Duration(s.rand.Int64N(int64(slowestDisk)))
	}
	s.mu.Unlock()
	time.Sleep(d)
}

func (s *crashableStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }
func (s *crashableStore) StoreLogs(l []*raft.Log) error {
	s.wait()
	if s.member.crashed.Load() {
		return nil
	}
	if err := s.follows(l); err != nil {
		return err
	}
	s.member.node.w.checker.stored(s.member.node, l)
	if err := s.InmemStore.StoreLogs(l); err != nil {
		return err
	}
	if s.member.node.now.Load() == s.member { // its Start has returned
		s.member.node.w.checker.check(s.member)
	}
	return nil
}

// IsMonotonic reports that the log can have no gaps, as in production.
func (s *crashableStore) IsMonotonic() bool { return true }

// follows returns an error for entries that do not follow the last one.
func (s *crashableStore) follows(l []*raft.Log) error {
	last, err := s.LastIndex()
	for _, e := range l {
		if err == nil && last > 0 && e.Index != last+1 {
			err = fmt.Errorf("non-monotonic log entries: tried to append index %d after %d", e.Index, last)
		}
		last = e.Index
	}
	return err
}

// DeleteRange takes no time: raftlog.Log holds a mutex meanwhile, and virtual time stands
// still while a goroutine waits for a mutex.
func (s *crashableStore) DeleteRange(from, to uint64) error {
	if s.member.crashed.Load() {
		return nil
	}
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	switch {
	case err != nil || last == 0 || to < first || from > last:
		return err
	case from > first && to < last:
		return errors.New("only suffix or prefix ranges may be deleted from log")
	}
	if s.member.node.now.Load() == s.member {
		s.member.node.w.checker.shortened(s.member, from, to)
	}
	return s.InmemStore.DeleteRange(from, min(to, last))
}
func (s *crashableStore) Set(k, v []byte) error {
	s.wait()
	if s.member.crashed.Load() {
		return nil
	}
	if string(k) == voteCandidateKey && len(v) > 0 { // its term was stored before
		term, err := s.GetUint64([]byte("LastVoteTerm"))
		if err != nil {
			return err
		}
		s.member.node.w.checker.voted(s.member.node, term, v)
	}
	return s.InmemStore.Set(k, v)
}
func (s *crashableStore) SetUint64(k []byte, v uint64) error {
	s.wait()
	if s.member.crashed.Load() {
		return nil
	}
	if string(k) == termKey {
		if was, err := s.GetUint64(k); err == nil && v < was {
			s.member.node.w.checker.violation("the term of %s goes back from %d to %d", s.member.node.id, was, v)
		}
	}
	return s.InmemStore.SetUint64(k, v)
}
