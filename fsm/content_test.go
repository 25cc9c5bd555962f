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
)

// badContent is an event that no frontend makes: what its message says breaks a rule, though it can be read.
type invalidEvent struct {
	wire  []byte
	field string // of the problem
}

// badContents are the kinds that there are, by what is wrong.
func invalidEvents(t tester) map[string]invalidEvent {
	t.Helper()
	good := decodeEvent(t, `{"id":"bad","source":"bard/bad","seq":1,"type":"alert","contest_id":"OG50BC/rain","data":{"text":"x"}}`)
	all := map[string]invalidEvent{}
	say := func(name, field string, typ score.Type, data string) {
		e := good
		e.Type = typ
		all[name] = invalidEvent{encodeEvent(&e, []byte(data)), field}
	}
	say("award_id of 33,000 bytes", "data.award_id", score.TypeMedalAward, `{"award_id":"`+strings.Repeat("x", 33_000)+`","medal":"GOLD","organisation":"GAU"}`)
	say("zero byte in award_id", "data.award_id", score.TypeMedalAward, `{"award_id":"a\u0000b","medal":"GOLD","organisation":"GAU"}`)
	say("no award_id", "data.award_id", score.TypeMedalAward, `{"award_id":"","medal":"GOLD","organisation":"GAU"}`)
	say("zero byte in the revoked award_id", "data.award_id", score.TypeMedalRevoke, `{"award_id":"a\u0000b","reason":"x"}`)
	say("unknown medal", "data.medal", score.TypeMedalAward, `{"award_id":"a","medal":"TIN","organisation":"GAU"}`)
	say("zero byte in split", "data.split", score.TypeResultSet, `{"competitor":"A","split":"a\u0000","mark":1}`)
	say("zero byte in competitor", "data.competitor", score.TypeResultSet, `{"competitor":"A\u0000","split":"a","mark":1}`)
	say("competitor of 33,000 bytes", "data.competitor", score.TypeResultSet, `{"competitor":"`+strings.Repeat("x", 33_000)+`","split":"a","mark":1}`)
	say("neither mark nor irm", "data.mark", score.TypeResultSet, `{"competitor":"A","split":"a"}`)
	say("no delta", "data.delta", score.TypeScorePlay, `{"competitor":"A"}`)
	say("totals in another order", "data.result", score.TypeScorePlay, `{"competitor":"A","delta":1,"result":{"B":1,"A":1}}`)
	say("too many totals", "data.result.c1000", score.TypeScoreSet, `{"result":{`+list(1001, `"c%04d":1`)+`}}`)
	say("too many splits", "data.splits", score.TypeContestDefine, `{"kind":"ranked","sport":"race","splits":[`+list(257, `"s%d"`)+`]}`)
	say("too many competitors", "data.competitors", score.TypeContestDefine, `{"kind":"ranked","sport":"race","competitors":[`+list(1001, `{"code":"c%d"}`)+`]}`)
	say("too much", "data", score.TypeAlert, `{"text":"`+strings.Repeat("x", score.MaxEventBytes)+`"}`)
	say("zero byte in sport", "data.sport", score.TypeContestDefine, `{"kind":"ranked","sport":"a\u0000b"}`)
	say("unknown kind", "data.kind", score.TypeContestDefine, `{"kind":"lottery","sport":"x"}`)
	say("start_time beyond the years", "data.start_time", score.TypeContestDefine, `{"kind":"ranked","sport":"x","start_time":"9999-12-31T23:59:59-01:00"}`)
	say("a competition.define of a contest", "contest_id", score.TypeCompetitionDefine, `{}`)
	say("too large a number", "data.delta", score.TypeScorePlay, `{"competitor":"A","delta":1234567890123}`)
	say("no JSON", "data.text", score.TypeAlert, `{"text":`)
	say("no UTF-8", "data.text", score.TypeAlert, "{\"text\":\"\xff\"}")
	say("no object", "data", score.TypeAlert, `7`)
	say("null", "data", score.TypeScorePlay, `null`)
	say("no data", "data", score.TypeAlert, ``)
	say("a space before", "data", score.TypeAlert, ` {"text":"x"}`)
	say("unknown member", "data.loud", score.TypeAlert, `{"text":"x","loud":true}`)
	say("member twice", "data.text", score.TypeAlert, `{"text":"x","text":"x"}`)
	say("unknown type", "type", "alarm", `{"text":"x"}`)
	say("no type", "type", "", `{"text":"x"}`)
	say("a type that is no text", "type", "\xff\x00", `{"text":"x"}`)
	odd := func(name, field string, spoil func(e *score.Event)) {
		e := good
		spoil(&e)
		all[name] = invalidEvent{encodeEvent(&e, []byte(`{"text":"x"}`)), field}
	}
	odd("no id", "id", func(e *score.Event) { e.ID = "" })
	odd("zero byte in id", "id", func(e *score.Event) { e.ID = "a\x00b" })
	odd("id that is no text", "id", func(e *score.Event) { e.ID = "\xff" })
	odd("long id", "id", func(e *score.Event) { e.ID = strings.Repeat("x", 129) })
	odd("no source", "source", func(e *score.Event) { e.Source = "" })
	odd("zero byte in source", "source", func(e *score.Event) { e.Source = "a\x00b" })
	odd("source of 33,000 bytes", "source", func(e *score.Event) { e.Source = strings.Repeat("x", 33_000) })
	odd("zero byte in contest_id", "contest_id", func(e *score.Event) { e.ContestID = "G/\x00" })
	odd("contest_id of 33,000 bytes", "contest_id", func(e *score.Event) { e.ContestID = "G/" + strings.Repeat("x", 33_000) })
	odd("no contest_id", "contest_id", func(e *score.Event) { e.ContestID = "" })
	odd("dots in contest_id", "contest_id", func(e *score.Event) { e.ContestID = "G/.." })
	odd("seq beyond every reader", "seq", func(e *score.Event) { e.Seq = 1 << 53 })
	odd("year 0", "time", func(e *score.Event) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) })
	odd("year 10000", "time", func(e *score.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })
	odd("year 10000 where it was", "time", func(e *score.Event) {
		e.Time = time.Date(9999, 12, 31, 23, 30, 0, 0, time.UTC).In(time.FixedZone("", 3600))
	})
	odd("zero time", "time", func(e *score.Event) { e.Time = time.Time{} })
	odd("offset of 30 s", "time", func(e *score.Event) { e.Time = e.Time.In(time.FixedZone("", 30)) })
	odd("long key", "signature", func(e *score.Event) { e.Key = strings.Repeat("a", 65) })
	odd("long token", "signature", func(e *score.Event) { e.Token = strings.Repeat("a", 65) })
	odd("long signature", "signature", func(e *score.Event) { e.Signature = make([]byte, score.MaxSignature+1) })
	wire := encodeEvent(&good, []byte(`{"text":"x"}`))
	number := func(name string, field protowire.Number, n uint64) {
		all[name] = invalidEvent{protowire.AppendVarint(protowire.AppendTag(bytes.Clone(wire), field, protowire.VarintType), n), "time"}
	}
	number("seconds without end", 5, 1<<64-1)
	number("seconds long ago", 5, 1<<64-2)
	number("nanoseconds of a second", 6, 1e9)
	number("offset of a day", 7, protowire.EncodeZigZag(24*60*60))
	difference := func(name string, wire []byte, differences ...[]byte) {
		for _, d := range differences {
			wire = protowire.AppendBytes(protowire.AppendTag(bytes.Clone(wire), 16, protowire.BytesType), d)
		}
		all[name] = invalidEvent{wire, "signature"}
	}
	difference("difference from nothing", wire, []byte{9, 0})
	difference("difference cut off", wire, []byte{0x80})
	difference("no difference", wire, nil)
	difference("two differences", wire, []byte{0, 0, 1}, []byte{0, 0, 1})
	signed := good
	signed.Signature = []byte{1}
	difference("difference beside a signature", encodeEvent(&signed, []byte(`{"text":"x"}`)), []byte{0, 0, 1})
	difference("difference too long", wire, append([]byte{0, 0}, make([]byte, score.MaxSignature+1)...))
	return all
}

