package fsm

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/fsm/entry"
	"laurel/score"
)

// eventExample is a valid event of a type, with every member that its data can have, for
// the state of exampleMachine.
type eventExample struct {
	contest string
	data    string
	// noEffect reports that the type changes nothing but the timeline, by design.
	noEffect bool
}

// eventExamples has an example of each event type. If a test reports a missing one, a
// type was added to score.Types: add the example here, and the effect in
// batch.applyEffect and replayer.apply.
var eventExamples = map[score.Type]eventExample{
	score.TypeCompetitionDefine: {contest: "G", data: `{"name":"Games","neutral":["ON"],"organisations":[{"code":"ON","name":"Neutrals"}],"comment":"c"}`},
	score.TypeContestDefine: {contest: "G/new", data: `{"kind":"ranked","sport":"race","competition":"G",
		"competition_name":"Games","title":"t","discipline":"d","event":"e","phase":"p","group":"g","gender":"W",
		"venue":"v","start_time":"2026-02-09T10:00:00Z","medal_event":1,"result_type":"TIME","unit":"s","sort":"asc","unit2":"s","sort2":"asc","precision":1,
		"splits":["half","finish"],"competitors":[{"code":"A"}],"reason":"r","comment":"c"}`},
	score.TypeCompetitorDefine: {contest: "G/race", data: `{"competitor":"N","name":"New","organisation":"ON",
		"type":"A","order":3,"categories":["F"],"comment":"c"}`},
	score.TypeContestStatus: {contest: "G/match", data: `{"schedule_status":"RUNNING","result_status":"LIVE",
		"period":"P2","clock":"1:00","reason":"r","comment":"c"}`},
	score.TypeContestDecide: {contest: "G/match", data: `{"winner":"A","decision":"RETIRED","reason":"r","comment":"c"}`},
	score.TypeContestReset:  {contest: "G/match", data: `{"reason":"r","comment":"c"}`},
	score.TypeScorePlay: {contest: "G/match", data: `{"competitor":"A","delta":2,"period":"P1","action":"GOAL",
		"clock":"1:00","athlete":"Obelix","result":{"A":3},"stats_delta":{"shots":1},"comment":"c"}`},
	score.TypeScoreSet: {contest: "G/match", data: `{"result":{"A":7,"B":3},"period":"P1","reason":"r","comment":"c"}`},
	score.TypeResultSet: {contest: "G/race", data: `{"competitor":"A","split":"finish","mark":9.5,"mark2":1,"place":1,"category":"F",
		"organisation":"OA","reason":"r","comment":"c"}`},
	score.TypeMedalAward: {contest: "G/match", data: `{"award_id":"new","medal":"GOLD","organisation":"OA",
		"competitor":"A","sport":"stones","event":"e","comment":"c"}`},
	score.TypeMedalRevoke: {contest: "G/match", data: `{"award_id":"old","reason":"r","comment":"c"}`},
	score.TypeEventVoid: {contest: "G/match", data: `{"voids":"play","voids_revision":3,"voids_source":"desk",
		"voids_seq":3,"reason":"r","comment":"c"}`},
	score.TypeAlert: {contest: "G/match", data: `{"text":"t","comment":"c"}`, noEffect: true},
}

// exclusiveMembers lists members that cannot be given together with some of the example.
var exclusiveMembers = map[score.Type]map[string]string{
	score.TypeContestDefine: {"tiebreak_periods": `["SO"]`, "kind": `"head_to_head"`}, // without splits
	score.TypeScoreSet:      {"adjustment": `true`},                                   // without period
	score.TypeResultSet:     {"irm": `"DNF"`},                                         // without mark
}

