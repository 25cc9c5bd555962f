package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/entry"
	"laurel/score"
	"laurel/score/eventsig"
)

// invalidEvent is an event that no frontend encodes: its message can be decoded, but its
// content breaks a rule.
type invalidEvent struct {
	wire  []byte
	field string // the field of the problem
}

// invalidEvents returns one invalid event for each rule, by what is wrong.
func invalidEvents(t tester) map[string]invalidEvent {
	t.Helper()
	good := decodeEvent(t, `{"id":"bad","source":"bard/bad","seq":1,"type":"alert","contest_id":"OG50BC/rain",`+
		`"data":{"text":"x"}}`)
	all := map[string]invalidEvent{}
	addData := func(name, field string, typ score.Type, data string) {
		e := good
		e.Type = typ
		all[name] = invalidEvent{encodeEvent(&e, []byte(data)), field}
	}
	addData("award_id of 33,000 bytes", "data.award_id", score.TypeMedalAward,
		`{"award_id":"`+strings.Repeat("x", 33_000)+`","medal":"GOLD","organisation":"GAU"}`)
	addData("zero byte in award_id", "data.award_id", score.TypeMedalAward,
		`{"award_id":"a\u0000b","medal":"GOLD","organisation":"GAU"}`)
	addData("no award_id", "data.award_id", score.TypeMedalAward, `{"award_id":"","medal":"GOLD","organisation":"GAU"}`)
	addData("zero byte in the revoked award_id", "data.award_id", score.TypeMedalRevoke,
		`{"award_id":"a\u0000b","reason":"x"}`)
	addData("unknown medal", "data.medal", score.TypeMedalAward, `{"award_id":"a","medal":"TIN","organisation":"GAU"}`)
	addData("zero byte in split", "data.split", score.TypeResultSet, `{"competitor":"A","split":"a\u0000","mark":1}`)
	addData("zero byte in competitor", "data.competitor", score.TypeResultSet,
		`{"competitor":"A\u0000","split":"a","mark":1}`)
	addData("competitor of 33,000 bytes", "data.competitor", score.TypeResultSet,
		`{"competitor":"`+strings.Repeat("x", 33_000)+`","split":"a","mark":1}`)
	addData("neither mark nor irm", "data.mark", score.TypeResultSet, `{"competitor":"A","split":"a"}`)
	addData("no delta", "data.delta", score.TypeScorePlay, `{"competitor":"A"}`)
	addData("totals in another order", "data.result", score.TypeScorePlay,
		`{"competitor":"A","delta":1,"result":{"B":1,"A":1}}`)
	addData("too many totals", "data.result.c1000", score.TypeScoreSet, `{"result":{`+list(1001, `"c%04d":1`)+`}}`)
	addData("too many splits", "data.splits", score.TypeContestDefine,
		`{"kind":"ranked","sport":"race","splits":[`+list(257, `"s%d"`)+`]}`)
	addData("too many competitors", "data.competitors", score.TypeContestDefine,
		`{"kind":"ranked","sport":"race","competitors":[`+list(1001, `{"code":"c%d"}`)+`]}`)
	addData("too much", "data", score.TypeAlert, `{"text":"`+strings.Repeat("x", score.MaxEventBytes)+`"}`)
	addData("zero byte in sport", "data.sport", score.TypeContestDefine, `{"kind":"ranked","sport":"a\u0000b"}`)
	addData("unknown kind", "data.kind", score.TypeContestDefine, `{"kind":"lottery","sport":"x"}`)
	addData("start_time beyond the years", "data.start_time", score.TypeContestDefine,
		`{"kind":"ranked","sport":"x","start_time":"9999-12-31T23:59:59-01:00"}`)
	addData("a competition.define of a contest", "contest_id", score.TypeCompetitionDefine, `{}`)
	for _, bad := range []struct {
		name, field string
		typ         score.Type
		data        string
	}{
		{"unknown decision", "data.decision", score.TypeContestDecide, `{"winner":"A","decision":"LUCK"}`},
		{"winner without a decision", "data.decision", score.TypeContestDecide, `{"winner":"A"}`},
		{"zero byte in winner", "data.winner", score.TypeContestDecide, `{"winner":"a\u0000","decision":"RULE"}`},
		{"reset without a reason", "data.reason", score.TypeContestReset, `{}`},
		{"no competitor", "data.competitor", score.TypeCompetitorDefine, `{"name":"x"}`},
		{"null competitor", "data.competitor", score.TypeCompetitorDefine, `{"competitor":null}`},
		{"zero byte in a defined competitor", "data.competitor", score.TypeCompetitorDefine, `{"competitor":"a\u0000"}`},
		{"unknown type of competitor", "data.type", score.TypeCompetitorDefine, `{"competitor":"A","type":"X"}`},
		{"zero byte in category", "data.categories.0", score.TypeCompetitorDefine, `{"competitor":"A","categories":["\u0000"]}`},
		{"order beyond", "data.order", score.TypeCompetitorDefine, `{"competitor":"A","order":9223372036854775808}`},
		{"too many categories", "data.categories", score.TypeCompetitorDefine, `{"competitor":"A","categories":[` + list(300, `"c%03d"`) + `]}`},
		{"too many fraction digits", "data.precision", score.TypeContestDefine, `{"kind":"ranked","sport":"x","precision":99}`},
		{"unknown second sort", "data.sort2", score.TypeContestDefine, `{"kind":"ranked","sport":"x","sort2":"up"}`},
		{"second mark of a match", "data.sort2", score.TypeContestDefine, `{"kind":"head_to_head","sport":"x","unit2":"s"}`},
		{"null kind", "data.kind", score.TypeContestDefine, `{"kind":null}`},
		{"mark that is no time", "data.mark", score.TypeResultSet, `{"competitor":"A","split":"a","mark":"1:99"}`},
		{"second mark alone", "data.mark2", score.TypeResultSet, `{"competitor":"A","split":"a","irm":"DNF","mark2":1}`},
		{"half a place", "data.place", score.TypeResultSet, `{"competitor":"A","split":"a","mark":1,"place":0.5}`},
		{"unknown irm", "data.irm", score.TypeResultSet, `{"competitor":"A","split":"a","irm":"LOST"}`},
		{"adjustment of a period", "data.adjustment", score.TypeScoreSet, `{"result":{"A":1},"period":"P1","adjustment":true}`},
		{"adjustment that is no flag", "data.adjustment", score.TypeScoreSet, `{"result":{"A":1},"adjustment":"yes"}`},
		{"organisation named twice", "data.organisations.1.code", score.TypeCompetitionDefine,
			`{"organisations":[{"code":"A"},{"code":"A"}]}`},
		{"too many organisations", "data.organisations", score.TypeCompetitionDefine,
			`{"organisations":[` + list(1001, `{"code":"c%d"}`) + `]}`},
	} {
		e := good
		if e.Type = bad.typ; e.Type == score.TypeCompetitionDefine {
			e.ContestID = "OG50BC"
		}
		all[bad.name] = invalidEvent{encodeEvent(&e, []byte(bad.data)), bad.field}
	}
	addData("too large a number", "data.delta", score.TypeScorePlay, `{"competitor":"A","delta":1234567890123}`)
	addData("no JSON", "data.text", score.TypeAlert, `{"text":`)
	addData("no UTF-8", "data.text", score.TypeAlert, "{\"text\":\"\xff\"}")
	addData("no object", "data", score.TypeAlert, `7`)
	addData("null", "data", score.TypeScorePlay, `null`)
	addData("no data", "data", score.TypeAlert, ``)
	addData("a space before", "data", score.TypeAlert, ` {"text":"x"}`)
	addData("unknown member", "data.loud", score.TypeAlert, `{"text":"x","loud":true}`)
	addData("member twice", "data.text", score.TypeAlert, `{"text":"x","text":"x"}`)
	addData("unknown type", "type", "alarm", `{"text":"x"}`)
	addData("no type", "type", "", `{"text":"x"}`)
	addData("a type that is no text", "type", "\xff\x00", `{"text":"x"}`)
	addEvent := func(name, field string, spoil func(e *score.Event)) {
		e := good
		spoil(&e)
		all[name] = invalidEvent{encodeEvent(&e, []byte(`{"text":"x"}`)), field}
	}
	addEvent("no id", "id", func(e *score.Event) { e.ID = "" })
	addEvent("zero byte in id", "id", func(e *score.Event) { e.ID = "a\x00b" })
	addEvent("id that is no text", "id", func(e *score.Event) { e.ID = "\xff" })
	addEvent("long id", "id", func(e *score.Event) { e.ID = strings.Repeat("x", 129) })
	addEvent("no source", "source", func(e *score.Event) { e.Source = "" })
	addEvent("zero byte in source", "source", func(e *score.Event) { e.Source = "a\x00b" })
	addEvent("source of 33,000 bytes", "source", func(e *score.Event) { e.Source = strings.Repeat("x", 33_000) })
	addEvent("zero byte in contest_id", "contest_id", func(e *score.Event) { e.ContestID = "G/\x00" })
	addEvent("contest_id of 33,000 bytes", "contest_id",
		func(e *score.Event) { e.ContestID = "G/" + strings.Repeat("x", 33_000) })
	addEvent("no contest_id", "contest_id", func(e *score.Event) { e.ContestID = "" })
	addEvent("dots in contest_id", "contest_id", func(e *score.Event) { e.ContestID = "G/.." })
	addEvent("too large a seq", "seq", func(e *score.Event) { e.Seq = 1 << 53 })
	addEvent("year 0", "time", func(e *score.Event) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) })
	addEvent("year 10000", "time", func(e *score.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })
	addEvent("local year 10000", "time", func(e *score.Event) {
		e.Time = time.Date(9999, 12, 31, 23, 30, 0, 0, time.UTC).In(time.FixedZone("", 3600))
	})
	addEvent("zero time", "time", func(e *score.Event) { e.Time = time.Time{} })
	addEvent("offset of 30 s", "time", func(e *score.Event) { e.Time = e.Time.In(time.FixedZone("", 30)) })
	addEvent("long key", "signature", func(e *score.Event) { e.Key = strings.Repeat("a", 65) })
	addEvent("long token", "signature", func(e *score.Event) { e.Token = strings.Repeat("a", 65) })
	addEvent("long signature", "signature", func(e *score.Event) { e.Signature = make([]byte, eventsig.MaxSize+1) })
	wire := encodeEvent(&good, []byte(`{"text":"x"}`))
	addNumber := func(name string, field protowire.Number, n uint64) {
		tagged := protowire.AppendTag(bytes.Clone(wire), field, protowire.VarintType)
		all[name] = invalidEvent{protowire.AppendVarint(tagged, n), "time"}
	}
	addNumber("seconds in the far future", 5, 1<<64-1)
	addNumber("seconds in the far past", 5, 1<<64-2)
	addNumber("nanoseconds of a second", 6, 1e9)
	addNumber("offset of a day", 7, protowire.EncodeZigZag(24*60*60))
	addDelta := func(name string, delta []byte) {
		tagged := protowire.AppendTag(bytes.Clone(wire), 14, protowire.BytesType)
		all[name] = invalidEvent{protowire.AppendBytes(tagged, delta), "signature"}
	}
	addDelta("delta from nothing", []byte{9, 0})
	addDelta("truncated delta", []byte{0x80})
	addDelta("empty delta", nil)
	addDelta("too long a delta", append([]byte{0, 0}, make([]byte, eventsig.MaxSize+1)...))
	return all
}

