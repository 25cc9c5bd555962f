package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

// raising is the change that raises a group to the newest format.
func raising() access.Change {
	return setting(access.SettingFormat, strconv.Itoa(access.NewestFormat))
}

// applyIn applies one entry in a format, and returns the outcome.
func applyIn(t tester, m *Machine, data []byte, format uint64) [][]score.Result {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, entry.InFormat(data, format)}}, index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0]
}

func mustRaise(t tester, m *Machine) {
	t.Helper()
	if r := applyIn(t, m, encodeChange(t, raising()), access.NewestFormat)[0][0]; r.Problem != nil {
		t.Fatal(r.Problem)
	}
}

func TestAnEntryOfALaterFormatChangesNothingUntilTheGroupIsRaised(t *testing.T) {
	m := newMachine(t)
	mustChange(t, m, setting("lineage", "gaul"))
	before := stateOf(t, m)
	post := func() []byte {
		return encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")), singlePost(decodeEvent(t, alert, 2, 2, "two")))
	}
	hold := func() []byte { return encodeChange(t, setting(access.SettingFormatHold, "true")) }
	for name, data := range map[string][]byte{
		"posts": post(), "a setting of that format": hold(), "a seal": entry.EncodeSeal(1),
		"a setting of the first format": encodeChange(t, setting("private", "false")),
	} {
		outcome := applyIn(t, m, data, 2)
		for _, results := range outcome {
			if len(results) != 1 || results[0].Problem == nil || results[0].Problem.Code != score.StatusConflict {
				t.Errorf("%s: %+v", name, results)
			}
		}
		if name == "posts" && len(outcome) != 2 {
			t.Errorf("two posts have %d outcomes", len(outcome))
		}
	}
	if stateOf(t, m) != before {
		t.Error("an entry of a later format has changed the state")
	}
	// A master that has not applied the raise yet writes in the format before.
	mustRaise(t, m)
	if r := applyIn(t, m, post(), 1); r[1][0].Status != score.Applied {
		t.Errorf("posts of the first format: %+v", r)
	}
	if r := applyIn(t, m, hold(), 1)[0][0]; r.Problem == nil {
		t.Error("an entry of the first format changed a setting of the second")
	}
	if r := applyIn(t, m, hold(), 2)[0][0]; r.Problem != nil || !m.Access().Settings.FormatHold {
		t.Errorf("the setting is refused: %v", r.Problem)
	}
}

// A version that knows only the first format refuses the same with the same words.
func TestTheFirstFormatRefusesTheSettingsOfLaterOnesAsUnknown(t *testing.T) {
	m := newMachine(t)
	for _, c := range []access.Change{raising(), setting(access.SettingFormatHold, "true")} {
		p := applyIn(t, m, encodeChange(t, c), 1)[0][0].Problem
		want := fmt.Sprintf("there is no setting %q; want one of cache_mode, incarnation, lineage, private", c.Setting.Name)
		if p == nil || p.Code != score.InvalidEvent || p.Detail != want {
			t.Errorf("%s: %v; want %s", c.Setting.Name, p, want)
		}
	}
	if got := m.Access().Settings; got != (access.Settings{CacheMode: score.Push}) {
		t.Errorf("the settings are %+v", got)
	}
}

func TestAGroupIsRaisedOnlyByAnEntryInTheNewFormatAndNeverLowered(t *testing.T) {
	m := newMachine(t)
	for _, value := range []string{"", "0", "1", "3", "02", "+2", "two"} {
		data := encodeChange(t, setting(access.SettingFormat, value))
		if p := applyIn(t, m, data, 2)[0][0].Problem; p == nil || m.Access().Settings.Format() != 1 {
			t.Errorf("%q raises the group to format %d", value, m.Access().Settings.Format())
		}
	}
	c := raising()
	c.At = accessDay
	if _, _, p := access.NewState().Apply(&c, access.NewestFormat+1); p == nil {
		t.Error("an entry of the format after raises the group to this one")
	}
	mustRaise(t, m)
	mustRaise(t, m) // of another master
	lowering := encodeChange(t, setting(access.SettingFormat, "1"))
	if p := applyIn(t, m, lowering, 2)[0][0].Problem; p == nil || m.Access().Settings.Format() != 2 {
		t.Errorf("the group has format %d", m.Access().Settings.Format())
	}
}

func TestRaisingIsOneLineOfTheAuditTrail(t *testing.T) {
	m := newMachine(t)
	mustRaise(t, m)
	mustRaise(t, m)
	lines := auditOf(t, m)
	if len(lines) != 1 || lines[0] != "getafix: the format of the group was 1; now it is 2" {
		t.Errorf("the audit trail is %q", lines)
	}
}

func TestTheFormatSurvivesRestartsAndSnapshots(t *testing.T) {
	m := newMachine(t)
	mustRaise(t, m)
	snapshot := golden(t, "snapshot-v5.hex", snapshotOf(t, m))
	golden(t, "entry-format-v4.hex", entry.InFormat(encodeChange(t, raising()), access.NewestFormat))
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := openMachine(t, m.dir)
	defer reopened.Close()
	for _, m := range []*Machine{restored, reopened} {
		if got := m.Access().Settings.Format(); got != 2 {
			t.Errorf("the format is %d", got)
		}
	}
	if reopened.Applied() != 1 {
		t.Errorf("the database was made anew: %d entries are applied", reopened.Applied())
	}
}

func TestAStateOfALaterFormatIsLeftAsItIs(t *testing.T) {
	m := newMachine(t)
	mustRaise(t, m)
	snapshot := snapshotOf(t, m)
	snapshot[len("LAURELSN")] += 2
	later := new(access.FormatError)
	if err := m.Restore(bytes.NewReader(snapshot)); !errors.As(err, &later) || later.Format != access.NewestFormat+1 {
		t.Errorf("the snapshot of a later format: %v", err)
	}
	if m.Applied() != 1 {
		t.Error("it has replaced the state")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	marker := m.path() + ".mark"
	text, err := os.ReadFile(marker)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "clean 5", "clean 7", 1))
	if err := os.WriteFile(marker, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := Open(m.dir, discardLog()); !errors.As(err, &later) || later.Format != access.NewestFormat+1 {
		t.Errorf("the database of a later format: %v", err)
		if err == nil {
			other.Close()
		}
	}
	if again, err := os.ReadFile(marker); err != nil || !bytes.Equal(again, text) {
		t.Errorf("its marker is %q, %v", again, err)
	}
	if _, err := os.Stat(filepath.Clean(m.path())); err != nil {
		t.Error(err)
	}
}

func TestAHeldGroupIsNotRaised(t *testing.T) {
	s := access.NewState()
	s.Settings.FormatHold = true
	c := raising()
	c.At = accessDay
	if _, _, p := s.Apply(&c, access.NewestFormat); p == nil || p.Code != score.StatusConflict {
		t.Errorf("got %v", p)
	}
}
