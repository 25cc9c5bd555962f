package fsm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

const (
	notValid       = "invalid_event: the change is not valid JSON for this version"
	notCanonical   = "invalid_event: the change does not do exactly one thing, or is not canonical JSON"
	signedNotValid = "invalid_event: the signed change is not valid JSON for this version"
	noSuchSetting  = `invalid_event at setting.name: there is no setting %q; want one of cache_mode, incarnation, lineage, private`
)

// laterSettings are valid values of the settings that the first format does not have.
var laterSettings = []access.Setting{
	{Name: "clean_up_after", Value: "72h"}, {Name: "clean_up_after", Value: "0s"}, {Name: "format", Value: "2"},
	{Name: "format_hold", Value: "true"}, {Name: "min_voters", Value: "3"}, {Name: "min_voters", Value: "0"},
	{Name: "stabilize", Value: "10s"},
}

// rawEntry returns an entry of the first format with a change (field 2) or a signed one (3).
func rawEntry(field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag([]byte{3}, field, protowire.BytesType), text)
}

// wantWords has an entry refused, and compares the code, the field and the words.
func wantWords(t *testing.T, m *Machine, data []byte, want string) {
	t.Helper()
	p := wantRefused(t, m, data)
	got := fmt.Sprintf("%s: %s", p.Code, p.Detail)
	if p.Field != "" {
		got = fmt.Sprintf("%s at %s: %s", p.Code, p.Field, p.Detail)
	}
	if got != want {
		t.Errorf("%.200q\nis refused with %s\nwant %s", data, got, want)
	}
}

// joinTokenText returns the JSON of a join token with more members.
func joinTokenText(more string) string {
	return `{"id":"j2","hash":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","expires":"2026-02-10T10:00:00Z","uses":1` + more + `}`
}

// The words and the golden snapshots of this test and the next one are those of the last
// version that knew the first format only: both tests passed there as they are.
func TestTheFirstFormatRefusesWhatLaterOnesHaveAsItsOnlyVersionDid(t *testing.T) {
	m := newMachine(t)
	mustApply(t, m, alert, 1, 1, "an event")
	for _, c := range allChanges() {
		mustChange(t, m, c)
	}
	change := func(action string) []byte {
		return rawEntry(2, `{"at":"2026-02-09T10:00:00Z","by":"getafix",`+action+`}`)
	}
	for _, s := range laterSettings {
		wantWords(t, m, change(fmt.Sprintf(`"setting":{"name":%q,"value":%q}`, s.Name, s.Value)), fmt.Sprintf(noSuchSetting, s.Name))
		wantWords(t, m, change(fmt.Sprintf(`"setting":{"name":%q,"value":"x"}`, s.Name)), fmt.Sprintf(noSuchSetting, s.Name))
	}
	for _, text := range []string{
		joinTokenText(`,"replace":"f3"`), joinTokenText(`,"replace":""`), joinTokenText(`,"replace":null`),
		joinTokenText(`,"replace":3`), joinTokenText(`,"replace":{}`), joinTokenText(`,"replace":["f3"]`),
		joinTokenText(`,"replace":"f3","nonvoter":true`), joinTokenText(`,"nonvoter":true,"replace":""`),
		joinTokenText(`,"replace":"f3","replace":"f3"`), joinTokenText(`,"replace":"` + strings.Repeat("x", 1<<10) + `"`),
		`{"replace":""}`, joinTokenText(`,"instead":"f3"`),
	} {
		wantWords(t, m, change(`"join_token":`+text), notValid)
		wantWords(t, m, change(`"note":"x","join_token":`+text), notValid)
	}
	wantWords(t, m, change(`"replace":"f3"`), notValid)
	wantWords(t, m, change(`"join_token":`+joinTokenText(`,"nonvoter":false`)), notCanonical)
	golden(t, "snapshot-later-v3.hex", snapshotOf(t, m))
}

func TestASwornGroupOfTheFirstFormatRefusesWhatLaterOnesHaveAsItsOnlyVersionDid(t *testing.T) {
	m := newSwornMachine(t)
	mustSigned(t, m, swornChanges(t)...)
	signed := func(number uint64, c access.Change) []byte {
		text, err := json.Marshal(signedBy(t, 50, number, c))
		if err != nil {
			t.Fatal(err)
		}
		return rawEntry(3, string(text))
	}
	number := uint64(100)
	for _, s := range laterSettings {
		number++
		wantWords(t, m, signed(number, access.Change{Setting: &s}), fmt.Sprintf(noSuchSetting, s.Name))
	}
	token := signed(200, access.Change{JoinToken: &access.JoinToken{
		ID: "j2", Hash: make([]byte, 32), Expires: accessDay.Add(time.Hour), Uses: 1,
	}})
	for _, more := range []string{`,"replace":"f3"`, `,"replace":""`, `,"replace":null`, `,"replace":3`} {
		_, _, n := protowire.ConsumeField(token[1:])
		text, _ := protowire.ConsumeBytes(token[2 : 1+n])
		wantWords(t, m, rawEntry(3, strings.Replace(string(text), `"uses":1`, `"uses":1`+more, 1)), signedNotValid)
	}
	// A change that is not decoded uses no number of its operator; one that is refused does.
	for _, bad := range []uint64{number, 50} {
		p := wantRefused(t, m, signed(bad, access.Change{Setting: &access.Setting{Name: "private", Value: "false"}}))
		if p.Code != score.StatusConflict && p.Code != score.InvalidEvent {
			t.Errorf("the number %d is not used: %v", bad, p)
		}
	}
	mustSigned(t, m, signedBy(t, 50, 150, setting("private", "false")))
	golden(t, "snapshot-later-sworn-v4.hex", snapshotOf(t, m))
}

func TestASwornGroupTakesThePolicyForDeadMembersSignedOnly(t *testing.T) {
	m := newSwornMachine(t)
	signed := func(number uint64, c access.Change) *score.Problem {
		data, err := entry.EncodeSigned(signedBy(t, 50, number, c))
		if err != nil {
			t.Fatal(err)
		}
		return applyIn(t, m, data, access.NewestFormat)[0][0].Problem
	}
	if p := signed(1, raising()); p != nil {
		t.Fatal(p)
	}
	for i, s := range []access.Setting{
		{Name: access.SettingCleanUpAfter, Value: "24h"}, {Name: access.SettingMinVoters, Value: "3"},
		{Name: access.SettingStabilize, Value: "30s"},
	} {
		before := m.Access().Settings
		p := applyIn(t, m, encodeChange(t, setting(s.Name, s.Value)), access.NewestFormat)[0][0].Problem
		wantCode(t, s.Name+" unsigned", p, score.Unsigned)
		wantCode(t, s.Name+" out of bounds", signed(uint64(2*i)+2, setting(s.Name, "1")), score.InvalidEvent)
		if got := m.Access().Settings; got != before {
			t.Errorf("a change of %s that is refused makes the settings %+v", s.Name, got)
		}
		if p := signed(uint64(2*i)+3, setting(s.Name, s.Value)); p != nil {
			t.Errorf("%s, signed: %v", s.Name, p)
		}
	}
	if got := m.Access().Settings; got.CleanUpAfter != "24h" || got.MinVoters != 3 || got.Stabilize != "30s" {
		t.Errorf("the settings are %+v", got)
	}
}
