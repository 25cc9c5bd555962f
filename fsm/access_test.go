package fsm

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/entry"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/access"
)

var accessDay = time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)

func testKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

// keyGrant returns a grant by which the holder of testKey(n) may post as name.
func keyGrant(n byte, name string) *access.Grant {
	public := testKey(n).Public().(ed25519.PublicKey)
	return &access.Grant{ID: score.KeyID(public), Name: name, Role: access.RoleBard, Public: public, Created: accessDay}
}

func tokenGrant(id, name string, role access.Role) *access.Grant {
	hash := sha256.Sum256([]byte(id))
	return &access.Grant{ID: id, Name: name, Role: role, Hash: hash[:], Created: accessDay}
}

func encodeChange(t tester, c access.Change) []byte {
	t.Helper()
	if c.At.IsZero() {
		c.At = accessDay
	}
	if c.By == "" {
		c.By = "getafix"
	}
	b, err := entry.EncodeChange(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// applyChange applies one access change and returns the problem if it was refused.
func applyChange(t tester, m *Machine, c access.Change) *score.Problem {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, encodeChange(t, c)}}, index)
	if err != nil {
		t.Fatal(err)
	}
	if len(outcome[0]) != 1 || len(outcome[0][0]) != 1 {
		t.Fatalf("the outcome of a change is %+v; want one result", outcome[0])
	}
	r := outcome[0][0][0]
	if (r.Problem == nil) != (r.Status == score.Applied) {
		t.Fatalf("the result of a change is %+v", r)
	}
	return r.Problem
}

func mustChange(t tester, m *Machine, changes ...access.Change) {
	t.Helper()
	for _, c := range changes {
		if p := applyChange(t, m, c); p != nil {
			t.Fatal(p)
		}
	}
}

// allChanges returns one change of each kind. They can be applied in this order.
func allChanges() []access.Change {
	bounded := keyGrant(1, "bard/cacofonix")
	bounded.Competitions, bounded.Types = []string{"OG50BC"}, []score.Type{score.TypeAlert, score.TypeScorePlay}
	bounded.Rate, bounded.Expires = 2.5, accessDay.AddDate(1, 0, 0)
	join := &access.JoinToken{ID: "j1", Hash: bytes.Repeat([]byte{7}, 32), Expires: accessDay.Add(time.Hour), Uses: 2,
		Terms: access.Terms{Nonvoter: true, Hosts: []string{"scores.example"}}}
	list := []access.Change{
		{Guard: true},
		{Grant: bounded},
		{Grant: tokenGrant("desk", "desk", access.RoleOperator)},
		{Grant: tokenGrant("feed", "bard/feed", access.RoleBard)},
		{Revoke: "feed"},
		{Recover: &access.Recovery{ID: "new", Hash: bytes.Repeat([]byte{9}, 32)}},
		{JoinToken: join}, {JoinKey: bytes.Repeat([]byte{8}, 32), UseJoinToken: "j1"},
		{AddAuthority: []byte("der 1")}, {AddAuthority: []byte("der 2")},
		{DropAuthority: access.Fingerprint([]byte("der 1"))},
		{RemoveMember: "f4@abc", HeldKeys: true}, {Note: "f4 has left"},
		{Setting: &access.Setting{Name: access.SettingLineage, Value: "l1"}},
		{Setting: &access.Setting{Name: access.SettingIncarnation, Value: "i1"}},
		{Setting: &access.Setting{Name: access.SettingCacheMode, Value: "pull"}},
		{Setting: &access.Setting{Name: access.SettingPrivate, Value: "true"}},
	}
	for i := range list {
		list[i].At, list[i].By = accessDay.Add(time.Duration(i)*time.Second), "getafix"
	}
	return list
}

func TestAccessChangesKeepTheFormatOfVersion3(t *testing.T) {
	var all []byte
	for _, c := range allChanges() {
		all = protowire.AppendBytes(all, encodeChange(t, c))
	}
	all = golden(t, "entries-access-v3.hex", all)
	m := newMachine(t)
	for i, c := range allChanges() {
		data, n := protowire.ConsumeBytes(all)
		all = all[max(n, 0):]
		e, err := entry.Decode(data)
		if err != nil || !reflect.DeepEqual(*e.Change, c) {
			t.Fatalf("change %d was decoded as %+v, want %+v: %v", i, e.Change, c, err)
		}
		if _, err := m.Apply([]Entry{{m.Applied() + 1, data}}, m.Applied()+1); err != nil {
			t.Fatal(err)
		}
	}
	snapshot := golden(t, "snapshot-access-v3.hex", snapshotOf(t, m))
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, restored, m.Access())
	wantAllChanged(t, restored)
}

