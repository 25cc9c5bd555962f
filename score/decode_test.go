package score_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// event decodes a valid event.
func event(t testing.TB, text string) *score.Event {
	t.Helper()
	e, p := score.Decode([]byte(text))
	if p != nil {
		t.Fatalf("%s\n%v", text, p)
	}
	return &e
}

// eventJSON returns a valid event with the data.
func eventJSON(typ score.Type, data string) string {
	id := "OG50BC/CUR-M-GPA-01"
	if typ == score.TypeCompetitionDefine {
		id = "OG50BC"
	}
	return fmt.Sprintf(`{"type":%q,"contest_id":%q,"data":%s}`, typ, id, data)
}

func TestDecodeReadsTheExampleOfTheAPI(t *testing.T) {
	e, p := score.Decode([]byte(`{"id":"b1-000110","source":"bard/cacofonix","seq":110,"type":"score.play","time":"2026-02-09T10:16:40Z",
		"contest_id":"OG50BC/CUR-M-GPA-01","data":{"period":"END1","action":"END","competitor":"GAU","delta":2,"result":{"ROM":0,"GAU":2}}}`))
	if p != nil {
		t.Fatal(p)
	}
	if e.ID != "b1-000110" || e.Source != "bard/cacofonix" || e.Seq != 110 || e.Type != score.TypeScorePlay ||
		!e.TimeGiven || !e.IDGiven ||
		!e.Time.Equal(time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC)) || e.ContestID != "OG50BC/CUR-M-GPA-01" ||
		e.Competition() != "OG50BC" {
		t.Errorf("the envelope is %+v", e)
	}
	b, err := score.MarshalData(e.Data)
	if want := `{"competitor":"GAU","delta":2,"period":"END1","action":"END","result":{"GAU":2,"ROM":0}}`; err != nil ||
		string(b) != want {
		t.Errorf("the data is %s, %v; want %s", b, err, want)
	}
}

func TestDecodeLeavesOptionalMembersZero(t *testing.T) {
	for _, data := range []string{
		eventJSON(score.TypeAlert, `{"text":"rain"}`),
		`{"id":"","source":"","seq":null,"time":null,"type":"alert","contest_id":"OG50BC","data":{"text":"rain"}}`,
	} {
		e, p := score.Decode([]byte(data))
		if p != nil {
			t.Fatal(p)
		}
		if e.ID != "" || e.Source != "" || e.Seq != 0 || !e.Time.IsZero() || e.IDGiven || e.TimeGiven {
			t.Errorf("%s: %+v", data, e)
		}
	}
}

func TestDecodeAcceptsACommentInEveryType(t *testing.T) {
	for typ, data := range score.SampleData {
		e, p := score.Decode([]byte(eventJSON(typ, strings.Replace(data, "{", `{"comment":"by Jove\nand Toutatis",`,
			1))))
		if p != nil {
			t.Errorf("%s: %v", typ, p)
			continue
		}
		if b, err := score.MarshalData(e.Data); err != nil || !strings.Contains(string(b), "Toutatis") {
			t.Errorf("%s: the comment is lost: %s, %v", typ, b, err)
		}
	}
}

func TestEveryTypeIsListedOnceAndHasItsData(t *testing.T) {
	if len(score.Types) != len(score.SampleData) {
		t.Errorf("%d types are listed, SampleData has %d", len(score.Types), len(score.SampleData))
	}
	for _, typ := range score.Types {
		if _, p := score.Decode([]byte(eventJSON(typ, score.SampleData[typ]))); p != nil {
			t.Errorf("%s: %v", typ, p)
		}
	}
}

