package fsm

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/operator"
	"laurel/trust/signing"
)

const swornLineage = "l1"

func publicOf(n byte) []byte { return testKey(n).Public().(ed25519.PublicKey) }

// founding returns the first entry of a sworn group, whose operator has the key 50.
func founding() *access.SignedChange {
	return &access.SignedChange{Change: access.Change{At: accessDay, By: "f1", Sworn: &access.SwornChange{
		Found: &access.Founding{
			Operator: publicOf(50), Name: "getafix", Frontend: access.RosterEntry{Name: "f1", Key: publicOf(61)},
		},
	}}}
}

// signedBy returns a change that the holder of testKey(n), getafix, has signed.
func signedBy(t tester, n byte, number uint64, c access.Change) *access.SignedChange {
	t.Helper()
	c.At, c.By = accessDay, "getafix"
	s, err := access.Sign(testKey(n), swornLineage, number, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func applySigned(t tester, m *Machine, c *access.SignedChange) *score.Problem {
	t.Helper()
	data, err := entry.EncodeSigned(c)
	if err != nil {
		t.Fatal(err)
	}
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, data}}, index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0][0][0].Problem
}

func mustSigned(t tester, m *Machine, list ...*access.SignedChange) {
	t.Helper()
	for _, c := range list {
		if p := applySigned(t, m, c); p != nil {
			t.Fatal(p)
		}
	}
}

// newSwornMachine returns the machine of a sworn group with an operator, whose key is 50, and one
// frontend.
func newSwornMachine(t *testing.T) *Machine {
	t.Helper()
	m := newMachine(t)
	mustSigned(t, m, founding())
	mustChange(t, m, access.Change{Guard: true},
		setting(access.SettingLineage, swornLineage), setting(access.SettingIncarnation, "i1"))
	return m
}

// swornChanges returns changes of each kind, by the operator with the key 50. They can be applied in
// this order.
func swornChanges(t tester) (list []*access.SignedChange) {
	for i, c := range []access.Change{
		{Grant: keyGrant(1, "bard/cacofonix")},
		{Grant: tokenGrant("desk", "desk", access.RoleOperator)},
		{JoinToken: &access.JoinToken{ID: "j1", Hash: make([]byte, 32), Expires: accessDay.Add(time.Hour), Uses: 2}},
		{Revoke: "j1"},
		setting(access.SettingPrivate, "true"),
		{Sworn: &access.SwornChange{Operator: &access.Operator{Name: "obelix", Public: publicOf(51)}}},
		{Sworn: &access.SwornChange{Operator: &access.Operator{Name: "idefix", Public: publicOf(52)}}},
		{Sworn: &access.SwornChange{DropOperator: score.KeyID(publicOf(52))}},
		{Sworn: &access.SwornChange{Frontend: &access.RosterEntry{Name: "f2", Key: publicOf(62)}}},
		{Sworn: &access.SwornChange{Frontend: &access.RosterEntry{Name: "f3", Key: publicOf(63)}}},
		{Sworn: &access.SwornChange{DropFrontend: "f3"}},
	} {
		list = append(list, signedBy(t, 50, uint64(i)+1, c))
	}
	return list
}

func wantCode(t *testing.T, what string, p *score.Problem, code score.Code) {
	t.Helper()
	if p == nil || p.Code != code {
		t.Errorf("%s: %v; want %s", what, p, code)
	}
}

