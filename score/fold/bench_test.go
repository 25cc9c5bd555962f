package fold_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/fold"
)

// liveMatch returns a match with some periods, and a play that can be folded any number of
// times.
func liveMatch(t testing.TB) (*fold.Contest, *score.Event) {
	t.Helper()
	c := fold.NewContest("OG50BC/M-01")
	for i, text := range []string{
		`"type":"contest.define","data":{"competition":"OG50BC","competitors":[` +
			`{"code":"GAU","name":"Gaul","order":1,"organisation":"GAU","type":"T"},` +
			`{"code":"ROM","name":"Rome","order":2,"organisation":"ROM","type":"T"}],"kind":"head_to_head",` +
			`"phase":"group stage","result_type":"POINTS","sort":"desc","sport":"football","tiebreak_periods":["SO"]}`,
		`"type":"contest.status","data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"H1"}`,
		`"type":"score.play","data":{"competitor":"GAU","delta":1,"period":"H1"}`,
		`"type":"score.play","data":{"competitor":"ROM","delta":2,"period":"H1","stats_delta":{"corners":1}}`,
		`"type":"contest.status","data":{"period":"H2"}`,
		`"type":"score.play","data":{"competitor":"GAU","delta":0,"period":"H2","clock":"50'","athlete":"Asterix",` +
			`"result":{"GAU":1,"ROM":2},"stats_delta":{"corners":1}}`,
	} {
		e := decode(t, c.ID, text)
		if p := c.Fold(e, nil, fold.Live); p != nil {
			t.Fatal(p)
		}
		if c.Revision = uint64(i) + 1; i == 5 {
			return c, e
		}
	}
	panic("no play")
}

func decode(t testing.TB, id, text string) *score.Event {
	t.Helper()
	e, p := score.Decode(fmt.Appendf(nil, `{"contest_id":%q,%s}`, id, text))
	if p != nil {
		t.Fatal(p)
	}
	e.Time = time.Date(2026, 2, 9, 10, 16, 40, 5e6, time.UTC)
	return &e
}

// liveRace returns a race with so many marks, and one competitor without a mark.
func liveRace(t testing.TB, count int) *fold.Contest {
	t.Helper()
	c := fold.NewContest("OG50BC/OPEN")
	marks := &memMarks{contest: c}
	add := func(text string) {
		if p := c.Fold(decode(t, c.ID, text), marks, fold.Live); p != nil {
			t.Fatal(p)
		}
	}
	add(`"type":"contest.define","data":{"kind":"ranked","sport":"athletics","result_type":"TIME","unit":"min",` +
		`"sort":"asc","splits":["5k","finish"]}`)
	add(`"type":"competitor.define","data":{"competitor":"late","order":-3,"categories":["F","O"]}`)
	add(`"type":"contest.status","data":{"schedule_status":"RUNNING","result_status":"LIVE"}`)
	for i := range count {
		add(fmt.Sprintf(`"type":"result.set","data":{"competitor":"W%d","organisation":"GAU","category":"M",`+
			`"split":"5k","mark":%d}`, i, i+9))
	}
	return c
}

func BenchmarkFold(b *testing.B) {
	b.Run("play", func(b *testing.B) {
		c, e := liveMatch(b)
		b.ReportAllocs()
		for b.Loop() {
			if p := c.Fold(e, nil, fold.Live); p != nil {
				b.Fatal(p)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	m, _ := liveMatch(b)
	r := liveRace(b, 12)
	for _, c := range []*fold.Contest{m, r} {
		b.Run(c.Definition.Kind, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				r := c.Record()
				var err error
				if buf, err = r.AppendJSON(buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestRecordsAreWrittenAsByTheGeneralCode(t *testing.T) {
	m, _ := liveMatch(t)
	long := liveRace(t, 12)
	short := liveRace(t, 3)
	for _, c := range []*fold.Contest{m, long, short, fold.NewContest("A/1")} {
		record := c.Record()
		want, err := json.Marshal(&record)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := record.AppendJSON(nil); err != nil || string(got) != string(want) {
			t.Errorf("the record is written as\n%s, %v; want\n%s", got, err, want)
		}
	}
}

func TestFoldingAndWritingAllocateLittle(t *testing.T) {
	m, play := liveMatch(t)
	if n := testing.AllocsPerRun(100, func() { m.Fold(play, nil, fold.Live) }); n > 1 {
		t.Errorf("a play is folded with %v allocations; want 1, for the statistics", n)
	}
	b := make([]byte, 0, 4<<10)
	record := m.Record()
	if n := testing.AllocsPerRun(100, func() { record.AppendJSON(b) }); n > 0 {
		t.Errorf("a record is written with %v allocations", n)
	}
}