func TestAProblemNamesTheFieldAndTheRemedy(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	play := func(data string) string { return eventJSON(score.TypeScorePlay, data) }
	define := func(more string) string {
		return eventJSON(score.TypeContestDefine, `{"kind":"head_to_head","sport":"curling",`+more+`}`)
	}
	ranked := func(more string) string {
		return eventJSON(score.TypeContestDefine, `{"kind":"ranked","sport":"skating",`+more+`}`)
	}
	const number = "want a plain number with at most three fraction digits, such as 3 or 9.58"
	for _, c := range []struct{ name, event, field, detail string }{
		{"nothing", "", "", "want a JSON object with the members id, source, seq, type, time, contest_id, data"},
		{"white space", " \n", "", "the event is empty"},
		{"not JSON", "score!", "", "not valid JSON at byte 0: invalid character 's'"},
		{"truncated", play(`{"competitor":"GAU"`)[:60], "", "ends in the middle, after 60 bytes"},
		{"truncated in a member", `{"type":"al`, "type", "ends in the middle"},
		{"two events", eventJSON(score.TypeAlert, `{"text":"x"}`) + "\n" + eventJSON(score.TypeAlert, `{"text":"y"}`),
			"", "want one event, or many as an array or as application/x-ndjson"},
		{"a comma too many", `{"type":"alert",}`, "", "not valid JSON at byte 15"},
		{"NaN", play(`{"competitor":"GAU","delta":NaN}`), "data.delta", "not valid JSON at byte"},
		{"not an object", `3`, "", "got a number; want an object with the members id,"},
		{"an array where one event is", `[{}]`, "", "got an array; want an object"},
		{"deep arrays", strings.Repeat("[", 100_000), "", "got an array; want an object"},
		{"deep objects", play(strings.Repeat(`{"a":`, 30_000)), "", "exceeded max depth"},

		{"unknown member of the event", `{"type":"alert","contest_id":"A","dta":{}}`, "dta",
			"unknown member; want only id, source, seq, type, time, contest_id, data"},
		{"another case", `{"Type":"alert"}`, "Type", "unknown member; want only id,"},
		{"unknown member of the data", play(`{"competitor":"GAU","delta":1,"score":1}`), "data.score",
			"unknown member; want only competitor, delta, period, action, clock, athlete, result, stats_delta, comment"},
		{"unknown member of a competitor", ranked(`"competitors":[{"code":"A"},{"id":"B"}]`), "data.competitors.1.id",
			"want only code, name, organisation, type, order"},
		{"member of another type", eventJSON(score.TypeAlert, `{"text":"x","delta":1}`), "data.delta",
			"want only text, comment"},
		{"twice", `{"type":"alert","type":"alert"}`, "type", "the member is given twice"},
		{"twice in the data", play(`{"competitor":"GAU","competitor":"ROM","delta":1}`), "data.competitor", "twice"},
		{"twice in the totals", play(`{"competitor":"GAU","delta":1,"result":{"GAU":1,"GAU":1}}`), "data.result.GAU",
			"twice"},

		{"no type", `{"contest_id":"A/b","data":{}}`, "type",
			"missing; want one of competition.define, contest.define,"},
		{"unknown type", `{"type":"score.goal","contest_id":"A/b","data":{}}`, "type",
			`got "score.goal"; want one of competition.define,`},
		{"type of the wrong kind", `{"type":7}`, "type", "want a string"},
		{"no contest", `{"type":"alert","data":{"text":"x"}}`, "contest_id",
			"missing; want segments of letters, digits and ._~- joined by /"},
		{"null", `null`, "contest_id", "missing"},
		{"contest with a space", `{"type":"alert","contest_id":"OG 50","data":{"text":"x"}}`, "contest_id",
			`got "OG 50"; want segments`},
		{"contest with an empty segment", `{"type":"alert","contest_id":"OG//1","data":{"text":"x"}}`, "contest_id",
			"none of them empty"},
		{"contest with ..", `{"type":"alert","contest_id":"OG/../x","data":{"text":"x"}}`, "contest_id",
			"none of them empty, . or .."},
		{"contest ends with /", `{"type":"alert","contest_id":"OG/","data":{"text":"x"}}`, "contest_id",
			"none of them empty"},
		{"contest too long", `{"type":"alert","contest_id":"` + long(257) + `","data":{"text":"x"}}`, "contest_id",
			"has 257 bytes; the most is 256"},
		{"source not a path", `{"source":"bard cacofonix"}`, "source", "want segments of letters"},
		{"id too long", `{"id":"` + long(129) + `"}`, "id", "has 129 bytes; the most is 128"},
		{"id with a line", `{"id":"a\nb"}`, "id", "control character U+000A"},
		{"id of the wrong kind", `{"id":5}`, "id", "want a string"},
		{"seq 0", `{"source":"b","seq":0}`, "seq", "got 0; seq counts a source's events 1, 2, 3 ..."},
		{"seq below 0", `{"source":"b","seq":-1}`, "seq", "got -1; want a whole number, 1 or more"},
		{"seq with a fraction", `{"source":"b","seq":1.5}`, "seq", "got 1.5; want a whole number"},
		{"seq with an exponent", `{"source":"b","seq":1e3}`, "seq", "got 1e3; want a whole number"},
		{"seq as a string", `{"source":"b","seq":"1"}`, "seq", `want a whole number`},
		{"seq beyond 2^53", `{"source":"b","seq":9007199254740992}`, "seq", "up to 9007199254740991"},
		{"seq beyond 2^64", `{"source":"b","seq":18446744073709551616}`, "seq", "want a whole number"},
		{"seq without a source", `{"seq":1}`, "source", "name the source, or leave seq out"},
		{"time in words", `{"time":"yesterday"}`, "time", `got "yesterday"; want an RFC 3339 time, such as "2026-02-09T10:16:40Z"`},
		{"time without a zone", `{"time":"2026-02-09T10:16:40"}`, "time", "want an RFC 3339 time"},
		{"time as a number", `{"time":1770632200}`, "time", "want an RFC 3339 time"},
		{"time in the year 10000 in UTC", `{"time":"9999-12-31T23:59:59-01:00"}`, "time",
			"want a time in the years 1 to 9999"},
		{"the zero time", `{"time":"0001-01-01T00:00:00Z"}`, "time", "want a time in the years 1 to 9999"},
		{"no data", `{"type":"alert","contest_id":"A"}`, "data",
			"missing; want an object with the members text, comment"},
		{"data null", `{"type":"competition.define","contest_id":"A","data":null}`, "data",
			"got null; want an object with the members name, neutral, organisations, comment"},
		{"data an array", `{"type":"alert","contest_id":"A","data":[]}`, "data", "got an array; want an object"},
		{"data a string", `{"type":"alert","contest_id":"A","data":"x"}`, "data", `got "x"; want an object`},

		{"no competitor", play(`{"delta":1}`), "data.competitor", "missing; want a string"},
		{"no delta", play(`{"competitor":"GAU"}`), "data.delta", "missing; want a number, 0 included"},
		{"delta null", play(`{"competitor":"GAU","delta":null}`), "data.delta", "missing"},
		{"delta as a string", play(`{"competitor":"GAU","delta":"3"}`), "data.delta", `got "3"; ` + number},
		{"delta an object", play(`{"competitor":"GAU","delta":{}}`), "data.delta", "got an object; " + number},
		{"delta true", play(`{"competitor":"GAU","delta":true}`), "data.delta", "got true; " + number},
		{"delta with an exponent", play(`{"competitor":"GAU","delta":1e3}`), "data.delta", "got 1e3; " + number},
		{"delta too fine", play(`{"competitor":"GAU","delta":0.0005}`), "data.delta",
			"got 0.0005, which has more than three fraction digits"},
		{"delta too large", play(`{"competitor":"GAU","delta":1000000000000}`), "data.delta",
			"the largest is 999999999999.999"},
		{"delta huge", play(`{"competitor":"GAU","delta":1` + strings.Repeat("0", 100_000) + `}`), "data.delta",
			"the largest is 999999999999.999"},
		{"competitor an array", play(`{"competitor":["GAU"],"delta":1}`), "data.competitor",
			"got an array; want a string"},
		{"competitor with a control character", play(`{"competitor":"G\u0000","delta":1}`), "data.competitor",
			"control character U+0000; want plain text"},
		{"competitor with an escape of a terminal", play(`{"competitor":"G\u009b2J","delta":1}`), "data.competitor",
			"control character U+009B"},
		{"not UTF-8", play("{\"competitor\":\"\xff\",\"delta\":1}"), "data.competitor", "invalid UTF-8"},
		{"half a surrogate pair", play(`{"competitor":"\ud800","delta":1}`), "data.competitor",
			"invalid surrogate pair"},
		{"totals an array", play(`{"competitor":"GAU","delta":1,"result":[1]}`), "data.result",
			`got an array; want an object of numbers, such as {"GAU":2}`},
		{"totals null", play(`{"competitor":"GAU","delta":1,"result":null}`), "data.result",
			"got null; want an object of numbers"},
		{"totals of strings", play(`{"competitor":"GAU","delta":1,"result":{"ROM":"x"}}`), "data.result.ROM",
			`got "x"; ` + number},
		{"totals of objects", play(`{"competitor":"GAU","delta":1,"stats_delta":{"hits":{}}}`), "data.stats_delta.hits",
			"got an object; " + number},
		{"totals without a name", play(`{"competitor":"GAU","delta":1,"result":{"":1}}`), "data.result.", "missing"},

		{"nothing to set", eventJSON(score.TypeScoreSet, `{"result":{}}`), "data.result",
			`want the total of at least one competitor, such as {"GAU":2}`},
		{"no totals to set", eventJSON(score.TypeScoreSet, `{"period":"H1"}`), "data.result", "missing"},
		{"an adjustment in a period", eventJSON(score.TypeScoreSet, `{"result":{"A":1},"period":"H1","adjustment":true}`),
			"data.adjustment", `got true beside the period "H1"; want one of the two`},
		{"nothing to move", eventJSON(score.TypeContestStatus, `{}`), "data",
			"want at least one of schedule_status, result_status, period, clock"},
		{"schedule status", eventJSON(score.TypeContestStatus, `{"schedule_status":"running"}`), "data.schedule_status",
			`got "running"; want one of UNSCHEDULED, SCHEDULED, GETTING_READY, RUNNING, SCHEDULED_BREAK, DELAYED, INTERRUPTED, POSTPONED, RESCHEDULED, CANCELLED, FINISHED`},
		{"result status", eventJSON(score.TypeContestStatus, `{"result_status":"FINAL"}`), "data.result_status",
			"want one of START_LIST, LIVE, INTERMEDIATE, UNCONFIRMED, UNOFFICIAL, OFFICIAL, PARTIAL, PROTESTED, PROVISIONAL"},
		{"no mark", eventJSON(score.TypeResultSet, `{"competitor":"1","split":"5k"}`), "data.mark",
			"missing; want a mark, or an irm (LAP, OTL, NM, DNF, RET, WDR, DNS, DSQ, DQB)"},
		{"mark and irm", eventJSON(score.TypeResultSet, `{"competitor":"1","split":"5k","mark":1,"irm":"DNF"}`),
			"data.irm", "got DNF beside a mark; want one of the two"},
		{"unknown irm", eventJSON(score.TypeResultSet, `{"competitor":"1","split":"5k","irm":"OUT"}`), "data.irm",
			`got "OUT"; want one of LAP, OTL, NM, DNF, RET, WDR, DNS, DSQ, DQB`},
		{"no split", eventJSON(score.TypeResultSet, `{"competitor":"1","mark":1}`), "data.split", "missing"},
		{"no medal", eventJSON(score.TypeMedalAward, `{"award_id":"a","organisation":"GAU"}`), "data.medal",
			"missing; want one of GOLD, SILVER, BRONZE"},
		{"tin medal", eventJSON(score.TypeMedalAward, `{"award_id":"a","medal":"TIN","organisation":"GAU"}`),
			"data.medal", `got "TIN"; want one of GOLD, SILVER, BRONZE`},
		{"no organisation", eventJSON(score.TypeMedalAward, `{"award_id":"a","medal":"GOLD"}`), "data.organisation",
			"missing"},
		{"no award", eventJSON(score.TypeMedalAward, `{"medal":"GOLD","organisation":"GAU"}`), "data.award_id",
			"missing"},
		{"revoked for no reason", eventJSON(score.TypeMedalRevoke, `{"award_id":"a"}`), "data.reason", "missing"},
		{"voids nothing", eventJSON(score.TypeEventVoid, `{"reason":"x"}`), "data.voids", "missing"},
		{"voids a seq of no source", eventJSON(score.TypeEventVoid, `{"voids_seq":1,"reason":"x"}`),
			"data.voids_source", "missing"},
		{"voids nothing of a source", eventJSON(score.TypeEventVoid, `{"voids_source":"a","reason":"x"}`),
			"data.voids", "missing"},
		{"voids of a bad source", eventJSON(score.TypeEventVoid, `{"voids_source":"a//b","voids_seq":1,"reason":"x"}`),
			"data.voids_source", "segments"},
		{"voids a revision too large", eventJSON(score.TypeEventVoid,
			`{"voids_revision":9007199254740992,"reason":"x"}`), "data.voids_revision", "the most is"},
		{"voids a seq too large", eventJSON(score.TypeEventVoid,
			`{"voids_source":"a","voids_seq":9007199254740992,"reason":"x"}`), "data.voids_seq", "the most is"},
		{"voids a part of a revision", eventJSON(score.TypeEventVoid, `{"voids_revision":1.5,"reason":"x"}`),
			"data.voids_revision", ""},
		{"voided for no reason", eventJSON(score.TypeEventVoid, `{"voids":"x"}`), "data.reason", "missing"},
		{"alert without text", eventJSON(score.TypeAlert, `{}`), "data.text", "missing"},
		{"alert too long", eventJSON(score.TypeAlert, `{"text":"`+long(4097)+`"}`), "data.text",
			"has 4097 bytes; the most is 4096"},

		{"kind null", eventJSON(score.TypeContestDefine, `{"kind":null}`), "data.kind", "cannot be cleared"},
		{"sport null", eventJSON(score.TypeContestDefine, `{"sport":null}`), "data.sport", "cannot be cleared"},
		{"result type", define(`"result_type":"GOALS"`), "data.result_type", "want one of POINTS, TIME, DISTANCE"},
		{"sort", define(`"sort":"up"`), "data.sort", `got "up"; want one of asc, desc`},
		{"medal event", define(`"medal_event":10`), "data.medal_event", "got 10; want 0 to 9"},
		{"medal event with a fraction", define(`"medal_event":1.5`), "data.medal_event",
			"got 1.5; want a whole number"},
		{"start time", define(`"start_time":"noon"`), "data.start_time", "want an RFC 3339 time"},
		{"splits not a list", ranked(`"splits":"5k"`), "data.splits", "want an array"},
		{"split not a string", ranked(`"splits":["5k",10]`), "data.splits.1", "want a string"},
		{"split twice", ranked(`"splits":["5k","5k"]`), "data.splits", `has "5k" twice`},
		{"split without a name", ranked(`"splits":[""]`), "data.splits.0", "missing"},
		{"too many splits", ranked(`"splits":[` + strings.Repeat(`"x",`, 256) + `"x"]`), "data.splits",
			"has 257 members; the most is 256"},
		{"splits of a match", define(`"splits":["H1"]`), "data.splits", "only a ranked contest has splits"},
		{"tie-break of a race", ranked(`"tiebreak_periods":["SO"]`), "data.tiebreak_periods",
			"only a head_to_head contest has tie-break periods"},
		{"competitor not an object", ranked(`"competitors":["GAU"]`), "data.competitors.0",
			`want an object with the members code,`},
		{"competitor null", ranked(`"competitors":[null]`), "data.competitors.0.code", "missing"},
		{"competitor twice", define(`"competitors":[{"code":"GAU"},{"code":"GAU"}]`), "data.competitors.1.code",
			`"GAU" is listed twice`},
		{"type of a competitor", define(`"competitors":[{"code":"GAU","type":"X"}]`), "data.competitors.0.type",
			`got "X"; want one of A, T`},
		{"too many competitors", ranked(`"competitors":[` + strings.Repeat(`{"code":"x"},`, 1000) + `{"code":"x"}]`),
			"data.competitors", "has 1001 members; the most is 1000"},
		{"competition of another name", define(`"competition":"OG51BC"`), "data.competition",
			`got "OG51BC"; the contest's id says "OG50BC"`},
		{"contest without a segment of its own", `{"type":"contest.define","contest_id":"OG50BC","data":{"kind":"ranked","sport":"x"}}`, "contest_id", `at least one more segment: "OG50BC/1"`},
		{"competition with a segment more", `{"type":"competition.define","contest_id":"OG50BC/1","data":{}}`,
			"contest_id", `here "OG50BC"`},
		{"neutral not a list", eventJSON(score.TypeCompetitionDefine, `{"neutral":{}}`), "data.neutral",
			"got an object; want an array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p := score.Decode([]byte(c.event))
			if p == nil {
				t.Fatal("accepted")
			}
			if p.Code != score.InvalidEvent || p.Status != 400 {
				t.Errorf("is %s with status %d", p.Code, p.Status)
			}
			if p.Field != c.field && !(strings.HasPrefix(c.name, "deep objects") &&
				strings.HasPrefix(p.Field, "data.a.a.")) {
				t.Errorf("the field is %q, want %q (%s)", p.Field, c.field, p.Detail)
			}
			if !strings.Contains(p.Detail, c.detail) {
				t.Errorf("the detail is\n%s\nwant in it\n%s", p.Detail, c.detail)
			}
			if b, err := json.Marshal(p); err != nil || len(b) > 1500 {
				t.Errorf("as JSON it has %d bytes, %v", len(b), err)
			}
		})
	}
}