// list returns n items made with a format, joined by commas.
func list(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(items, ",")
}

// encodeRawPost encodes a post of encoded events.
func encodeRawPost(mode score.PostMode, events ...[]byte) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(mode))
	for _, e := range events {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), e)
	}
	return b
}

// encodeRawEntry encodes an entry with a post that ParsePost has not checked.
func encodeRawEntry(post []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag([]byte{3}, 1, protowire.BytesType), post)
}

func TestAForwardedPostThatBreaksARuleIsRefused(t *testing.T) {
	for name, bad := range invalidEvents(t) {
		if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, bad.wire)); err == nil {
			t.Errorf("%s: the post was accepted", name)
		}
	}
	good := encodePost(t, singlePost(decodeEvent(t, alert, 1, 1, "one"))).Bytes()
	if _, _, err := entry.ParsePost(good); err != nil {
		t.Errorf("a valid post was refused: %v", err)
	}
	first := decodeEvent(t, alert, 1, 1, "one")
	event := encodeEvent(&first, []byte(`{"text":"x"}`))
	many := slices.Repeat([][]byte{event}, score.MaxArray+1)
	if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, many...)); err == nil {
		t.Error("an all-or-none post of too many events was accepted")
	}
	if _, _, err := entry.ParsePost(encodeRawPost(score.UntilRefused, many...)); err != nil {
		t.Errorf("a long until-refused post was refused: %v", err)
	}
}

