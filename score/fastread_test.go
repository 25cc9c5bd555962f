package score

import (
	"bytes"
	"reflect"
	"testing"
	"unicode/utf8"

	"laurel/score/fastjson"
)

// fastSeeds are events that the fast reader reads, and similar ones that it must leave to
// the general decoder.
var fastSeeds = []string{
	`{"id":"a-1","source":"bard/a","seq":1,"type":"score.play","time":"2026-02-09T08:00:00Z","contest_id":"A/1","data":{"competitor":"GAU","delta":1},"key":"0123456789abcdef","lineage":"rome","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABAAA="}`,
	`{"id":"a-1","source":"bard/a","seq":1,"type":"score.play","time":"2026-02-09T08:00:00-04:00","contest_id":"A/1","data":{"competitor":"GAU","delta":-0.5,"period":"H1","action":"GOAL","clock":"19'","athlete":"Astérix","result":{"GAU":1,"ROM":0},"stats_delta":{"corners":1},"comment":"x"}}`,
	`{"contest_id":"A/1","data":{"category":"M","competitor":"W20","mark":8.875,"organisation":"GAU","split":"5k"},"type":"result.set"}`,
	`{"contest_id":"A/1","data":{"competitor":"W20","irm":"DSQ","reason":"magic potion","split":"5k"},"type":"result.set"}`,
	` { "type" : "contest.status" , "contest_id" : "A/1" , "data" : { "schedule_status" : "RUNNING" , "result_status" : "LIVE" , "period" : "" , "clock" : "1" } } `,
	`{"data":{"name":null,"neutral":["AIN"],"organisations":[{"code":"GAU","name":"Gaul"},{"code":"ROM"}]},"type":"competition.define","contest_id":"A"}`,
	`{"type":"contest.define","contest_id":"A/1","data":{"kind":"ranked","sport":"run","start_time":"2026-02-09T09:17:00-04:00","medal_event":3,"precision":0,"splits":["5k","finish"],"venue":"","group":null,"tiebreak_periods":[],"competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","type":"T","order":-1,"categories":["F","O"]},{"code":"R","categories":[]}]}}`,
	`{"type":"competitor.define","contest_id":"A/1","data":{"competitor":"GAU","name":"Gaul","order":0,"categories":null,"comment":null}}`,
	`{"type":"event.void","contest_id":"A/1","data":{"voids_source":"bard/a","voids_seq":7,"voids_revision":12,"reason":"typing error"}}`,
	`{"type":"contest.define","contest_id":"A/1","data":{"kind":null,"start_time":"0001-01-01T00:00:00Z","competitors":[],"precision":null}}`,
	`{"type":"contest.define","contest_id":"A/1","data":{"medal_event":-0,"precision":01,"competitors":[{"order":12345678901234567890}]}}`,
	`{"type":"contest.define","contest_id":"A/1","data":{"splits":[null],"competitors":[null,{"code":null,"name":"x","name":"y"}]}}`,
	`[{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1}},{"type":"alert","contest_id":"A","data":{"text":"\"}"}}]`,
	`[{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1}}x`,
	`[{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1}},]`,
	`[{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1}}] []`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"\u0047AU","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1,"result":{}}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1,"result":{"GAU":1,"GAU":1}}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1,"period":"","period":"2"}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":null}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":01}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1 2}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1,}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"GAU","delta":1}}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"a` + "\xed\xa0\x80" + `","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","data":{"competitor":"a` + "\x01" + `","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","time":"2026-02-09T8:00:00Z","data":{"competitor":"GAU","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","time":"2026-02-09T08:00:00,5Z","data":{"competitor":"GAU","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","time":"2026-02-09T08:00:00+24:00","data":{"competitor":"GAU","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","source":"a","seq":01,"data":{"competitor":"GAU","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","source":"a","seq":1e2,"data":{"competitor":"GAU","delta":1}}`,
	`{"type":"score.play","contest_id":"A/1","source":"a","seq":0,"data":{"competitor":"GAU","delta":1}}`,
	`{"id":"a-1","source":"bard/a","seq":1,"type":"score.play","time":"2026-02-09T08:00:00Z","contest_id":"A/1","data":{"competitor":"GAU","delta":1},"key":"","signature":""}`,
	`{"id":"a-1","source":"bard/a","seq":1,"type":"score.play","time":"2026-02-09T08:00:00Z","contest_id":"A/1","data":{"competitor":"GAU","delta":1},"key":"0123456789abcdef","lineage":"rome","signature":"AAA"}`,
	`{"type":"score.play","contest_id":"A/1"}`,
	`{"type":"score.play","contest_id":"A/1","data":{}}`,
	`{"contest_id":"A/1","data":{"competitors":[{"code":"GAU","type":"alert"}],"kind":"ranked"},"type":"contest.define"}`,
	`{"contest_id":"A/1","data":{"text":"\"type\":\"score.play\""},"type":"alert"}`,
	`{"contest_id":"A/1","data":{"text":"rain"},"id":"\"type\":\"alert\"","type":"contest.comment"}`,
	`{"contest_id":"A/1","data":{"competitor":"GAU","delta":1}}`,
	`{}`, `[]`, `[`, `{"data":{`, `{"data":{"a":"`,
}