// wantAllChanged checks that the machine has applied allChanges.
func wantAllChanged(t *testing.T, m *Machine) {
	t.Helper()
	a := m.Access()
	if !a.Guarded || len(a.Grants) != 4 || !a.Grants["feed"].Revoked || a.JoinTokens["j1"].Uses != 1 ||
		len(a.Authorities) != 1 || string(a.Authorities[0]) != "der 2" || len(a.Removed) != 1 {
		t.Errorf("the access control is %+v", a)
	}
	if g := a.Grants[keyGrant(1, "").ID]; g == nil || g.Rate != 2.5 || len(g.Types) != 2 || len(g.Public) != 32 {
		t.Errorf("the key's grant is %+v", g)
	}
}

func wantAccess(t *testing.T, m *Machine, want *access.State) {
	t.Helper()
	if got := m.Access(); !reflect.DeepEqual(got, want) {
		t.Errorf("the access is\n%+v, want\n%+v", got, want)
	}
}

func TestAccessControlSurvivesRestartsSnapshotsAndCrashes(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, allChanges()...)
	want := m.Access()
	wantAllChanged(t, m)
	restored := newMachine(t)
	mustChange(t, restored, access.Change{Note: "another state"})
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, restored, want)
	dir := t.TempDir()
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, m, dir)
	crashed := openMachine(t, dir)
	defer crashed.Close()
	wantAccess(t, crashed, access.NewState())
	if err := crashed.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, crashed, want)
	if err := crashed.Discard("test"); err != nil {
		t.Fatal(err)
	}
	wantAccess(t, crashed, access.NewState())
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := openMachine(t, m.dir)
	defer reopened.Close()
	wantAccess(t, reopened, want)
}

