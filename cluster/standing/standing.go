// Package standing decides what a frontend of a sworn group does with each other one, by
// what is known against it. Each honest frontend decides alone: nothing is agreed on, and
// no frontend alone can speak against another one but by signed notes.
//
// A frontend that is distrusted begins nothing: no vote is given to it, no entries, leases
// and pushes are taken from it, and none are pushed to it, so it gets no lease. Clients are
// not sent to it. It is still sent the entries of the log, and its notes are heard, so it can
// come back. A frontend that is shunned is not spoken with at all.
//
// [Decide] decides, a [Keeper] keeps what was decided, and an [Enforcer] acts on it, and on
// what is known against its own frontend.
package standing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"laurel/witness"
)

// False is the fault of a frontend that answers readers otherwise than it reports, in the
// word of so many frontends that one of them is honest.
const False witness.Fault = "false"

// Unreadable is the fault of a frontend that has sent a log entry that cannot be parsed.
const Unreadable witness.Fault = "unreadable"

// distrustTime is for how long a frontend is distrusted that nothing later can acquit: who
// alone can have misled others when no quorum could agree, or has sent an entry that
// cannot be parsed.
const distrustTime = time.Hour

// masterFaults are those of a master that is left until another one has sealed.
var masterFaults = []witness.Fault{Stalled, Unelected, Unapplied}

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
	case witness.Altered:
		return "reported another state than others with its history"
	case witness.Split:
		return "misled others, so that no quorum could agree"
	case False:
		return "answered readers falsely"
	case Unreadable:
		return "sent a log entry that this version of laurel cannot parse"
	case Unelected:
		return "acted as the master without having been elected"
	case Stalled:
		return "sealed nothing although answers had changed"
	case Unapplied:
		return "said that events were applied that were not"
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
	Store    string // its lineage, which notes name
	Now      time.Time
	Verdicts []witness.Verdict
	// Key returns the key that the roster has for a frontend; nil if it has none.
	Key func(name string) []byte
	// Culprit is who is blamed if no quorum can agree on a round; "" for nobody.
	Culprit string
	Master  string // whom this frontend follows; "" for nobody
	Next    uint64 // the number of the next round
}

// Decide returns the standings, by frontend, after those before.
//
// Two roots of one size under one signature convict for good. Who has reported another
// history than a quorum may be honest, and misled, and is distrusted until it reports what
// the others do. If no quorum can agree, somebody has told frontends something else, and the
// one that is blamed for it is left for some time, and not for good: nothing proves it. A
// master that has stalled, was not elected or said what was not so is left until another one has
// sealed. Who answers readers falsely is distrusted while that is found: something before its
// port may lie, and nothing that it has signed proves it.
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
		timed, age := s.Reason == witness.Split || s.Reason == Unreadable, b.Now.Sub(s.Since).Abs()
		elsewhere := b.Master != "" && b.Master != name && b.Next > s.Round // another one has sealed
		left := slices.Contains(masterFaults, s.Reason) && age < stalledTime && !elsewhere
		if current && (s.Shunned || timed && age < distrustTime || left) {
			after[name] = s
		}
	}
	for _, v := range b.Verdicts {
		switch v.Fault {
		case witness.Convicted:
			put(v.Frontend, v.Fault, v.Size, v.Evidence)
		case witness.Diverged, witness.Altered, False:
			if was := before[v.Frontend]; was.Reason == v.Fault && slices.Equal(was.Key, b.Key(v.Frontend)) {
				if _, worse := after[v.Frontend]; !worse {
					after[v.Frontend] = was
				}
				continue
			}
			put(v.Frontend, v.Fault, v.Size, nil)
		case witness.Split:
			put(b.Culprit, v.Fault, v.Size, nil)
		case Unreadable, Stalled, Unelected, Unapplied:
			put(v.Frontend, v.Fault, v.Size, nil)
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