func TestAForwardedSignedEventMustBeComplete(t *testing.T) {
	signed := signedAlert(t, 1, "bard/a", 1, "rain")
	for name, spoil := range map[string]func(e *score.Event){
		"no key":             func(e *score.Event) { e.Key = "" },
		"invalid key":        func(e *score.Event) { e.Key = "key" },
		"no signature":       func(e *score.Event) { e.Signature = nil },
		"cut off":            func(e *score.Event) { e.Signature = e.Signature[:67] },
		"no seq":             func(e *score.Event) { e.Seq = 0 },
		"id of a frontend":   func(e *score.Event) { e.IDGiven = false },
		"time of a frontend": func(e *score.Event) { e.TimeGiven = false },
	} {
		e := signed
		spoil(&e)
		if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone,
			encodeEvent(&e, []byte(`{"text":"rain"}`)))); err == nil {
			t.Errorf("%s: the post was accepted", name)
		}
	}
	if _, _, err := entry.ParsePost(encodePost(t, singlePost(signed)).Bytes()); err != nil {
		t.Errorf("a signed event was refused: %v", err)
	}
	other := encodeEvent(&signed, []byte(`{"text":"\u0072ain"}`))
	if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, other)); err == nil {
		t.Error("data that is not canonical was accepted")
	}
}