// list is n items made with a format, joined by commas.
func list(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(items, ",")
}

// postOf is the message of a post with the events.
func encodeRawPost(mode score.PostMode, events ...[]byte) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(mode))
	for _, e := range events {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), e)
	}
	return b
}

// rawEntryOf is an entry with the post, past ParsePost.
func encodeRawEntry(post []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag([]byte{2}, 1, protowire.BytesType), post)
}

func TestAForwardedPostThatBreaksARuleIsRefused(t *testing.T) {
	for name, bad := range invalidEvents(t) {
		if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, bad.wire)); err == nil {
			t.Errorf("%s: the post was taken", name)
		}
	}
	good := encodePost(t, singlePost(decodeEvent(t, alert, 1, 1, "one"))).Bytes()
	if _, _, err := entry.ParsePost(good); err != nil {
		t.Errorf("a good post was refused: %v", err)
	}
	first := decodeEvent(t, alert, 1, 1, "one")
	event := encodeEvent(&first, []byte(`{"text":"x"}`))
	many := slices.Repeat([][]byte{event}, score.MaxArray+1)
	if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, many...)); err == nil {
		t.Error("a post of too many events, all or none, was taken")
	}
	if _, _, err := entry.ParsePost(encodeRawPost(score.UntilRefused, many...)); err != nil {
		t.Errorf("a long post, event by event, was refused: %v", err)
	}
}