func TestAProblemWithAClippedNameIsValidUTF8(t *testing.T) {
	for pad := range 4 {
		name := strings.Repeat("x", pad) + strings.Repeat("é世🎉", 20)
		_, p := score.Decode([]byte(eventJSON(score.TypeAlert, `{"`+name+`":1}`)))
		if p == nil || !utf8.ValidString(p.Field) || len(p.Field) > 60 {
			t.Errorf("the field is %q", p.Field)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
	}
}

func TestAnEventAboveTheLimitIsTooLarge(t *testing.T) {
	_, p := score.Decode([]byte(eventJSON(score.TypeAlert, `{"text":"`+strings.Repeat("x", score.MaxEventBytes)+`"}`)))
	if p == nil || p.Code != score.TooLarge || p.Status != 413 {
		t.Error(p)
	}
}

func TestARefusedEventHasItsIDIfItCouldBeRead(t *testing.T) {
	for _, text := range []string{`{"id":"b1-7","typ":"alert"}`,
		`{"id":"b1-7","type":"alert","contest_id":"A","data":{"text":5}}`} {
		if e, p := score.Decode([]byte(text)); p == nil || e.ID != "b1-7" {
			t.Errorf("%s: id %q, %v", text, e.ID, p)
		}
	}
}

func TestDecodeArrayReadsOneEventOrAnArray(t *testing.T) {
	one := eventJSON(score.TypeAlert, `{"text":"x"}`)
	for _, c := range []struct {
		text string
		n    int
	}{{one, 1}, {" \n" + one + "\n", 1}, {"[" + one + "]", 1}, {"\t[" + one + " ,\n" + one + "] \n", 2},
		{"[" + strings.Repeat(one+",", score.MaxArray-1) + one + "]", score.MaxArray}} {
		events, p := score.DecodeArray([]byte(c.text))
		if p != nil || len(events) != c.n {
			t.Errorf("%.60s: %d events, %v", c.text, len(events), p)
		}
	}
}

func TestAProblemInAnArrayNamesTheEventAtFault(t *testing.T) {
	good, bad := eventJSON(score.TypeAlert, `{"text":"x"}`), `{"id":"b1-2","type":"alert","contest_id":"A","data":{}}`
	for _, c := range []struct {
		name, text    string
		index         int
		id            string
		code          score.Code
		field, detail string
	}{
		{"empty", "[]", -1, "", score.InvalidEvent, "", "want 1 to 1000 events"},
		{"too many", "[" + strings.Repeat(good+",", score.MaxArray) + good + "]", -1, "", score.TooLarge, "",
			"more than 1000 events, which is the most; post more as application/x-ndjson"},
		{"second wrong", "[" + good + "," + bad + "," + good + "]", 1, "b1-2", score.InvalidEvent, "data.text",
			"missing"},
		{"second twice", "[" + good + `,{"id":"a","id":"b"}]`, 1, "a", score.InvalidEvent, "id", "twice"},
		{"second truncated", "[" + good + "," + bad[:45], 1, "", score.InvalidEvent, "", "ends in the middle"},
		{"second not JSON", "[" + good + `,{"data":{"text":?}}]`, 1, "", score.InvalidEvent, "data.text",
			"invalid character '?'"},
		{"not closed", "[" + good, 1, "", score.InvalidEvent, "", "ends in the middle"},
		{"numbers", "[1,2]", 0, "", score.InvalidEvent, "", "got a number; want an object"},
		{"array of arrays", "[[" + good + "]]", 0, "", score.InvalidEvent, "", "got an array; want an object"},
		{"comma at the end", "[" + good + ",]", 1, "", score.InvalidEvent, "", "not valid JSON"},
		{"something behind", "[" + good + "]" + good, -1, "", score.InvalidEvent, "",
			"there is something after the array"},
		{"deep", strings.Repeat("[", 100_000), 0, "", score.InvalidEvent, "", "exceeded max depth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, p := score.DecodeArray([]byte(c.text))
			if p == nil || events != nil {
				t.Fatalf("%d events, %v", len(events), p)
			}
			index := -1
			if p.Index != nil {
				index = *p.Index
			}
			if index != c.index || p.ID != c.id || p.Code != c.code || p.Field != c.field && c.name != "deep" ||
				!strings.Contains(p.Detail, c.detail) {
				t.Errorf("index %d, id %q, %v\nwant index %d, id %q, %s: %s: %s", index, p.ID, p, c.index, c.id, c.code,
					c.field, c.detail)
			}
		})
	}
}

func TestOnlyPlainPathsAreValid(t *testing.T) {
	for path, want := range map[string]bool{"OG2024": true, "a/b.c_d~e-f/1": true, "": false, "/a": false, "a/": false,
		"a b": false, "a/./b": false, "é": false, "a%2Fb": false, "a?b": false, "...": true} {
		if score.ValidPath(path) != want {
			t.Errorf("ValidPath(%q) is %v", path, !want)
		}
	}
}