// A corrupt master can put anything into the log. No frontend stops because of it, and
// all decide alike.
func TestALoggedEventThatBreaksARuleIsRefusedByAllMachinesAlike(t *testing.T) {
	with, alike, without := newMachine(t), newMachine(t), newMachine(t)
	index := uint64(0)
	feed := func(data []byte, all ...*Machine) (r []score.Result) {
		index++
		for _, m := range all {
			outcome, err := m.Apply([]Entry{{index, data}}, index)
			if err != nil {
				t.Fatalf("the machine stopped: %v", err)
			}
			if err := m.Commit(); err != nil {
				t.Fatalf("the machine stopped at the commit: %v", err)
			}
			r = slices.Concat(outcome[0]...)
		}
		return r
	}
	define := decodeEvent(t, `{"id":"d","source":"bard/d","seq":1,"type":"contest.define","contest_id":"OG50BC/rain",`+
		`"data":{"kind":"ranked","sport":"race","splits":["a"]}}`)
	feed(encodeEntry(t, singlePost(define)), with, alike, without)
	seq := 0
	next := func() []byte {
		seq++
		e := decodeEvent(t, alert, seq, seq, "good")
		return encodeEvent(&e, []byte(`{"text":"good"}`))
	}
	names := []string{}
	for name := range invalidEvents(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	all := invalidEvents(t)
	for _, name := range names {
		bad := all[name]
		r := feed(encodeRawEntry(encodeRawPost(score.AllOrNone, bad.wire)), with, alike)
		if len(r) != 1 || r[0].Problem == nil || r[0].Revision != 0 || r[0].Problem.Field != bad.field {
			t.Errorf("%s: got %+v; want it refused for its %q", name, r, bad.field)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: the result cannot be encoded: %v", name, err)
		}
		// Together with a valid event it is refused as a whole, or after the valid one.
		first := next()
		if r := feed(encodeRawEntry(encodeRawPost(score.AllOrNone, first, bad.wire)), with, alike); len(r) != 1 ||
			r[0].Problem == nil || *r[0].Problem.Index != 1 {
			t.Errorf("%s, all or none after a valid one: got %+v", name, r)
		}
		data := encodeRawEntry(encodeRawPost(score.UntilRefused, first, bad.wire))
		if r := feed(data, with, alike); len(r) != 2 || r[0].Status != score.Applied || r[1].Problem == nil {
			t.Errorf("%s, until refused after a valid one: got %+v", name, r)
		}
		feed(encodeRawEntry(encodeRawPost(score.UntilRefused, first)), without)
	}
	want := snapshotOf(t, with)
	if !bytes.Equal(snapshotOf(t, alike), want) {
		t.Error("two machines have different states")
	}
	// The states differ only in the index of the last entry.
	feed(encodeEntry(t, singlePost(decodeEvent(t, alert, seq+1, seq+1, "the end"))), with, alike, without)
	if !bytes.Equal(snapshotOf(t, with), snapshotOf(t, without)) {
		t.Error("a refused event left a trace")
	}
	rebuilt := newMachine(t)
	if err := rebuilt.Restore(bytes.NewReader(want)); err != nil {
		t.Errorf("the state cannot be restored: %v", err)
	}
}

// The data of signed events is parsed before the entry is applied. Invalid data must not
// be fatal there either.
func TestSignedDataThatBreaksARuleIsRefused(t *testing.T) {
	m := guardedMachine(t)
	before := stateOf(t, m)
	for _, data := range []string{`{"text":`, `7`, ``, `{"text":"x","loud":1}`, `{"text":""}`} {
		e := signedAlert(t, 1, "bard/a", 1, "rain")
		if p := wantRefused(t, m, encodeRawEvent(&e, data)); p.Code != score.Unauthorized {
			t.Errorf("%s: got %v", data, p)
		}
	}
	// A bard may sign data that no frontend accepts.
	e := unsignedAlert(1, "bard/a", 1, "")
	e.Data = &score.Alert{Text: "a\x00b"}
	e = signEvents(t, 1, []score.Event{e})[0]
	if p := wantRefused(t, m, encodeRawEvent(&e, `{"text":"a\u0000b"}`)); p.Code != score.InvalidEvent ||
		p.Field != "data.text" {
		t.Errorf("got %v", p)
	}
	if stateOf(t, m) != before {
		t.Error("something was applied")
	}
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "rain"), score.Applied)
}

