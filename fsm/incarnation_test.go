package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/fsm/database"
	"laurel/fsm/incarnation"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/access"
)

var restoreDay = accessDay.AddDate(0, 1, 0)

// nextIncarnation returns a change of the members' own store.
func nextIncarnation() *incarnation.Change {
	return &incarnation.Change{
		Incarnation: access.Incarnation{Name: "i2", At: restoreDay},
		By:          "laurel cluster recover", What: "goes on with one member",
	}
}

// newGroup returns a change with which f9 founds a group.
func newGroup(g access.NewGroup) *incarnation.Change {
	c := nextIncarnation()
	g.Founder = "f9"
	c.Group, c.By, c.What = &g, "laurel snapshot restore", "restored"
	return c
}

// incarnate returns the snapshot of a machine in another incarnation, and a machine with it.
func incarnate(t testing.TB, m *Machine, c *incarnation.Change) (*Machine, []byte) {
	t.Helper()
	before := snapshotOf(t, m)
	var b, again bytes.Buffer
	after, err := incarnation.Rewrite(&b, bytes.NewReader(before), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := incarnation.Rewrite(&again, bytes.NewReader(before), c); err != nil || !bytes.Equal(again.Bytes(), b.Bytes()) {
		t.Fatalf("the same change of the same snapshot gave another one (%v)", err)
	}
	next := newMachine(t)
	if err := next.Restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(snapshotOf(t, next), b.Bytes()) {
		t.Fatal("the database has another snapshot than the one of which it was made")
	}
	if after.Revision != next.Revision() || after.Applied != next.Applied() || after.Access.Settings != next.Access().Settings {
		t.Fatalf("the new state was reported as %+v", after)
	}
	return next, b.Bytes()
}

func found(t tester, m *Machine) {
	t.Helper()
	mustChange(t, m, setting(access.SettingLineage, "l1"), setting(access.SettingIncarnation, "i1"))
}

func TestAnotherIncarnationChangesNothingButItsNameTheRevisionAndTheTrail(t *testing.T) {
	dir := t.TempDir()
	populate(t, dir, nil)
	m := openMachine(t, dir)
	defer m.Close()
	found(t, m)
	before := map[string]string{}
	for _, r := range records(t, snapshotOf(t, m)) {
		before[r.bucket+" "+r.key] = r.value
	}
	next, snapshot := incarnate(t, m, nextIncarnation())
	changed := map[string]bool{}
	for _, r := range records(t, snapshot) {
		if old, ok := before[r.bucket+" "+r.key]; !ok || old != r.value {
			changed[fmt.Sprintf("%s %q", r.bucket, r.key)] = true
		}
		delete(before, r.bucket+" "+r.key)
	}
	got := slices.Sorted(maps.Keys(changed))
	want := []string{`audit "\x00\x00\x00\x00\x00\x00\x00\x03"`, `meta "access"`, `meta "head"`}
	if !slices.Equal(got, want) || len(before) > 0 {
		t.Errorf("changed are %q, and gone are %q; want changed %q", got, slices.Collect(maps.Keys(before)), want)
	}
	if next.Revision() != m.Revision()+incarnation.Jump || next.Applied() != m.Applied() || next.State().Digest != m.State().Digest {
		t.Errorf("the state was %+v, and is %+v", m.State(), next.State())
	}
	if next.Incarnation() != "i2" || next.Lineage() != "l1" {
		t.Errorf("the store is %s in the incarnation %s", next.Lineage(), next.Incarnation())
	}
}

// A bard that does not know what the store has lost posts everything again.
func TestEventsOfTheIncarnationBeforeAreDuplicatesAndNewOnesComeAfterTheJump(t *testing.T) {
	m := newMachine(t)
	found(t, m)
	first := mustApply(t, m, alert, 1, 1, "one")
	second := mustApply(t, m, alert, 2, 2, "two")
	next, _ := incarnate(t, m, nextIncarnation())
	for i, was := range []score.Result{first, second} {
		r := postEvent(t, next, alert, i+1, i+1, []string{"one", "two"}[i])
		if r.Status != score.Duplicate || r.Revision != was.Revision {
			t.Errorf("the event of revision %d again: %+v", was.Revision, r)
		}
	}
	if r := mustApply(t, next, alert, 3, 3, "three"); r.Revision != second.Revision+incarnation.Jump+1 {
		t.Errorf("the first new event has the revision %d", r.Revision)
	}
	var revisions []uint64
	err := next.View(func(v *view.View) error {
		list, _, err := v.Timeline("G", 0, 10)
		for _, e := range list {
			revisions = append(revisions, e.Revision)
		}
		return err
	})
	if err != nil || len(revisions) != 3 || revisions[2] < incarnation.Jump {
		t.Errorf("the timeline has the revisions %v (%v)", revisions, err)
	}
	if _, _, known := next.ChangedSince(first.Revision); known {
		t.Error("it is known what has changed since a revision of the incarnation before")
	}
}

func TestAStoreWithoutEventsCanHaveAnotherIncarnation(t *testing.T) {
	m := newMachine(t)
	found(t, m)
	next, _ := incarnate(t, m, nextIncarnation())
	if next.Revision() != incarnation.Jump || next.State().Digest != sha256.Sum256(nil) {
		t.Errorf("the state is %+v", next.State())
	}
	mustApply(t, next, alert, 1, 1, "one")
	again, _ := incarnate(t, next, &incarnation.Change{
		Incarnation: access.Incarnation{Name: "i3", At: restoreDay}, By: "x", What: "y",
	})
	if again.Revision() != 2*incarnation.Jump+1 {
		t.Errorf("the revision is %d", again.Revision())
	}
}

func TestAFullAuditTrailStaysFull(t *testing.T) {
	m := newMachine(t)
	found(t, m)
	var list []Entry
	for i := range access.MaxAudit + 3 {
		list = append(list, Entry{m.Applied() + uint64(i) + 1, encodeChange(t, access.Change{At: accessDay, By: "x", Note: "n"})})
	}
	if _, err := m.Apply(list, list[len(list)-1].Index); err != nil {
		t.Fatal(err)
	}
	next, snapshot := incarnate(t, m, nextIncarnation())
	count := func(snapshot []byte) (n int, last record) {
		for _, r := range records(t, snapshot) {
			if r.bucket == string(database.Audit) {
				n, last = n+1, r
			}
		}
		return n, last
	}
	n, last := count(snapshot)
	if number := binary.BigEndian.Uint64([]byte(last.key)); n != access.MaxAudit || number != access.MaxAudit+6 ||
		!strings.Contains(last.value, "goes on with one member") || !strings.Contains(last.value, "laurel cluster recover") {
		t.Errorf("the trail has %d lines, the last with the number %d: %s", n, number, last.value)
	}
	mustChange(t, next, access.Change{Note: "one more"})
	if n, _ := count(snapshotOf(t, next)); n != access.MaxAudit {
		t.Errorf("the trail has %d lines", n)
	}
}

func TestANewGroupHasGrantsAndSettingsOfTheOneBeforeAndNoneOfItsMembers(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, allChanges()...)
	mustChange(t, m, access.Change{JoinToken: &access.JoinToken{
		ID: "j2", Hash: make([]byte, 32), Expires: accessDay.Add(time.Hour), Uses: 2}})
	before := m.Access()
	if len(before.JoinTokens) == 0 || len(before.Removed) == 0 || len(before.Authorities) == 0 || len(before.Exposed) == 0 {
		t.Fatalf("the test lacks something: %+v", before)
	}
	operator := &access.Recovery{ID: "newest", Hash: bytes.Repeat([]byte{3}, 32)}
	next, _ := incarnate(t, m, newGroup(access.NewGroup{Authority: []byte("der 3"), Operator: operator}))
	after := next.Access()
	if len(after.JoinTokens)+len(after.Enrolments)+len(after.Removed)+len(after.Exposed) > 0 ||
		len(after.Authorities) != 1 || string(after.Authorities[0]) != "der 3" {
		t.Errorf("the new group has something of the members before: %+v", after)
	}
	for id := range before.Grants {
		if g := after.Grants[id]; g == nil || g.Revoked != before.Grants[id].Revoked || g.Name != before.Grants[id].Name {
			t.Errorf("the grant %s is %+v", id, g)
		}
	}
	if g := after.Grants["newest"]; g == nil || g.Role != access.RoleOperator || len(after.Grants) != len(before.Grants)+1 {
		t.Errorf("the new operator is %+v, of %d grants", g, len(after.Grants))
	}
	want := before.Settings
	want.Incarnation = "i2"
	if after.Settings != want || !after.Guarded {
		t.Errorf("the settings are %+v; want %+v", after.Settings, want)
	}
	kept, _ := incarnate(t, m, nextIncarnation())
	if now := kept.Access(); len(now.JoinTokens) != len(before.JoinTokens) || len(now.Removed) != len(before.Removed) ||
		len(now.Authorities) != len(before.Authorities) || len(now.Exposed) != len(before.Exposed) {
		t.Errorf("the members that stay have lost something: %+v", now)
	}
}