func TestAnAccessChangeMustDoExactlyOneThing(t *testing.T) {
	rawChange := func(text string) []byte {
		return protowire.AppendString(protowire.AppendTag([]byte{3}, 2, protowire.BytesType), text)
	}
	good := `{"at":"2026-02-09T10:00:00Z","by":"getafix","guard":true}`
	if _, err := entry.Decode(rawChange(good)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, bad := range map[string][]byte{
		"nothing":         rawChange(`{"at":"2026-02-09T10:00:00Z","by":"getafix"}`),
		"two things":      rawChange(`{"at":"2026-02-09T10:00:00Z","by":"getafix","guard":true,"note":"x"}`),
		"unknown member":  rawChange(`{"at":"2026-02-09T10:00:00Z","by":"getafix","crown":"x"}`),
		"unknown, beside": rawChange(`{"at":"2026-02-09T10:00:00Z","by":"getafix","guard":true,"crown":"x"}`),
		"unknown, deep": rawChange(`{"at":"2026-02-09T10:00:00Z","by":"getafix",` +
			`"grant":{"id":"x","name":"x","role":"bard","crown":1}}`),
		"spaces":       rawChange(strings.ReplaceAll(good, ",", ", ")),
		"other order":  rawChange(`{"by":"getafix","at":"2026-02-09T10:00:00Z","guard":true}`),
		"empty member": rawChange(`{"at":"2026-02-09T10:00:00Z","by":"getafix","guard":true,"note":""}`),
		"other time":   rawChange(strings.ReplaceAll(good, "00Z", "00.0Z")),
		"no JSON":      rawChange(good[:len(good)-1]),
		"null":         rawChange(`null`),
		"too large": rawChange(
			`{"at":"2026-02-09T10:00:00Z","by":"getafix","note":"` + strings.Repeat("x", 128<<10) + `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			before := stateOf(t, m)
			wantRefused(t, m, bad)
			if m.Access().Guarded || stateOf(t, m) != before {
				t.Error("a part of it was applied")
			}
			mustChange(t, m, access.Change{Guard: true})
		})
	}
	post := encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))
	// No version writes these: the result of the change would be returned as that of the
	// post.
	for name, bad := range map[string][]byte{
		"twice":           append(rawChange(good), rawChange(good)[1:]...),
		"twice, once bad": append(rawChange(good[1:]), rawChange(good)[1:]...),
		"before a post":   append(rawChange(good), post[1:]...),
		"after a post":    append(bytes.Clone(post), rawChange(good)[1:]...),
		"unknown field":   append(rawChange(good), 3<<3|2, 0),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if _, err := m.Apply([]Entry{{1, bad}}, 1); err == nil {
				t.Error("it was applied")
			}
			if m.Access().Guarded || m.Applied() != 0 {
				t.Error("a part of it was applied")
			}
		})
	}
	for _, c := range []access.Change{{At: accessDay, By: "x"}, {At: accessDay, By: "x", Guard: true, Note: "x"},
		{By: "x", Note: "\xff"}, {At: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), Note: "x"},
		{At: accessDay, By: "x", AddAuthority: make([]byte, 128<<10)}} {
		if _, err := entry.EncodeChange(c); err == nil {
			t.Errorf("%+v was encoded", c)
		}
	}
}

func TestARefusedAccessChangeHasNoEffectAndNoAuditLine(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, allChanges()...)
	before := stateOf(t, m)
	for _, c := range []access.Change{{Revoke: "nobody"}, {JoinKey: make([]byte, 32), UseJoinToken: "j2"},
		{Grant: tokenGrant("a/b", "x", access.RoleBard)}, {DropAuthority: "00"}, {By: "\n", Note: "x"}} {
		if p := applyChange(t, m, c); p == nil || p.Detail == "" {
			t.Errorf("%+v was not refused", c)
		}
	}
	if stateOf(t, m) != before {
		t.Error("something changed")
	}
}

func TestTheAuditTrailIsNumberedPagedAndBounded(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, allChanges()...)
	mustChange(t, m, access.Change{Guard: true}) // no change
	audit := func(after uint64, limit int) (list []access.AuditEntry, next uint64) {
		t.Helper()
		err := m.View(func(v *view.View) (err error) {
			list, next, err = v.Audit(after, limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list, next
	}
	list, next := audit(0, 100)
	if len(list) != len(allChanges()) || next != 0 {
		t.Fatalf("%d lines, next %d", len(list), next)
	}
	for i, line := range list {
		if c := allChanges()[i]; line.Number != uint64(i)+1 || !line.At.Equal(c.At) || line.By != c.By ||
			line.What == "" {
			t.Errorf("line %d is %+v", i, line)
		}
	}
	if some, next := audit(3, 2); len(some) != 2 || some[0].Number != 4 || next != 5 {
		t.Errorf("after 3: %+v, next %d", some, next)
	}
	if none, next := audit(1000, 2); len(none) != 0 || next != 0 {
		t.Errorf("after the end: %+v, next %d", none, next)
	}
	for first := uint64(len(list)); first < access.MaxAudit+5; {
		var entries []Entry
		for range 500 {
			first++
			entries = append(entries, Entry{m.Applied() + uint64(len(entries)) + 1,
				encodeChange(t, access.Change{Note: fmt.Sprint("note ", first)})})
		}
		if _, err := m.Apply(entries, entries[len(entries)-1].Index); err != nil {
			t.Fatal(err)
		}
	}
	list, _ = audit(0, 2*access.MaxAudit)
	last := list[len(list)-1]
	if len(list) != access.MaxAudit || last.What != fmt.Sprint("note ", last.Number) ||
		list[0].Number != last.Number-access.MaxAudit+1 {
		t.Errorf("%d lines, from %d to %+v", len(list), list[0].Number, last)
	}
}

// In virtual time the transaction stays open: nothing waits here for commitDelay.
func TestAnAccessChangeIsVisibleWithItsOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		before := m.Access()
		mustChange(t, m, access.Change{Grant: keyGrant(1, "bard/a")})
		if len(before.Grants) != 0 || len(m.Access().Grants) != 1 {
			t.Errorf("before it had %d grants, now %d", len(before.Grants), len(m.Access().Grants))
		}
		if m.open == nil {
			t.Error("the change was committed to the file at once, which is unnecessary")
		}
		// If an entry stops the machine, the other entries of the call have no effect.
		index := m.Applied() + 1
		_, err := m.Apply([]Entry{{index, encodeChange(t, access.Change{Grant: keyGrant(2, "bard/b")})},
			{index + 1, []byte("garbage")}}, index+1)
		if err == nil || len(m.Access().Grants) != 1 {
			t.Errorf("%d grants, %v", len(m.Access().Grants), err)
		}
	})
}

func TestASnapshotWithInvalidAccessControlIsNotRestored(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, access.Change{Grant: keyGrant(1, "bard/a")})
	for old, damaged := range map[string]string{`"grants":{`: `"grants":[`, `{"id"`: `["id"`} {
		bad := bytes.Replace(snapshotOf(t, m), []byte(old), []byte(damaged), 1)
		fixChecksum(bad)
		other := newMachine(t)
		mustApply(t, other, alert, 1, 1, "mine")
		if err := other.Restore(bytes.NewReader(bad)); err == nil {
			t.Errorf("a snapshot with %q instead of %q was restored", damaged, old)
		}
		mustApply(t, other, alert, 2, 2, "still mine")
	}
}
