// Package standing decides what a frontend of a sworn group does with each other one, by
// what is known against it. Each honest frontend decides alone: nothing is agreed on, and
// no frontend can speak against another one but by signed notes.
//
// A frontend that is distrusted begins nothing: no vote is given to it, no entries, leases
// and pushes are taken from it, and none are pushed to it, so it gets no lease. Clients are
// not sent to it. It is still sent the entries of the log, and its notes are heard, so it can
// come back. A frontend that is shunned is not spoken with at all.
package standing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"laurel/witness"
)

// splitTime is for how long the master is distrusted in whose term no quorum could agree.
const splitTime = time.Hour

// Standing is what is held against a frontend. The zero value is nothing.
type Standing struct {
	Frontend string        `json:"frontend"`
	Reason   witness.Fault `json:"reason"`
	Since    time.Time     `json:"since"`
	Round    uint64        `json:"round"`            // of the reason
	Shunned  bool          `json:"shunned,omitzero"` // else it is distrusted
	// Key is that of the frontend. With another one in the roster it is another frontend.
	Key []byte `json:"key"`

	notes [][]byte // the evidence of a conviction
}

// Text returns the reason for people.
func (s *Standing) Text() string {
	switch s.Reason {
	case witness.Convicted:
		return "signed two histories"
	case witness.Diverged:
		return "reported another history"
	case witness.Split:
		return "was the master when no quorum could agree"
	}
	return string(s.Reason)
}

// Error returns why the frontend is put out.
func (s *Standing) Error() string {
	return fmt.Sprintf("%s was put out at %s: it %s", s.Frontend, s.Since.Format(time.TimeOnly), s.Text())
}

// Bench is what is known when standings are decided.
type Bench struct {
	Self     string
	Now      time.Time
	Verdicts []witness.Verdict
	// Key returns the key that the roster has for a frontend; nil if it has none.
	Key func(name string) []byte
	// Master returns the master in whose term a round was sealed; "" if it is not known.
	Master func(round uint64) string
}

// Decide returns the standings, by frontend, after those before.
//
// Two roots of one size under one signature convict for good. Who has reported another
// history than a quorum may be honest, and misled, and is distrusted until it reports what
// the others do. If no quorum can agree the master may have told each frontend something
// else. But a frontend may also have been misled by the master before, so this one is left
// for some time, and not for good.
func Decide(before map[string]Standing, b Bench) map[string]Standing {
	after := map[string]Standing{}
	put := func(name string, reason witness.Fault, round uint64, notes [][]byte) {
		next := Standing{
			Frontend: name, Reason: reason, Since: b.Now, Round: round, Shunned: reason == witness.Convicted,
			Key: b.Key(name), notes: notes,
		}
		was, known := after[name]
		if name == "" || name == b.Self || next.Key == nil || known && (was.Shunned || !next.Shunned) {
			return
		}
		after[name] = next
	}
	for name, s := range before {
		current := slices.Equal(s.Key, b.Key(name))
		if current && (s.Shunned || s.Reason == witness.Split && b.Now.Sub(s.Since).Abs() < splitTime) {
			after[name] = s
		}
	}
	for _, v := range b.Verdicts {
		switch v.Fault {
		case witness.Convicted:
			put(v.Frontend, v.Fault, v.Size, v.Evidence)
		case witness.Diverged:
			if was := before[v.Frontend]; was.Reason == v.Fault && slices.Equal(was.Key, b.Key(v.Frontend)) {
				if _, worse := after[v.Frontend]; !worse {
					after[v.Frontend] = was
				}
				continue
			}
			put(v.Frontend, v.Fault, v.Size, nil)
		case witness.Split:
			put(b.Master(v.Size), v.Fault, v.Size, nil)
		}
	}
	return after
}

// sorted returns standings in the order of their frontends.
func sorted(standings map[string]Standing) []Standing {
	list := slices.Collect(maps.Values(standings))
	slices.SortFunc(list, func(a, b Standing) int { return cmp.Compare(a.Frontend, b.Frontend) })
	return list
}