// What a frontend certified of the group before is not certified by the new one, and what
// operators have signed for it does not change the new one.
func TestANewSwornGroupKeepsItsOperatorsAndBeginsRosterAndRoundsAnew(t *testing.T) {
	m, post := roundsHistory(t)
	mustSigned(t, m, signedBy(t, 50, 2, access.Change{Sworn: &access.SwornChange{
		Frontend: &access.RosterEntry{Name: "f2", Key: publicOf(62)}}}))
	post(defineOfMatch)
	mustSeal(t, m)
	post(startOfMatch)
	mustSeal(t, m)
	post(playOfMatch)
	late := signedBy(t, 50, uint64(restoreDay.UnixMicro())-1, access.Change{Revoke: keyGrant(1, "").ID})
	next, _ := incarnate(t, m, newGroup(access.NewGroup{Witness: publicOf(69), Authority: []byte("der")}))
	after := next.Access()
	if len(after.Roster) != 1 || !bytes.Equal(after.KeyOf("f9"), publicOf(69)) || after.Founder != m.Access().Founder {
		t.Errorf("the roster is %v, and the founder %s", after.Roster, after.Founder)
	}
	if changed, round := next.Rounds().Unsealed(); round != 1 || changed == 0 {
		t.Errorf("%d answers wait for the round %d", changed, round)
	}
	wantCode(t, "a change that was signed before", applySigned(t, next, late), score.StatusConflict)
	mustSigned(t, next, signedBy(t, 50, uint64(restoreDay.UnixMicro())+1, access.Change{Sworn: &access.SwornChange{
		Frontend: &access.RosterEntry{Name: "f2", Key: publicOf(70)}}}))
	sealed := mustSeal(t, next)
	answers := 0
	for key := range sealed.Changed() {
		answers++
		if key != "roster" && !bytes.Equal(mustAnswer(t, next, key), mustAnswer(t, m, key)) {
			t.Errorf("the answer to %s is another one", key)
		}
	}
	mustSeal(t, m)
	if all, _, _ := m.Rounds().Round(3); sealed.Round.Number != 1 || sealed.Round.Answers != all.Answers || uint64(answers) != all.Answers {
		t.Errorf("the first round is %+v, with %d answers; want all %d", sealed.Round, answers, all.Answers)
	}
}

