package access

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/trust/operator"
)

// Limits of what a sworn store keeps. Operators are never deleted, because their numbers
// keep what they have signed from being used again.
const (
	MaxOperators = 100
	MaxRoster    = 100
)

// A sworn group takes no master's word for what its operators do. Each operator has an
// Ed25519 key. The first one is named in the first entry of the log, and the others by
// changes that an operator has signed. From then on the state machine refuses all other
// changes of the access control, of settings and of the roster, and events by token.
//
// What frontends do by themselves is not signed and gives nobody a right: see unsigned.

// Operator is the holder of a key that signs changes.
type Operator struct {
	Name   string `json:"name"`
	Public []byte `json:"public"` // Ed25519
	// Number is that of the operator's last change. The next one must have a higher one.
	Number uint64 `json:"number,omitzero"`
	// Last is the SHA-256 of the form of the operator's last change, unless that was
	// refused.
	Last    []byte `json:"last,omitzero"`
	Revoked bool   `json:"revoked,omitzero"`
}

// Founding makes a new store sworn. It is the first entry of its log, and the only one
// that can.
type Founding struct {
	Operator []byte      `json:"operator"` // the public key of the first operator
	Name     string      `json:"name"`     // of that operator
	Frontend RosterEntry `json:"frontend"` // that founds the group
}

// SwornChange is what can be changed in a sworn group only. Exactly one field is set.
type SwornChange struct {
	Found        *Founding    `json:"found,omitzero"`
	Operator     *Operator    `json:"operator,omitzero"`      // added
	DropOperator string       `json:"drop_operator,omitzero"` // the id of its key
	Frontend     *RosterEntry `json:"frontend,omitzero"`      // added, or replaces the one of its name
	DropFrontend string       `json:"drop_frontend,omitzero"` // its name
}

func (c *SwornChange) actions() int {
	n := 0
	for _, set := range [...]bool{
		c.Found != nil, c.Operator != nil, c.DropOperator != "", c.Frontend != nil, c.DropFrontend != "",
	} {
		if set {
			n++
		}
	}
	return n
}

// SignedChange is a change with the signature of an operator. The founding of a group is
// the only one without: there is no operator yet.
type SignedChange struct {
	Change    Change `json:"change"`
	Number    uint64 `json:"number,omitzero"`
	Key       string `json:"key,omitzero"`       // score.KeyID of the operator's key
	Signature []byte `json:"signature,omitzero"` // of operator.Form
}

// Sign returns a change with the signature of an operator for the store with the lineage.
func Sign(private ed25519.PrivateKey, lineage string, number uint64, c Change) (*SignedChange, error) {
	text, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode the change: %w", err)
	}
	form, err := operator.Form(lineage, number, text)
	if err != nil {
		return nil, err
	}
	return &SignedChange{
		Change: c, Number: number, Key: score.KeyID(private.Public().(ed25519.PublicKey)),
		Signature: ed25519.Sign(private, form),
	}, nil
}

// unsigned reports whether a change needs no signature in a sworn group. It gives nobody a
// right: the use of a join token leads only to a certificate, and no certificate opens
// anything without a key of the roster. Until the store has an incarnation it is being
// founded, by the frontend that is alone in the group.
func (s *State) unsigned(c *Change) bool {
	switch {
	case c.UseJoinToken != "", c.RemoveMember != "", len(c.AddAuthority) > 0, c.DropAuthority != "", c.Note != "":
		return true
	}
	return s.Settings.Incarnation == "" && (c.Guard || c.Setting != nil)
}

func unsignedChange() *score.Problem {
	return score.Problemf(score.Unsigned,
		"the group is sworn, so an operator must sign this change")
}

