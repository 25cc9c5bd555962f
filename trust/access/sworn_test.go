package access

import (
	"crypto/ed25519"
	"maps"
	"testing"

	"laurel/score"
	"laurel/trust/operator"
)

// ed25519.Verify panics if a key is too short, so no snapshot and no file may bring one.
func TestAStateWithAKeyThatIsNoneIsNotValid(t *testing.T) {
	first := testKey(1).Public().(ed25519.PublicKey)
	frontend := testKey(2).Public().(ed25519.PublicKey)
	valid := NewState()
	valid.Settings.Sworn, valid.Founder = true, operator.Fingerprint(first)
	valid.Operators = map[string]*Operator{score.KeyID(first): {Name: "getafix", Public: first}}
	valid.Roster = map[string]*RosterEntry{"f1": {Name: "f1", Key: frontend}}
	if !valid.Valid() {
		t.Fatal("the state is not valid")
	}
	short := first[:31]
	for what, change := range map[string]func(s *State){
		"an operator's key that is too short": func(s *State) {
			s.Operators[score.KeyID(short)] = &Operator{Name: "x", Public: short}
		},
		"an operator's key under another id": func(s *State) {
			s.Operators[score.KeyID(frontend)] = &Operator{Name: "x", Public: first}
		},
		"no operator under an id":         func(s *State) { s.Operators["x"] = nil },
		"a frontend's key that is empty":  func(s *State) { s.Roster["f2"] = &RosterEntry{Name: "f2"} },
		"a frontend under another's name": func(s *State) { s.Roster["f2"] = s.Roster["f1"] },
		"no frontend under a name":        func(s *State) { s.Roster["f2"] = nil },
	} {
		s := *valid
		s.Operators, s.Roster = maps.Clone(valid.Operators), maps.Clone(valid.Roster)
		if change(&s); s.Valid() {
			t.Errorf("%s: it is valid", what)
		}
	}
}
