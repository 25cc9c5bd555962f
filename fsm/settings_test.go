package fsm

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/view"
	"laurel/score"
	"laurel/trust/access"
)

func setting(name, value string) access.Change {
	return access.Change{By: "getafix", Setting: &access.Setting{Name: name, Value: value}}
}

// wantSettings checks the settings of a machine.
func wantSettings(t *testing.T, m *Machine, want access.Settings) {
	t.Helper()
	if got := m.Access().Settings; got != want || m.CacheMode() != want.CacheMode ||
		m.Lineage() != want.Lineage || m.Incarnation() != want.Incarnation {
		t.Errorf("the settings are %+v, want %+v", got, want)
	}
}

func TestSettingsSurviveRestartsAndSnapshots(t *testing.T) {
	m := newMachine(t)
	wantSettings(t, m, access.Settings{CacheMode: score.Push})
	_, changed := m.Track()
	for _, c := range []access.Change{
		{Guard: true}, setting("private", "true"), setting("cache_mode", "pull"), setting("lineage", "gaul"),
		setting("incarnation", "gaul1"),
	} {
		mustChange(t, m, c)
		select {
		case <-changed:
		default:
			t.Errorf("the master does not learn that %+v is applied, and tells no follower", c)
		}
	}
	want := access.Settings{CacheMode: score.Pull, Private: true, Lineage: "gaul", Incarnation: "gaul1"}
	wantSettings(t, m, want)
	restored := newMachine(t)
	mustChange(t, restored, setting("lineage", "rome"))
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	wantSettings(t, restored, want)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := openMachine(t, m.dir)
	defer reopened.Close()
	wantSettings(t, reopened, want)
	mustChange(t, reopened, setting("private", "false"), setting("cache_mode", "push"))
	wantSettings(t, reopened, access.Settings{CacheMode: score.Push, Lineage: "gaul", Incarnation: "gaul1"})
}

// A frontend of another version that took the entry differently would have another state.
func TestASettingOfAnUnknownNameIsRefusedByAllMachinesAlike(t *testing.T) {
	raw := func(text string) []byte {
		text = `{"at":"2026-02-09T10:00:00Z","by":"getafix","setting":` + text + `}`
		return protowire.AppendString(protowire.AppendTag([]byte{3}, 2, protowire.BytesType), text)
	}
	for _, bad := range []struct{ text, field string }{
		{`{"name":"crown","value":"true"}`, "setting.name"},
		{`{"name":"","value":""}`, "setting.name"},
		{`{"name":"Private","value":"true"}`, "setting.name"},
		{`{"name":"` + strings.Repeat("x", 100<<10) + `","value":"true"}`, "setting.name"},
		{`{"name":"private","value":"1"}`, "setting.value"},
		{`{"name":"private","value":""}`, "setting.value"},
		{`{"name":"cache_mode","value":"shove"}`, "setting.value"},
		{`{"name":"lineage","value":"a-b"}`, "setting.value"},
		{`{"name":"incarnation","value":"` + strings.Repeat("x", 33) + `"}`, "setting.value"},
		{`{"name":"private","value":true}`, ""},
		{`{"name":"private"}`, ""},
		{`{"name":"private","value":"true","why":"x"}`, ""},
		{`null`, ""},
	} {
		one, other := newMachine(t), newMachine(t)
		before := stateOf(t, one)
		p := wantRefused(t, one, raw(bad.text))
		if p.Code != score.InvalidEvent || p.Field != bad.field || len(p.Detail) > 300 {
			t.Errorf("%.60s: got %v at %q, want the field %q", bad.text, p, p.Field, bad.field)
		}
		mustChange(t, other, setting("cache_mode", "pull"), setting("cache_mode", "push"))
		if q := wantRefused(t, other, raw(bad.text)); q.Detail != p.Detail || q.Code != p.Code {
			t.Errorf("%.60s: one machine says %v, another %v", bad.text, p, q)
		}
		if stateOf(t, one) != before {
			t.Errorf("%.60s: a part of it was applied", bad.text)
		}
		mustApply(t, one, alert, 1, 1, "the next event")
	}
}

func TestTheLineageAndTheIncarnationOfAStoreAreSetOnce(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, setting("lineage", "gaul"), setting("incarnation", "gaul1"))
	before := stateOf(t, m)
	for _, c := range []access.Change{
		setting("lineage", "rome"), setting("incarnation", "rome1"),
		setting("lineage", "gaul"), setting("incarnation", "gaul1"), // of another master that founds
	} {
		if p := applyChange(t, m, c); p == nil || p.Code != score.StatusConflict {
			t.Errorf("%+v: got %v", c.Setting, p)
		}
	}
	if p := applyChange(t, m, setting("lineage", "")); p == nil || p.Code != score.InvalidEvent {
		t.Errorf("no lineage: got %v", p)
	}
	if stateOf(t, m) != before {
		t.Error("a refused change has changed the store")
	}
}

func TestAChangeOfASettingIsInTheAuditTrail(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, access.Change{Guard: true, By: "f1"}, setting("lineage", "gaul"),
		setting("private", "true"), setting("private", "true"),
		setting("cache_mode", "push"), setting("cache_mode", "pull"), setting("private", "false"))
	applyChange(t, m, setting("lineage", "rome"))
	applyChange(t, m, setting("crown", "true"))
	lines := auditOf(t, m)
	want := []string{
		"f1: events must be signed, or come with a token, from now on",
		"getafix: the setting lineage is gaul",
		"getafix: the setting private was false; now it is true",
		"getafix: the setting cache_mode was push; now it is pull",
		"getafix: the setting private was true; now it is false",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the audit trail is %q, want %q", lines, want)
	}
}

// auditOf returns the lines of the audit trail with their authors.
func auditOf(t *testing.T, m *Machine) (lines []string) {
	t.Helper()
	if err := m.View(func(v *view.View) error {
		list, _, err := v.Audit(0, 100)
		for _, line := range list {
			lines = append(lines, line.By+": "+line.What)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}