// ApplySigned returns the state after a signed change, in an entry of a format, and a line
// for the audit trail. If the change is refused and next is not nil, next has the change's
// number as used: what was refused today must not be applied some other day.
func (s *State) ApplySigned(c *SignedChange, format uint64) (next *State, summary string, refused *score.Problem) {
	if c.Change.Sworn != nil && c.Change.Sworn.Found != nil {
		return s.found(c)
	}
	by := s.Operators[c.Key]
	switch {
	case !s.Settings.Sworn:
		return nil, "", score.Problemf(score.StatusConflict,
			"the group is not sworn, so its changes are not signed")
	case by == nil:
		return nil, "", score.Problemf(score.Unsigned, "no operator has the key %.40q", c.Key).At("key")
	case by.Revoked:
		return nil, "", score.Problemf(score.Unsigned, "the key %q of the operator %s was revoked",
			c.Key, by.Name).At("key")
	}
	digest, p := by.verify(c, s.Settings.Lineage)
	switch {
	case p != nil:
		return nil, "", p
	case c.Number == by.Number && bytes.Equal(digest, by.Last):
		return s, "", nil // sent again, because the answer was lost
	case c.Number <= by.Number:
		return nil, "", score.Problemf(score.StatusConflict,
			"the change has the number %d, and the operator %s has used "+
				"%d already; sign it again with a higher one", c.Number, by.Name, by.Number).At("number")
	case c.Change.By != by.Name:
		p = score.Problemf(score.InvalidEvent, "got %.40q; the key is that of %q", c.Change.By, by.Name).At("change.by")
	default:
		next, summary, p = s.apply(&c.Change, format)
	}
	if p != nil {
		next, digest = new(*s), nil
	}
	if sworn := c.Change.Sworn; p == nil && sworn != nil && sworn.Frontend != nil {
		entry := *sworn.Frontend
		entry.Proof = &Proof{c.Change.At, c.Change.By, c.Number, c.Key, c.Signature}
		next.Roster = with(next.Roster, entry.Name, &entry)
	}
	used := *next.Operators[c.Key]
	used.Number, used.Last = c.Number, digest
	next.Operators = with(next.Operators, c.Key, &used)
	return next, summary, p
}

// verify returns the digest of a change's form if the operator has signed it for the store.
func (o *Operator) verify(c *SignedChange, lineage string) (digest []byte, refused *score.Problem) {
	text, err := json.Marshal(&c.Change)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "the change cannot be written").At("change")
	}
	form, err := operator.Form(lineage, c.Number, text)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "the change cannot have been signed").At("change")
	}
	if !ed25519.Verify(o.Public, form, c.Signature) {
		return nil, score.Problemf(score.Unsigned, "not a signature by the key %s of this change, with the number %d, "+
			"for the store %s", c.Key, c.Number, lineage).At("signature")
	}
	sum := sha256.Sum256(form)
	return sum[:], nil
}

// SignedBy reports whether the holder of a key has signed the change for a store.
func (c *SignedChange) SignedBy(public ed25519.PublicKey, lineage string) bool {
	_, refused := (&Operator{Public: public}).verify(c, lineage)
	return refused == nil
}

// NewerThan reports whether an operator has signed a change that s has and old does not
// have. The numbers are compared one by one: a sum of them could be made to wrap around.
func (s *State) NewerThan(old *State) bool {
	for id, o := range s.Operators {
		if before := old.Operators[id]; before == nil || o.Number > before.Number {
			return true
		}
	}
	return false
}

// CheckLater returns an error unless s can be a later state of the sworn group with the
// state old. What an operator has signed stays counted, and who is revoked stays revoked.
func (s *State) CheckLater(old *State) error {
	switch {
	case !old.Settings.Sworn:
		return nil
	case s.Founder != old.Founder:
		return errors.New("it is the state of a group with another founder")
	case old.Settings.Lineage != "" && s.Settings.Lineage != old.Settings.Lineage:
		return fmt.Errorf("it is the state of another store, %q", s.Settings.Lineage)
	}
	for id, o := range old.Operators {
		switch now := s.Operators[id]; {
		case now == nil, now.Number < o.Number:
			return fmt.Errorf("it lacks what the operator %s has signed with the number %d", o.Name, o.Number)
		case o.Revoked && !now.Revoked:
			return fmt.Errorf("in it the operator %s, whose key %s was revoked, is one again", o.Name, id)
		}
	}
	for id, g := range old.Grants {
		if now := s.Grants[id]; g.Revoked && (now == nil || !now.Revoked) {
			return fmt.Errorf("in it the %s %s of %s, which was revoked, is valid again", g.kind(), id, g.Name)
		}
	}
	return nil
}

// Fresh reports whether nothing of the state was ever set.
func (s *State) Fresh() bool {
	return !s.Settings.Sworn && !s.Guarded && s.Settings.Lineage == "" && s.Settings.Incarnation == "" &&
		len(s.Grants) == 0 && len(s.Authorities) == 0
}