func TestAForwardedSignedEventMustBeComplete(t *testing.T) {
	signed := signedAlert(t, 1, "bard/a", 1, "rain")
	for name, spoil := range map[string]func(e *score.Event){
		"no key":           func(e *score.Event) { e.Key = "" },
		"key that is none": func(e *score.Event) { e.Key = "key" },
		"no signature":     func(e *score.Event) { e.Signature = nil },
		"cut off":          func(e *score.Event) { e.Signature = e.Signature[:67] },
		"no seq":           func(e *score.Event) { e.Seq = 0 },
		"another's id":     func(e *score.Event) { e.IDGiven = false },
		"another's time":   func(e *score.Event) { e.TimeGiven = false },
	} {
		e := signed
		spoil(&e)
		if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, encodeEvent(&e, []byte(`{"text":"rain"}`)))); err == nil {
			t.Errorf("%s: the post was taken", name)
		}
	}
	if _, _, err := entry.ParsePost(encodePost(t, singlePost(signed)).Bytes()); err != nil {
		t.Errorf("a signed event was refused: %v", err)
	}
	other := encodeEvent(&signed, []byte(`{"text":"\u0072ain"}`))
	if _, _, err := entry.ParsePost(encodeRawPost(score.AllOrNone, other)); err == nil {
		t.Error("data in other words was taken")
	}
}

// A master that is corrupt puts into the log what it likes. No frontend ends by it, and all decide alike.
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
				t.Fatalf("the machine stopped as it wrote: %v", err)
			}
			r = slices.Concat(outcome[0]...)
		}
		return r
	}
	define := decodeEvent(t, `{"id":"d","source":"bard/d","seq":1,"type":"contest.define","contest_id":"OG50BC/rain","data":{"kind":"ranked","sport":"race","splits":["a"]}}`)
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
			t.Errorf("%s: what came of it cannot be told: %v", name, err)
		}
		// Among good ones it takes them with it, or stands alone.
		first := next()
		if r := feed(encodeRawEntry(encodeRawPost(score.AllOrNone, first, bad.wire)), with, alike); len(r) != 1 || r[0].Problem == nil || *r[0].Problem.Index != 1 {
			t.Errorf("%s, behind a good one: got %+v", name, r)
		}
		data := encodeRawEntry(encodeRawPost(score.UntilRefused, first, bad.wire))
		if r := feed(data, with, alike); len(r) != 2 || r[0].Status != score.Applied || r[1].Problem == nil {
			t.Errorf("%s, after a good one: got %+v", name, r)
		}
		feed(encodeRawEntry(encodeRawPost(score.UntilRefused, first)), without)
	}
	want := snapshotOf(t, with)
	if !bytes.Equal(snapshotOf(t, alike), want) {
		t.Error("two machines came to different states")
	}
	// Only how far the log was applied tells them apart.
	feed(encodeEntry(t, singlePost(decodeEvent(t, alert, seq+1, seq+1, "the end"))), with, alike, without)
	if !bytes.Equal(snapshotOf(t, with), snapshotOf(t, without)) {
		t.Error("what was refused left something behind")
	}
	rebuilt := newMachine(t)
	if err := rebuilt.Restore(bytes.NewReader(want)); err != nil {
		t.Errorf("the state cannot be restored: %v", err)
	}
}

