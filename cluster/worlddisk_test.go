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

// mortal is the log of a process. What it writes after its crash is not written. Like raft-wal it has no gaps, and refuses what would make one.
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
	if err := s.follows(l); err != nil {
		return err
	}
	s.of.node.w.ledger.stored(s.of.node, l)
	if err := s.InmemStore.StoreLogs(l); err != nil {
		return err
	}
	if s.of.node.now.Load() == s.of { // its Start has returned
		s.of.node.w.ledger.look(s.of)
	}
	return nil
}

// IsMonotonic makes Raft empty the log when it installs a snapshot, as in production.
func (s *mortal) IsMonotonic() bool { return true }

// follows refuses entries that do not follow on the last one.
func (s *mortal) follows(l []*raft.Log) error {
	last, err := s.LastIndex()
	for _, e := range l {
		if err == nil && last > 0 && e.Index != last+1 {
			err = fmt.Errorf("non-monotonic log entries: tried to append index %d after %d", e.Index, last)
		}
		last = e.Index
	}
	return err
}

func (s *mortal) DeleteRange(from, to uint64) error {
	s.wait()
	if s.of.dead.Load() {
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
	if s.of.node.now.Load() == s.of {
		s.of.node.w.ledger.shortened(s.of, from, to)
	}
	return s.InmemStore.DeleteRange(from, min(to, last))
}
func (s *mortal) Set(k, v []byte) error {
	s.wait()
	if s.of.dead.Load() {
		return nil
	}
	if string(k) == voteCandidateKey && len(v) > 0 { // its term was stored before
		term, err := s.GetUint64([]byte("LastVoteTerm"))
		if err != nil {
			return err
		}
		s.of.node.w.ledger.voted(s.of.node, term, v)
	}
	return s.InmemStore.Set(k, v)
}
func (s *mortal) SetUint64(k []byte, v uint64) error {
	s.wait()
	if s.of.dead.Load() {
		return nil
	}
	if string(k) == termKey {
		if was, err := s.GetUint64(k); err == nil && v < was {
			s.of.node.w.ledger.wrong("the term of %s goes back from %d to %d", s.of.node.id, was, v)
		}
	}
	return s.InmemStore.SetUint64(k, v)
}