func TestASwornGroupRefusesWhatNoOperatorHasSigned(t *testing.T) {
	m := newSwornMachine(t)
	join := &access.JoinToken{ID: "j1", Hash: make([]byte, 32), Expires: accessDay.Add(time.Hour), Uses: 2}
	for what, c := range map[string]access.Change{
		"a bard's key":             {Grant: keyGrant(1, "bard/cacofonix")},
		"an operator's token":      {Grant: tokenGrant("desk", "desk", access.RoleOperator)},
		"a recovered operator":     {Recover: &access.Recovery{ID: "new", Hash: make([]byte, 32)}},
		"a revocation":             {Revoke: "desk"},
		"a join token":             {JoinToken: join},
		"a setting":                setting(access.SettingPrivate, "true"),
		"the cache mode":           setting(access.SettingCacheMode, "pull"),
		"that events need no care": {Guard: true},
	} {
		before := m.Access()
		wantCode(t, what, applyChange(t, m, c), score.Unsigned)
		if m.Access() != before {
			t.Errorf("%s has changed something", what)
		}
	}
	for what, c := range map[string]*access.SignedChange{
		"by a stranger":         signedBy(t, 51, 1, access.Change{Grant: keyGrant(1, "bard/cacofonix")}),
		"by a bard of the name": signedBy(t, 1, 1, access.Change{Grant: keyGrant(1, "getafix")}),
		"in nobody's name":      {Change: access.Change{At: accessDay, By: "getafix", Grant: keyGrant(1, "bard/x")}},
	} {
		wantCode(t, what, applySigned(t, m, c), score.Unsigned)
	}
	if a := m.Access(); len(a.Grants) > 0 || len(a.JoinTokens) > 0 || a.Settings.Private {
		t.Errorf("the access control is %+v", a)
	}
}

// What frontends do by themselves gives nobody a right.
func TestWhatFrontendsDoThemselvesInASwornGroupGrantsNothing(t *testing.T) {
	m := newSwornMachine(t)
	join := &access.JoinToken{ID: "j1", Hash: make([]byte, 32), Expires: accessDay.Add(time.Hour), Uses: 2}
	mustSigned(t, m, signedBy(t, 50, 1, access.Change{JoinToken: join}))
	before := m.Access()
	mustChange(t, m,
		access.Change{UseJoinToken: "j1", JoinKey: make([]byte, 32), By: "f2@x"}, access.Change{Note: "f2 has joined"},
		access.Change{AddAuthority: []byte("der 1")}, access.Change{AddAuthority: []byte("der 2")},
		access.Change{DropAuthority: access.Fingerprint([]byte("der 1"))}, access.Change{RemoveMember: "f2@x"})
	after := m.Access()
	if !reflect.DeepEqual(before.Grants, after.Grants) || !reflect.DeepEqual(before.Operators, after.Operators) ||
		!reflect.DeepEqual(before.Roster, after.Roster) || before.Settings != after.Settings {
		t.Errorf("the rights have become %+v", after)
	}
}

func TestASignedChangeIsAppliedOnce(t *testing.T) {
	m := newSwornMachine(t)
	grant := signedBy(t, 50, 7, access.Change{Grant: tokenGrant("desk", "desk", access.RoleReader)})
	mustSigned(t, m, grant)
	before := m.Access()
	mustSigned(t, m, grant) // as by a client whose answer was lost
	if !reflect.DeepEqual(before, m.Access()) {
		t.Error("the same change again has changed something")
	}
	revoke := signedBy(t, 50, 8, access.Change{Revoke: "desk"})
	mustSigned(t, m, revoke)
	wantCode(t, "an old change again", applySigned(t, m, grant), score.StatusConflict)
	wantCode(t, "another change of that number",
		applySigned(t, m, signedBy(t, 50, 8, access.Change{Note: "x"})), score.StatusConflict)
	wantCode(t, "a lower number", applySigned(t, m, signedBy(t, 50, 3, access.Change{Note: "x"})), score.StatusConflict)
	// What was refused is not applied some other day.
	second := access.Change{Sworn: &access.SwornChange{Operator: &access.Operator{Name: "getafix", Public: publicOf(51)}}}
	mustSigned(t, m, signedBy(t, 50, 9, second))
	later := signedBy(t, 50, 10, access.Change{Revoke: "feed"})
	wantCode(t, "a revocation of nothing", applySigned(t, m, later), score.NotFound)
	mustSigned(t, m, signedBy(t, 51, 1, access.Change{Grant: tokenGrant("feed", "feed", access.RoleReader)}))
	wantCode(t, "it again", applySigned(t, m, later), score.StatusConflict)
	if g := m.Access().Grants; g["feed"].Revoked || !g["desk"].Revoked {
		t.Errorf("the grants are %+v", g)
	}
}