// The data of what is signed is read before anything is applied. A key does not make bad data fatal.
func TestSignedDataThatBreaksARuleIsRefused(t *testing.T) {
	m := guardedMachine(t)
	before := stateOf(t, m)
	for _, data := range []string{`{"text":`, `7`, ``, `{"text":"x","loud":1}`, `{"text":""}`} {
		e := signedAlert(t, 1, "bard/a", 1, "rain")
		if p := wantRefused(t, m, encodeRawEvent(&e, data)); p.Code != score.Unauthorized {
			t.Errorf("%s: got %v", data, p)
		}
	}
	// The bard itself signed what no frontend would have taken.
	e := unsignedAlert(1, "bard/a", 1, "")
	e.Data = &score.Alert{Text: "a\x00b"}
	e = signEvents(t, 1, []score.Event{e})[0]
	if p := wantRefused(t, m, encodeRawEvent(&e, `{"text":"a\u0000b"}`)); p.Code != score.InvalidEvent || p.Field != "data.text" {
		t.Errorf("got %v", p)
	}
	if stateOf(t, m) != before {
		t.Error("something was applied")
	}
	wantOutcome(t, m, signedAlert(t, 1, "bard/a", 1, "rain"), score.Applied)
}

// wantRefused applies an entry of one event, or of a change, and returns why it was refused.
func wantRefused(t *testing.T, m *Machine, data []byte) *score.Problem {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, data}}, index)
	if err != nil {
		t.Fatalf("the machine stopped: %v", err)
	}
	if err := m.Commit(); err != nil {
		t.Fatalf("the machine stopped as it wrote: %v", err)
	}
	if len(outcome[0]) != 1 || len(outcome[0][0]) != 1 || outcome[0][0][0].Problem == nil {
		t.Fatalf("got %+v; want one refusal", outcome)
	}
	return outcome[0][0][0].Problem
}

// A version that knows the type writes it in entries of a version that this one does not know.
func TestAnEventOfAnUnknownTypeIsRefused(t *testing.T) {
	m := guardedMachine(t)
	e := signedAlert(t, 1, "bard/a", 1, "rain")
	e.Type = "score.invent"
	if p := wantRefused(t, m, encodeRawEvent(&e, `{"text":"rain"}`)); p.Code != score.Unauthorized {
		t.Errorf("got %v", p)
	}
	open := newMachine(t)
	if p := wantRefused(t, open, encodeRawEvent(&score.Event{ID: "x", Source: "bard/x", Type: "score.invent", Time: noon, ContestID: "G/1"}, `{}`)); p.Field != "type" {
		t.Errorf("got %v", p)
	}
}

func TestEmptyEntriesChangeNothing(t *testing.T) {
	m := newMachine(t)
	before := m.Store()
	for _, data := range [][]byte{entry.EncodeStore(""), entry.EncodeStore(strings.Repeat("x", 65)), {1}, encodeRawEntry(encodeRawPost(score.AllOrNone))} {
		if _, err := m.Apply([]Entry{{m.Applied() + 1, data}}, m.Applied()+1); err != nil {
			t.Fatal(err)
		}
	}
	if m.Store() != before || m.Revision() != 0 {
		t.Errorf("the store is %q, the revision %d", m.Store(), m.Revision())
	}
	mustApply(t, m, alert, 1, 1, "it goes on")
}
