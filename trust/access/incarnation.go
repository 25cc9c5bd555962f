package access

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"laurel/score"
)

// Incarnation describes how a store goes on in another incarnation: its lineage, settings and
// grants stay, and those of a sworn group who may sign.
type Incarnation struct {
	Name string // the value of the setting
	At   time.Time
	// Group describes the new group that has the store; nil if the group goes on.
	Group *NewGroup
	// Lost are the server ids of the members without which it goes on, and KeyHolders those
	// of them that hold the private key of the authority. Authority is the certificate (DER)
	// of the one that replaces the others; none if they stay.
	Lost, KeyHolders []string
	Authority        []byte
}

// maxFormer bounds the incarnations that a store remembers.
const maxFormer = 8

// NewGroup describes the group that a frontend founds with a store that there was before.
// Join tokens, enrolments, authorities, removed members and the roster are those of the
// group before, and go.
type NewGroup struct {
	Founder   string // the id of the frontend
	Authority []byte // the certificate (DER) of the group's authority; none in an insecure group
	Witness   []byte // the key of the founder in the roster; none in a group that is not sworn
	// Operator is the token of an operator, and Join a join token. A sworn group has neither
	// without a signature, and an insecure one needs none: there both are nil.
	Operator *Recovery
	Join     *JoinToken
}

// Incarnate returns the state of the store in another incarnation. The frontend that founds
// a group is the first one of the roster, as that of a new sworn group is.
//
// What an operator has signed before is for the incarnation that ends: the numbers of all
// operators are raised to the present one, which is the time in microseconds.
func (s *State) Incarnate(i *Incarnation) (*State, error) {
	before := s.Settings
	switch {
	case before.Lineage == "" || before.Incarnation == "":
		return nil, errors.New("the store was never founded: it has no lineage or no incarnation")
	case !score.ValidLineage(i.Name):
		return nil, fmt.Errorf("invalid incarnation %q: want %s", i.Name, wantStoreID)
	case i.Name == before.Incarnation:
		return nil, fmt.Errorf("the store is in the incarnation %q already", i.Name)
	}
	after := *s
	after.Settings.Incarnation = i.Name
	after.Former = append(slices.Clone(s.Former), before.Incarnation)
	after.Former = after.Former[max(0, len(after.Former)-maxFormer):]
	number := uint64(max(i.At.UnixMicro(), 0))
	for id, o := range s.Operators {
		next := *o
		next.Number, next.Last = max(o.Number, number), nil
		after.Operators = with(after.Operators, id, &next)
	}
	if i.Group != nil {
		if err := after.begin(i.Group, i.At); err != nil {
			return nil, err
		}
	}
	if len(i.Authority) > 0 {
		after.Authorities, after.Exposed = [][]byte{i.Authority}, nil
	}
	for _, id := range i.Lost {
		after.removeMember(id, i.At, slices.Contains(i.KeyHolders, id) && len(i.Authority) == 0)
	}
	if !after.Valid() {
		return nil, errors.New("the new group is not valid")
	}
	return &after, nil
}

// begin makes s the state of a new group.
func (s *State) begin(g *NewGroup, at time.Time) error {
	k := score.Checker{}
	checkID(&k, "founder", g.Founder)
	founder := &RosterEntry{Name: g.Founder, Key: g.Witness}
	switch {
	case s.Guarded != (len(g.Authority) > 0):
		k.Fail("authority", "a group needs one if it is secure, and only then")
	case s.Settings.Sworn != (len(g.Witness) > 0):
		k.Fail("witness", "a founder needs a key if the group is sworn, and only then")
	case s.Settings.Sworn:
		founder.check(&k, "witness")
	}
	if k.Problem != nil {
		return k.Problem
	}
	empty := NewState()
	s.JoinTokens, s.Enrolments, s.Removed, s.Exposed = empty.JoinTokens, nil, empty.Removed, nil
	s.Authorities, s.Roster = nil, nil
	if s.Guarded {
		s.Authorities = [][]byte{g.Authority}
	}
	if s.Settings.Sworn {
		s.Roster = map[string]*RosterEntry{founder.Name: founder}
	}
	if s.Settings.Sworn && (g.Operator != nil || g.Join != nil) {
		return unsignedChange()
	}
	if g.Operator != nil && !s.isOperator(g.Operator) {
		if _, p := s.recover(&Change{At: at, By: g.Founder, Recover: g.Operator}); p != nil {
			return p
		}
	}
	if g.Join != nil {
		if _, p := s.addJoinToken(g.Join, at); p != nil {
			return p
		}
	}
	return nil
}

// isOperator reports whether a token is an operator's already, as the one of an authority is
// that founds the same group again.
func (s *State) isOperator(r *Recovery) bool {
	g := s.Grants[r.ID]
	return g != nil && g.operatesForever() && bytes.Equal(g.Hash, r.Hash)
}