func TestASignatureOfAnOperatorIsForOneChangeOfOneStore(t *testing.T) {
	m := newSwornMachine(t)
	signed := func() *access.SignedChange {
		return signedBy(t, 50, 1, access.Change{Grant: keyGrant(1, "bard/cacofonix")})
	}
	other, err := access.Sign(testKey(50), "l2", 1, signed().Change)
	if err != nil {
		t.Fatal(err)
	}
	renumbered, renamed, forAnother := signed(), signed(), signed()
	renumbered.Number = 2
	renamed.Change.Grant.Name = "bard/impostor"
	forAnother.Change.By = "obelix"
	for what, c := range map[string]*access.SignedChange{
		"for another store": other, "with another number": renumbered, "about another grant": renamed,
		"in another name": forAnother,
	} {
		wantCode(t, what, applySigned(t, m, c), score.Unsigned)
	}
	c := signed().Change
	c.By = "obelix"
	if other, err = access.Sign(testKey(50), swornLineage, 1, c); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "signed in another operator's name", applySigned(t, m, other), score.InvalidEvent)
}

func TestARevokedOperatorSignsNothingMore(t *testing.T) {
	m := newSwornMachine(t)
	drop := func(n byte) access.Change {
		return access.Change{Sworn: &access.SwornChange{DropOperator: score.KeyID(publicOf(n))}}
	}
	add := access.Change{Sworn: &access.SwornChange{Operator: &access.Operator{Name: "getafix", Public: publicOf(51)}}}
	wantCode(t, "the last operator", applySigned(t, m, signedBy(t, 50, 1, drop(50))), score.StatusConflict)
	mustSigned(t, m, signedBy(t, 50, 2, add), signedBy(t, 51, 1, drop(50)))
	grant := access.Change{Grant: keyGrant(1, "bard/cacofonix")}
	wantCode(t, "a revoked operator's grant", applySigned(t, m, signedBy(t, 50, 3, grant)), score.Unsigned)
	add.Sworn = &access.SwornChange{Operator: &access.Operator{Name: "getafix", Public: publicOf(50)}}
	wantCode(t, "its key again", applySigned(t, m, signedBy(t, 51, 2, add)), score.StatusConflict)
	mustSigned(t, m, signedBy(t, 51, 3, grant))
}

func TestASwornGroupTakesNoEventsByToken(t *testing.T) {
	m := newSwornMachine(t)
	mustSigned(t, m, swornChanges(t)[:2]...)
	e := score.Event{
		ID: "e1", IDGiven: true, Source: "desk", Seq: 1, Type: score.TypeAlert, Time: accessDay, TimeGiven: true,
		ContestID: "OG50BC/rain", Data: &score.Alert{Text: "rain"}, Token: "desk",
	}
	for _, token := range []string{"desk", ""} {
		e.Token = token
		r := applyPosts(t, m, score.Post{Events: []score.Event{e}})
		wantCode(t, fmt.Sprintf("an event with the token %q", token), r[0][0].Problem, score.Unsigned)
	}
	e.Token, e.Source = "", "bard/cacofonix"
	events := []score.Event{e}
	if err := signing.Sign(testKey(1), swornLineage, events); err != nil {
		t.Fatal(err)
	}
	if r := applyPosts(t, m, score.Post{Events: events}); r[0][0].Problem != nil {
		t.Error(r[0][0].Problem)
	}
}

func TestOnlyTheFirstEntryMakesAGroupSworn(t *testing.T) {
	for what, first := range map[string]access.Change{
		"a guarded group":        {Guard: true},
		"a group with a name":    setting(access.SettingLineage, "l1"),
		"a group with a grant":   {Grant: keyGrant(1, "bard/cacofonix")},
		"a group with authority": {AddAuthority: []byte("der")},
	} {
		m := newMachine(t)
		mustChange(t, m, first)
		wantCode(t, what, applySigned(t, m, founding()), score.StatusConflict)
		wantCode(t, what, applyChange(t, m, setting(access.SettingSworn, "true")), score.InvalidEvent)
		wantCode(t, what+", signed", applySigned(t, m, signedBy(t, 50, 1, access.Change{Note: "x"})), score.StatusConflict)
		if m.Access().Settings.Sworn || len(m.Access().Operators) > 0 {
			t.Errorf("%s is sworn", what)
		}
	}
	m := newSwornMachine(t)
	wantCode(t, "a second time", applySigned(t, m, founding()), score.StatusConflict)
	weak := founding()
	weak.Change.Sworn.Found.Operator = make([]byte, 32)
	wantCode(t, "an operator with a weak key", applySigned(t, newMachine(t), weak), score.InvalidEvent)
}