// found makes a store sworn of which nothing is known yet.
func (s *State) found(c *SignedChange) (next *State, summary string, refused *score.Problem) {
	f := c.Change.Sworn.Found
	if p := c.Change.checkOrigin(); p != nil {
		return nil, "", p
	}
	k := score.Checker{}
	checkKey(&k, "change.sworn.found.operator", f.Operator)
	k.Path("change.sworn.found.name", f.Name, score.MaxID)
	f.Frontend.check(&k, "change.sworn.found.frontend")
	switch {
	case s.Settings.Sworn:
		return nil, "", score.Problemf(score.StatusConflict, "the group is sworn already")
	case !s.Fresh():
		return nil, "", score.Problemf(score.StatusConflict,
			"only a new group can become sworn; make one with --bootstrap --sworn")
	case c.Change.Sworn.actions() != 1:
		k.Fail("change.sworn", "does not do exactly one thing")
	case c.Number != 0 || c.Key != "" || len(c.Signature) > 0:
		k.Fail("signature", "has no effect: nobody can sign the founding of a group")
	}
	if k.Problem != nil {
		return nil, "", k.Problem
	}
	after := *s
	after.Settings.Sworn = true
	after.Founder = operator.Fingerprint(f.Operator)
	after.Operators = map[string]*Operator{score.KeyID(f.Operator): {Name: f.Name, Public: f.Operator}}
	after.Roster = map[string]*RosterEntry{f.Frontend.Name: &f.Frontend}
	return &after, fmt.Sprintf("the group is sworn: changes must be signed by an operator; the first one is %s, "+
		"with the key %s", f.Name, score.KeyID(f.Operator)), nil
}

// changeSworn makes a change other than the founding.
func (s *State) changeSworn(c *SwornChange) (summary string, refused *score.Problem) {
	switch {
	case c.actions() != 1:
	case c.Operator != nil:
		return s.addOperator(c.Operator)
	case c.DropOperator != "":
		return s.dropOperator(c.DropOperator)
	case c.Frontend != nil:
		return s.setFrontend(c.Frontend)
	case c.DropFrontend != "":
		return s.dropFrontend(c.DropFrontend)
	}
	return "", score.Problemf(score.InvalidEvent, "does not do exactly one thing").At("change.sworn")
}

func (s *State) addOperator(o *Operator) (summary string, refused *score.Problem) {
	k := score.Checker{}
	checkKey(&k, "operator.public", o.Public)
	k.Path("operator.name", o.Name, score.MaxID)
	if o.Number != 0 || len(o.Last) > 0 || o.Revoked {
		k.Fail("operator", "a new operator has signed nothing yet")
	}
	if k.Problem != nil {
		return "", k.Problem
	}
	id := score.KeyID(o.Public)
	switch old := s.Operators[id]; {
	case old != nil && old.Revoked:
		return "", score.Problemf(score.StatusConflict, "the key %q is revoked for good; make a new one", id)
	case old != nil:
		return "", idTaken("operator.public", id, "the operator "+old.Name)
	case len(s.Operators) >= MaxOperators:
		return "", score.Problemf(score.TooLarge, "the store has had %d operators, which is the most", MaxOperators)
	}
	s.Operators = with(s.Operators, id, o)
	return fmt.Sprintf("new operator %s with the key %s", o.Name, id), nil
}

// dropOperator revokes an operator's key, unless nobody could sign anything afterwards.
func (s *State) dropOperator(id string) (summary string, refused *score.Problem) {
	o, left := s.Operators[id], 0
	for _, other := range s.Operators {
		if !other.Revoked {
			left++
		}
	}
	switch {
	case o == nil:
		return "", score.Problemf(score.NotFound, "no operator has the key %.40q", id)
	case o.Revoked:
		return "", score.Problemf(score.StatusConflict, "the key %q of the operator %s is already revoked", id, o.Name)
	case left == 1:
		return "", score.Problemf(score.StatusConflict,
			"it is the only operator's key, and nobody could change the group any more; add another first")
	}
	revoked := *o
	revoked.Revoked = true
	s.Operators = with(s.Operators, id, &revoked)
	return fmt.Sprintf("revoked the key %s of the operator %s", id, o.Name), nil
}

func checkKey(k *score.Checker, field string, public []byte) {
	switch {
	case len(public) != keySize:
		k.Fail(field, "has %d bytes; an Ed25519 key has %d", len(public), keySize)
	case isWeakKey(public):
		k.Fail(field, "is a point of small order or is not in canonical form; make another key")
	}
}

// validSworn reports whether the state of a sworn group has what it needs.
func (s *State) validSworn() bool {
	k := score.Checker{}
	for id, o := range s.Operators {
		if o == nil || id != score.KeyID(o.Public) {
			return false
		}
		checkKey(&k, "operators", o.Public) // ed25519.Verify panics if the length is another
	}
	for name, f := range s.Roster {
		if f == nil || name != f.Name {
			return false
		}
		checkKey(&k, "roster", f.Key)
	}
	return k.Problem == nil && s.Settings.Sworn == (len(s.Operators) > 0) && s.Settings.Sworn == (s.Founder != "")
}