// exampleMachine returns a machine with a running match, a running race, a play and a
// medal.
func exampleMachine(t *testing.T) *Machine {
	t.Helper()
	m := newMachine(t)
	mustPost(t, m, "match", "contest.define", "G/match",
		`{"kind":"head_to_head","sport":"stones","competitors":[{"code":"A"},{"code":"B"}]}`)
	mustPost(t, m, "run", "contest.status", "G/match", `{"schedule_status":"RUNNING","period":"P1"}`)
	mustPost(t, m, "play", "score.play", "G/match", `{"competitor":"A","delta":1}`)
	mustPost(t, m, "medal", "medal.award", "G/match", `{"award_id":"old","medal":"GOLD","organisation":"OA"}`)
	mustPost(t, m, "race", "contest.define", "G/race", `{"kind":"ranked","sport":"race","splits":["half","finish"]}`)
	mustPost(t, m, "start", "contest.status", "G/race", `{"schedule_status":"RUNNING"}`)
	return m
}

// effects returns the state apart from the timeline, the identities of events, and
// revisions.
func effects(t *testing.T, m *Machine) string {
	t.Helper()
	var b strings.Builder
	for _, r := range records(t, snapshotOf(t, m)) {
		switch r.bucket {
		case "meta", "seqs", "sources", "timeline", "signatures":
			continue
		case "index": // of medal tables and finished contests, without the revision
			for _, prefix := range []string{"c", "oo"} {
				if rest, ok := strings.CutPrefix(r.key, prefix); ok {
					r.key = prefix + rest[8:]
				}
			}
		case "contests", "medals":
			var v map[string]any
			if err := json.Unmarshal([]byte(r.value), &v); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"rev", "at"} {
				delete(v, name)
			}
			value, err := json.Marshal(v, json.Deterministic(true))
			if err != nil {
				t.Fatal(err)
			}
			r.value = string(value)
		}
		fmt.Fprintf(&b, "%s %q %s\n", r.bucket, r.key, r.value)
	}
	return b.String()
}

func TestEveryEventTypeHasAnEffect(t *testing.T) {
	for _, typ := range score.Types {
		t.Run(string(typ), func(t *testing.T) {
			example, ok := eventExamples[typ]
			if !ok {
				t.Fatal("the type has no example in eventExamples")
			}
			m := exampleMachine(t)
			before := effects(t, m)
			mustPost(t, m, "example", string(typ), example.contest, example.data)
			if after := effects(t, m); (after == before) != example.noEffect {
				t.Errorf("the event was applied; the state changed: %t, want %t", after != before, !example.noEffect)
			}
			// Voiding another event of the contest replays this one.
			mustPost(t, m, "other", "alert", example.contest, `{"text":"to be voided"}`)
			before = effects(t, m)
			mustVoid(t, m, "void", example.contest, "other")
			if after := effects(t, m); after != before {
				t.Errorf("replaying the event does not give the state that applying it gave:\n%s\nwant\n%s", after,
					before)
			}
		})
	}
}