func TestMembersThatStayKeepRosterAndRounds(t *testing.T) {
	m, post := roundsHistory(t)
	post(defineOfMatch)
	sealed := mustSeal(t, m)
	late := signedBy(t, 50, 7, access.Change{Revoke: keyGrant(1, "").ID})
	next, _ := incarnate(t, m, nextIncarnation())
	if _, head, known := next.Rounds().Round(1); !known || head != sealed.Head || len(next.Access().Roster) != 1 {
		t.Errorf("the round is %v (%v), the roster %v", head, known, next.Access().Roster)
	}
	wantCode(t, "a change that was signed before", applySigned(t, next, late), score.StatusConflict)
	if again := mustSeal(t, next); again.Round.Number != 2 {
		t.Errorf("the next round is %+v", again.Round)
	}
}

func TestWhatCannotHaveAnotherIncarnationIsRefused(t *testing.T) {
	secure, sworn, empty := newMachine(t), newSwornMachine(t), newMachine(t)
	mustChange(t, secure, access.Change{Guard: true})
	found(t, secure)
	mustApply(t, empty, alert, 1, 1, "one")
	good := snapshotOf(t, secure)
	same := nextIncarnation()
	same.Name = "i1"
	invalid := nextIncarnation()
	invalid.Name = "I 2"
	operator := &access.Recovery{ID: "new", Hash: make([]byte, 32)}
	for what, c := range map[string]struct {
		snapshot []byte
		change   *incarnation.Change
	}{
		"a store that was never founded":     {snapshotOf(t, empty), nextIncarnation()},
		"an empty store":                     {snapshotOf(t, newMachine(t)), nextIncarnation()},
		"the same incarnation":               {good, same},
		"an invalid incarnation":             {good, invalid},
		"a secure group without authority":   {good, newGroup(access.NewGroup{Operator: operator})},
		"a witness in a group without":       {good, newGroup(access.NewGroup{Authority: []byte("d"), Witness: publicOf(3)})},
		"an operator's token without a hash": {good, newGroup(access.NewGroup{Authority: []byte("d"), Operator: &access.Recovery{ID: "x"}})},
		"a sworn group without a witness":    {snapshotOf(t, sworn), newGroup(access.NewGroup{Authority: []byte("d")})},
		"a token for a sworn group": {snapshotOf(t, sworn),
			newGroup(access.NewGroup{Authority: []byte("d"), Witness: publicOf(3), Operator: operator})},
		"a truncated snapshot": {good[:len(good)-1], nextIncarnation()},
		"no snapshot":          {nil, nextIncarnation()},
	} {
		if _, err := incarnation.Rewrite(new(bytes.Buffer), bytes.NewReader(c.snapshot), c.change); err == nil {
			t.Errorf("%s: no error", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}