// wantRefused applies an entry of one event or access change and returns the problem that
// refused it.
func wantRefused(t *testing.T, m *Machine, data []byte) *score.Problem {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, data}}, index)
	if err != nil {
		t.Fatalf("the machine stopped: %v", err)
	}
	if err := m.Commit(); err != nil {
		t.Fatalf("the machine stopped at the commit: %v", err)
	}
	if len(outcome[0]) != 1 || len(outcome[0][0]) != 1 || outcome[0][0][0].Problem == nil {
		t.Fatalf("got %+v; want one refusal", outcome)
	}
	return outcome[0][0][0].Problem
}

// A version that knows the type writes it only in entries of a later version, which this
// one cannot decode.
func TestAnEventOfAnUnknownTypeIsRefused(t *testing.T) {
	m := guardedMachine(t)
	e := signedAlert(t, 1, "bard/a", 1, "rain")
	e.Type = "score.invent"
	if p := wantRefused(t, m, encodeRawEvent(&e, `{"text":"rain"}`)); p.Code != score.Unauthorized {
		t.Errorf("got %v", p)
	}
	open := newMachine(t)
	if p := wantRefused(t, open, encodeRawEvent(&score.Event{ID: "x", Source: "bard/x", Type: "score.invent",
		Time: noon, ContestID: "G/1"}, `{}`)); p.Field != "type" {
		t.Errorf("got %v", p)
	}
}

func TestEmptyEntriesChangeNothing(t *testing.T) {
	m := newMachine(t)
	for _, data := range [][]byte{{3}, encodeRawEntry(encodeRawPost(score.AllOrNone))} {
		if _, err := m.Apply([]Entry{{m.Applied() + 1, data}}, m.Applied()+1); err != nil {
			t.Fatal(err)
		}
	}
	if m.Revision() != 0 {
		t.Errorf("the revision is %d", m.Revision())
	}
	mustApply(t, m, alert, 1, 1, "the next event")
}