// An example must have every member, so that the next test leaves out each of them.
func TestExamplesOfEventTypesAreComplete(t *testing.T) {
	for _, typ := range score.Types {
		example := members(t, eventExamples[typ].data)
		maps.Copy(example, exclusive(typ))
		d, err := score.UnmarshalData(typ, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		data := reflect.TypeOf(d).Elem()
		for i := range data.NumField() {
			name, _, _ := strings.Cut(data.Field(i).Tag.Get("json"), ",")
			if _, ok := example[name]; !ok && name != "-" {
				t.Errorf("the example of %s has no member %q", typ, name)
			}
		}
	}
}

func exclusive(typ score.Type) map[string]jsontext.Value {
	all := map[string]jsontext.Value{}
	for name, value := range exclusiveMembers[typ] {
		all[name] = jsontext.Value(value)
	}
	return all
}

func members(t *testing.T, data string) map[string]jsontext.Value {
	t.Helper()
	all := map[string]jsontext.Value{}
	if err := json.Unmarshal([]byte(data), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// A corrupt master can put events with any members into the log. They must be refused or
// applied, by every state machine alike, but never end the process: a required member
// that is missing must not be dereferenced, neither when the event is applied nor when it
// is replayed.
func TestAnEventWithMissingMembersIsRefusedOrApplied(t *testing.T) {
	for _, typ := range score.Types {
		t.Run(string(typ), func(t *testing.T) {
			m := exampleMachine(t)
			example := eventExamples[typ]
			all := members(t, example.data)
			var variants []map[string]jsontext.Value
			for _, extra := range []map[string]jsontext.Value{{}, exclusive(typ)} {
				full := maps.Clone(all)
				maps.Copy(full, extra)
				for name := range full {
					without, null := maps.Clone(full), maps.Clone(full)
					alone := map[string]jsontext.Value{name: full[name]}
					delete(without, name)
					null[name] = jsontext.Value("null")
					variants = append(variants, without, null, alone)
					for other := range extra { // or without two
						two := maps.Clone(without)
						delete(two, other)
						variants = append(variants, two)
					}
				}
			}
			variants = append(variants, map[string]jsontext.Value{})
			for i, v := range variants {
				applyVariant(t, m, typ, example.contest, fmt.Sprint("variant-", i), v)
				if i%50 == 49 {
					if err := m.Commit(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := newMachine(t).Restore(strings.NewReader(string(snapshotOf(t, m)))); err != nil {
				t.Errorf("the state cannot be restored: %v", err)
			}
		})
	}
}

// applyVariant applies an event with some members, both in the order of the canonical
// form and in that of their names. If the event is applied, it is voided, and the void is
// voided.
func applyVariant(
	t *testing.T, m *Machine, typ score.Type, contest, id string, members map[string]jsontext.Value,
) {
	t.Helper()
	sorted, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	forms := [][]byte{sorted}
	if d, err := score.UnmarshalData(typ, sorted); err == nil {
		if canonical, err := score.MarshalData(d); err == nil {
			forms = append(forms, canonical)
		}
	}
	for i, data := range forms {
		e := score.Event{ID: fmt.Sprint(id, "-", i), Source: "bard/corrupt", Type: typ, Time: noon, ContestID: contest}
		index := m.Applied() + 1
		outcome, err := m.Apply([]Entry{{index, encodeRawEvent(&e, string(data))}}, index)
		if err != nil {
			t.Fatalf("%s %s made the machine fail: %v", typ, data, err)
		}
		if r := outcome[0][0][0]; r.Status != score.Applied {
			continue
		}
		for _, voids := range []string{e.ID, "void " + e.ID} {
			postEvent(t, m, `{"id":%q,"source":"bard/corrupt","type":"event.void","contest_id":%q,`+
				`"data":{"voids":%q,"reason":"r"}}`,
				"void "+voids, contest, voids)
		}
	}
}

// An event whose envelope lacks a field is refused or applied too.
func TestAnEventWithMissingFieldsIsRefusedOrApplied(t *testing.T) {
	for _, typ := range score.Types {
		m := exampleMachine(t)
		example := eventExamples[typ]
		full := score.Event{
			ID: "e", Source: "bard/corrupt", Seq: 1, Type: typ, Time: noon, ContestID: example.contest,
			Key: keyGrant(1, "").ID, Signature: make([]byte, 64), Token: "t", IDGiven: true, TimeGiven: true,
		}
		fields := reflect.TypeOf(full)
		for i := range fields.NumField() {
			for j := range fields.NumField() {
				e := full
				v := reflect.ValueOf(&e).Elem()
				v.Field(i).SetZero()
				v.Field(j).SetZero()
				for _, data := range []string{example.data, `{}`, ``} {
					index := m.Applied() + 1
					if _, err := m.Apply([]Entry{{index, encodeRawEvent(&e, data)}}, index); err != nil {
						t.Fatalf("%+v made the machine fail: %v", e, err)
					}
				}
			}
		}
		if err := m.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADecodedEntryWithoutAnythingIsApplied(t *testing.T) {
	m := newMachine(t)
	for _, data := range [][]byte{entry.Encode(nil), encodeRawEntry(nil),
		encodeRawEntry(encodeRawPost(score.AllOrNone, nil))} {
		index := m.Applied() + 1
		if _, err := m.Apply([]Entry{{index, data}}, index); err != nil {
			t.Errorf("%x made the machine fail: %v", data, err)
		}
	}
}
