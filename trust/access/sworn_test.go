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

func TestALaterStateKeepsWhatOperatorsHaveSigned(t *testing.T) {
	first, second := testKey(1).Public().(ed25519.PublicKey), testKey(2).Public().(ed25519.PublicKey)
	state := func(change func(s *State)) *State {
		s := NewState()
		s.Settings.Sworn, s.Settings.Lineage, s.Founder = true, "l1", operator.Fingerprint(first)
		s.Operators = map[string]*Operator{
			score.KeyID(first):  {Name: "getafix", Public: first, Number: 5},
			score.KeyID(second): {Name: "obelix", Public: second, Number: 7, Revoked: true},
		}
		s.Grants["g"] = &Grant{ID: "g", Name: "bard/x", Revoked: true}
		s.Grants["h"] = &Grant{ID: "h", Name: "bard/y"}
		change(s)
		return s
	}
	old := state(func(*State) {})
	for what, c := range map[string]struct {
		change func(s *State)
		later  bool
	}{
		"the same":             {func(*State) {}, true},
		"another signed":       {func(s *State) { s.Operators[score.KeyID(first)].Number++ }, true},
		"another revoked":      {func(s *State) { s.Grants["h"].Revoked = true }, true},
		"not sworn":            {func(s *State) { s.Settings.Sworn, s.Founder = false, "" }, false},
		"another founder":      {func(s *State) { s.Founder = operator.Fingerprint(second) }, false},
		"another store":        {func(s *State) { s.Settings.Lineage = "l2" }, false},
		"one signed less":      {func(s *State) { s.Operators[score.KeyID(first)].Number-- }, false},
		"an operator less":     {func(s *State) { delete(s.Operators, score.KeyID(second)) }, false},
		"an operator restored": {func(s *State) { s.Operators[score.KeyID(second)].Revoked = false }, false},
		"a key restored":       {func(s *State) { s.Grants["g"].Revoked = false }, false},
	} {
		if err := state(c.change).CheckLater(old); (err == nil) != c.later {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := old.CheckLater(NewState()); err != nil {
		t.Errorf("after a new state: %v", err)
	}
}
