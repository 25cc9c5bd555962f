package access

import (
	"bytes"
	"fmt"
	"time"

	"laurel/score"
)

// RosterEntry names the key by which others know a frontend, whatever certificate it has.
type RosterEntry struct {
	Name string `json:"name"` // the id of the frontend
	Key  []byte `json:"key"`  // Ed25519
	// Proof is set in the state, but for the frontend that founded the group.
	Proof *Proof `json:"proof,omitzero"`
}

// Proof is what Signed needs to restore the change that an operator has signed.
type Proof struct {
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Number    uint64    `json:"number"`
	Key       string    `json:"key"`
	Signature []byte    `json:"signature"`
}

// Signed returns the change that has put a frontend into the roster; nil for none.
func (e *RosterEntry) Signed() *SignedChange {
	if e == nil || e.Proof == nil {
		return nil
	}
	p := e.Proof
	return &SignedChange{
		Change: Change{At: p.At, By: p.By, Sworn: &SwornChange{Frontend: &RosterEntry{Name: e.Name, Key: e.Key}}},
		Number: p.Number, Key: p.Key, Signature: p.Signature,
	}
}

// KeyOf returns the key by which the roster knows a frontend; nil for none.
func (s *State) KeyOf(name string) []byte {
	if e := s.Roster[name]; e != nil {
		return e.Key
	}
	return nil
}

// Announces reports whether a change, which may be newer than this state, is an operator's
// word that a frontend has a key.
func (s *State) Announces(c *SignedChange, name string, key []byte) bool {
	by := s.Operators[c.Key]
	if by == nil || by.Revoked || c.Number <= by.Number || c.Change.By != by.Name || c.Change.Actions() != 1 ||
		c.Change.Sworn == nil || c.Change.Sworn.actions() != 1 || c.Change.Sworn.Frontend == nil {
		return false
	}
	f := c.Change.Sworn.Frontend
	_, refused := by.verify(c, s.Settings.Lineage)
	return refused == nil && f.Name == name && bytes.Equal(f.Key, key)
}

func (s *State) setFrontend(f *RosterEntry) (summary string, refused *score.Problem) {
	k := score.Checker{}
	f.check(&k, "frontend")
	if k.Problem != nil {
		return "", k.Problem
	}
	for _, other := range s.Roster {
		if other.Name != f.Name && bytes.Equal(other.Key, f.Key) {
			return "", idTaken("frontend.key", score.KeyID(f.Key), "the frontend "+other.Name)
		}
	}
	old := s.Roster[f.Name]
	switch {
	case old != nil && bytes.Equal(old.Key, f.Key):
		return "", nil
	case old == nil && len(s.Roster) >= MaxRoster:
		return "", score.Problemf(score.TooLarge, "the roster has %d frontends, which is the most", MaxRoster)
	}
	s.Roster = with(s.Roster, f.Name, f)
	if old != nil {
		return fmt.Sprintf("the key of the frontend %s was %s; now it is %s",
			f.Name, score.KeyID(old.Key), score.KeyID(f.Key)), nil
	}
	return fmt.Sprintf("the roster has the frontend %s with the key %s", f.Name, score.KeyID(f.Key)), nil
}

func (s *State) dropFrontend(name string) (summary string, refused *score.Problem) {
	switch {
	case s.Roster[name] == nil:
		return "", score.Problemf(score.NotFound, "the roster has no frontend %.40q", name)
	case len(s.Roster) == 1:
		return "", score.Problemf(score.StatusConflict,
			"%q is the only frontend of the roster; add another first", name)
	}
	s.Roster = with(s.Roster, name, nil)
	return fmt.Sprintf("the roster has the frontend %s no more", name), nil
}

func (f *RosterEntry) check(k *score.Checker, field string) {
	if f.Proof != nil {
		k.Fail(field+".proof", "has no effect: the signature of the change is the proof")
	}
	checkID(k, field+".name", f.Name)
	checkKey(k, field+".key", f.Key)
}