func TestTheRosterNamesEachKeyOnce(t *testing.T) {
	m := newSwornMachine(t)
	roster := func(name string, key []byte) access.Change {
		return access.Change{Sworn: &access.SwornChange{Frontend: &access.RosterEntry{Name: name, Key: key}}}
	}
	wantCode(t, "f1's key for f2", applySigned(t, m, signedBy(t, 50, 1, roster("f2", publicOf(61)))), score.IDConflict)
	wantCode(t, "the last frontend", applySigned(t, m, signedBy(t, 50, 2,
		access.Change{Sworn: &access.SwornChange{DropFrontend: "f1"}})), score.StatusConflict)
	mustSigned(t, m, signedBy(t, 50, 3, roster("f2", publicOf(62))), signedBy(t, 50, 4, roster("f2", publicOf(63))))
	if key := m.Access().Roster["f2"].Key; !bytes.Equal(key, publicOf(63)) {
		t.Errorf("the key of f2 is %x", key)
	}
}

func TestSignedChangesKeepTheFormat(t *testing.T) {
	var all []byte
	list := append([]*access.SignedChange{founding()}, swornChanges(t)...)
	for _, c := range list {
		data, err := entry.EncodeSigned(c)
		if err != nil {
			t.Fatal(err)
		}
		all = protowire.AppendBytes(all, data)
	}
	all = golden(t, "entries-sworn-v3.hex", all)
	m := newMachine(t)
	for i, c := range list {
		data, n := protowire.ConsumeBytes(all)
		all = all[max(n, 0):]
		e, err := entry.Decode(data)
		if err != nil || !reflect.DeepEqual(e.Signed, c) {
			t.Fatalf("change %d was decoded as %+v, want %+v: %v", i, e.Signed, c, err)
		}
		outcome, err := m.Apply([]Entry{{m.Applied() + 1, data}}, m.Applied()+1)
		if err != nil || outcome[0][0][0].Problem != nil {
			t.Fatalf("change %d: %+v, %v", i, outcome, err)
		}
		if i == 0 {
			mustChange(t, m, access.Change{Guard: true},
				setting(access.SettingLineage, swornLineage), setting(access.SettingIncarnation, "i1"))
		}
	}
	seal := golden(t, "entry-seal-v3.hex", entry.EncodeSeal(1))
	if e, err := entry.Decode(seal); err != nil || e.Seal != 1 {
		t.Fatalf("the seal was decoded as %+v: %v", e, err)
	}
	mustSeal(t, m)
	last := mustSeal(t, m)
	mustSigned(t, m, signedBy(t, 50, 50, setting(access.SettingPrivate, "false")))
	snapshot := golden(t, "snapshot-sworn-v4.hex", snapshotOf(t, m))
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if list := restored.Rounds().Sealed(0); len(list) != 1 || list[0].Round != last.Round || list[0].Head != last.Head {
		t.Errorf("the last round is %+v, want %+v", list, last)
	}
	if changed, next := restored.Rounds().Unsealed(); changed != 2 || next != 3 {
		t.Errorf("%d answers have changed, and the next round is %d", changed, next)
	}
	wantAccess(t, restored, m.Access())
	a := restored.Access()
	if !a.Settings.Sworn || a.Founder != operator.Fingerprint(publicOf(50)) || len(a.Operators) != 3 || len(a.Roster) != 2 {
		t.Errorf("the access control is %+v", a)
	}
	wantCode(t, "a change from before the snapshot", applySigned(t, restored, list[1]), score.StatusConflict)
}

// Versions that know no sworn groups read only version 3 and, of later formats, 5.
func TestTheStateOfASwornGroupHasAVersionOfItsOwn(t *testing.T) {
	raised, raisedSworn := newMachine(t), newMachine(t)
	mustRaise(t, raised)
	mustSigned(t, raisedSworn, founding())
	mustRaise(t, raisedSworn)
	for version, m := range map[byte]*Machine{3: newMachine(t), 4: newSwornMachine(t), 5: raised, 6: raisedSworn} {
		if got := snapshotOf(t, m)[len("LAURELSN")]; got != version {
			t.Errorf("the version of a snapshot is %d; want %d", got, version)
		}
	}
}
