package cluster

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/raft"
)

// powerPromise is what a member may have acknowledged at some time, and what it may lack.
type powerPromise struct {
	relied   map[uint64]powerEntry   // entries that its log or a snapshot must have
	possible map[uint64][]powerEntry // entries that its log may have
	values   map[string][][]byte     // of the stable store: the last one set, and those being set
}

// newPowerPromise reads the marks of a member before a time.
func newPowerPromise(marks []powerMark, cut int, member string) *powerPromise {
	p := &powerPromise{
		relied:   map[uint64]powerEntry{},
		possible: map[uint64][]powerEntry{},
		values:   map[string][][]byte{},
	}
	begun := map[int64]powerMark{}
	first := uint64(0) // of the log
	for _, m := range marks {
		if m.at >= cut || m.Member != member {
			continue
		}
		switch m.Kind {
		case markOpened:
			for i, e := range m.Entries {
				if i == 0 {
					first = e.Index
				}
				p.relied[e.Index] = e
			}
		case markStoring:
			begun[m.Call] = m
			for _, e := range m.Entries {
				p.possible[e.Index] = append(p.possible[e.Index], e)
			}
		case markStored:
			for i, e := range begun[m.Call].Entries {
				if i == 0 && first == 0 {
					first = e.Index
				}
				p.relied[e.Index] = e
				p.possible[e.Index] = []powerEntry{e}
			}
		case markRemoving:
			begun[m.Call] = m
			if m.From > first { // the newest entries, which another master replaces
				for i := m.From; i <= m.To; i++ {
					delete(p.relied, i)
				}
			}
		case markRemoved:
			m = begun[m.Call]
			if m.From <= first {
				first = m.To + 1
				break
			}
			for i := m.From; i <= m.To; i++ {
				delete(p.possible, i)
			}
		case markHolds:
			p.values[m.Key] = [][]byte{m.Value}
		case markSetting:
			begun[m.Call] = m
			p.values[m.Key] = append(p.values[m.Key], m.Value)
			if len(p.values[m.Key]) == 1 {
				p.values[m.Key] = [][]byte{nil, m.Value}
			}
		case markSet:
			m = begun[m.Call]
			p.values[m.Key] = [][]byte{m.Value}
		}
	}
	return p
}

// checkValues compares the term and the vote with those that the member may have
// acknowledged.
func (p *powerPromise) checkValues(stable raft.StableStore) error {
	for key, want := range p.values {
		has, err := stable.Get([]byte(key))
		if err != nil {
			has = nil
		}
		if key != voteCandidateKey && has != nil {
			n, err := stable.GetUint64([]byte(key))
			if err != nil {
				return err
			}
			has = fmt.Append(nil, n)
		}
		ok := false
		for _, w := range want {
			ok = ok || bytes.Equal(w, has)
		}
		if !ok {
			return fmt.Errorf("%s is %q, not one of %q", key, has, want)
		}
	}
	return nil
}

// checkLog compares the log with the entries that the member has stored. Entries that the
// state has may be missing.
func (p *powerPromise) checkLog(entries []powerEntry, covered uint64) error {
	there := map[uint64]powerEntry{}
	for _, e := range entries {
		there[e.Index] = e
		known := false
		for _, c := range p.possible[e.Index] {
			known = known || c.same(e)
		}
		if !known {
			return fmt.Errorf("its log has an entry %d of term %d that it never stored or has removed", e.Index, e.Term)
		}
	}
	for i, e := range p.relied {
		if is, ok := there[i]; ok && !is.same(e) || !ok && i > covered {
			return fmt.Errorf("its log lacks entry %d of term %d", i, e.Term)
		}
	}
	return nil
}