// FuzzFastRead compares the fast reader with the general decoder: if the fast reader has
// a result, it is that of the general one.
func FuzzFastRead(f *testing.F) {
	for _, seed := range fastSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		compareEvent(t, b)
		compareData(t, b)
	})
}

func compareEvent(t *testing.T, b []byte) {
	t.Helper()
	e, ok := fastEvent(string(b))
	if !ok {
		return
	}
	p := e.checkDecoded(e.Seq > 0, nil)
	general, q := decodeGeneral(b)
	if !reflect.DeepEqual(p, q) || p == nil && !reflect.DeepEqual(e, general) {
		t.Fatalf("%q is read fast as %+v %v, else %+v %v", b, e, p, general, q)
	}
	canonical, err := MarshalData(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	compareData(t, canonical)
}

func compareData(t *testing.T, b []byte) {
	t.Helper()
	for _, kind := range Types {
		r := fastjson.NewReader(string(b))
		d := dataTypeOf(kind).read(&r, nil)
		if d == nil || !r.End() {
			continue
		}
		compareMembers(t, kind, b)
		if general, p := readDataGeneral(kind, b); p != nil || !reflect.DeepEqual(d, general) {
			t.Fatalf("%q is read fast as %+v, else %+v, %v", b, d, general, p)
		}
	}
}

// compareMembers checks that data which are exact as they were read are in the stored form,
// and that their members, in order, are the canonical form.
func compareMembers(t *testing.T, kind Type, b []byte) (exact bool) {
	t.Helper()
	var m fastjson.Members
	d, p := readData(kind, b, &m)
	if p != nil || !m.Exact() {
		return false
	}
	stored, err := MarshalData(d)
	if err != nil || string(stored) != string(b) {
		t.Fatalf("%q of %s is exact, but its stored form is %q, %v", b, kind, stored, err)
	}
	canonical, err := AppendCanonical(nil, d)
	if got := m.Append(nil); err != nil || string(got) != string(canonical) {
		t.Fatalf("%q of %s has the members %q, but its canonical form is %q, %v", b, kind, got, canonical, err)
	}
	return true
}

// What bards post most is exact, so that its signed form is made of the text.
func TestPlainDataAreExact(t *testing.T) {
	for _, text := range fastSeeds[:4] {
		e, p := Decode([]byte(text))
		if p != nil {
			t.Fatal(p)
		}
		stored, err := MarshalData(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.IndexFunc(stored, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
		if exact := compareMembers(t, e.Type, stored); exact != want {
			t.Errorf("%s is exact: %t; want %t", stored, exact, want)
		}
	}
}

func TestFastReaderReadsPlainEvents(t *testing.T) {
	for _, text := range fastSeeds[:9] {
		if _, ok := fastEvent(text); !ok {
			t.Errorf("%s was left to the general decoder", text)
		}
	}
}

// Both read an event alike if it is cut off or altered anywhere.
func TestFastReaderAgreesOnDamagedEvents(t *testing.T) {
	for _, text := range fastSeeds {
		for i := range len(text) {
			for _, other := range []string{"", `"`, `\`, "{", "}", ",", " ", "0", "-", ".", "x", "\x80"} {
				damaged := text[:i] + other + text[i+1:]
				compareEvent(t, []byte(damaged))
				compareEvent(t, []byte(text[:i]+other))
			}
		}
	}
}

// The data of every type is read and written without the general JSON code, in the forms
// that bards post.
func TestDataOfEveryTypeIsReadAndWrittenByItsTable(t *testing.T) {
	for typ, data := range sampleData {
		r := fastjson.NewReader(data)
		d := dataTypeOf(typ).read(&r, nil)
		if d == nil || !r.End() {
			t.Errorf("%s: %s was left to the general decoder", typ, data)
			continue
		}
		for _, canonical := range []bool{false, true} {
			if _, ok := writeFast(nil, d, canonical); !ok {
				t.Errorf("%s: %s was left to the general writer", typ, data)
			}
		}
	}
}

// The text of an event is copied once. The data is allocated with the numbers and the few
// totals that it points to. Rules of several members need a Checker.
func TestReadingAllocatesLittle(t *testing.T) {
	for _, c := range []struct {
		text        string
		event, data float64
	}{
		{fastSeeds[1], 3, 2}, // and the zone of the time
		{fastSeeds[2], 3, 3},
		{fastSeeds[4], 3, 3},
		{fastSeeds[8], 3, 3},
	} {
		e, ok := fastEvent(c.text)
		if !ok {
			t.Fatalf("%s was left to the general decoder", c.text)
		}
		text := []byte(c.text)
		if n := testing.AllocsPerRun(100, func() { Decode(text) }); n > c.event {
			t.Errorf("%s is decoded with %v allocations; want %v", c.text, n, c.event)
		}
		stored, err := MarshalData(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { e.ReadData(stored); e.CheckData() }); n > c.data {
			t.Errorf("%s is read and checked with %v allocations; want %v", stored, n, c.data)
		}
		b := make([]byte, 0, 1<<10)
		if n := testing.AllocsPerRun(100, func() { AppendData(b, e.Data); AppendCanonical(b, e.Data) }); n > 0 {
			t.Errorf("%s is written with %v allocations", stored, n)
		}
	}
}
