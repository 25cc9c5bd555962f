package score

import (
	"bytes"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score/mark"
)

// compareWritten checks that the fast writer and json.Marshal write the same.
func compareWritten(t *testing.T, d Data) {
	t.Helper()
	want, wantErr := json.Marshal(d)
	compareForm(t, d, want, wantErr)
	got, err := AppendData([]byte("before"), d)
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Fatalf("%+v is written fast as %s %v, else %s %v", d, got, err, want, wantErr)
	}
}

// compareForm checks that the fast writer and Canonicalize write the same canonical form.
func compareForm(t *testing.T, d Data, data []byte, dataErr error) {
	t.Helper()
	fast, ok := writeFast(nil, d, true)
	if !ok {
		return
	}
	want, err := Canonicalize(data)
	if dataErr != nil || err != nil || !bytes.Equal(fast, want) {
		t.Fatalf("the canonical form of %+v is written fast as %s, else %s %v %v", d, fast, want, dataErr, err)
	}
}

func total(code string, n mark.Decimal) Total { return Total{Code: code, Value: n} }

func TestFastWriterAgreesWithTheGeneralOne(t *testing.T) {
	zero, some := mark.Decimal(0), mark.Decimal(-1250)
	clock, err := mark.ParseMeasure("2:11:31.2")
	if err != nil {
		t.Fatal(err)
	}
	many := make(Totals, 20)
	for i := range many {
		many[i].Code = string(rune('a' + i))
	}
	for _, text := range []string{"", "GAU", "Astérix", `a"\b`, "a\"b\\c\n\t<&>\u2028\x7f", "\xff", "\x01"} {
		for _, result := range []Totals{nil, {}, {total(text, 1)}, {total(text, 1), total("x", some)},
			{total("x", 1), total("x", 2)}, {total("x", 1), total("a", 2)}, many} {
			for _, d := range []*mark.Decimal{nil, &zero, &some} {
				marks := []*mark.Measure{nil, {}, new(mark.Number(some)), &clock}
				compareWritten(t, &ScorePlay{
					Competitor: text,
					Delta:      d,
					Period:     text,
					Action:     text,
					Clock:      text,
					Athlete:    text,
					Result:     result,
					StatsDelta: result,
					Comment:    text,
				})
				for i, mark := range marks {
					compareWritten(t, &ResultSet{
						Competitor:   text,
						Split:        text,
						Mark:         mark,
						Mark2:        marks[len(marks)-1-i],
						Place:        d,
						IRM:          text,
						Category:     text,
						Organisation: text,
						Reason:       text,
						Comment:      text,
					})
				}
				compareWritten(t, &ScoreSet{Result: result, Period: text, Adjustment: d == nil, Reason: text, Comment: text})
			}
		}
		compareWritten(t, &ContestStatus{ScheduleStatus: text, ResultStatus: text, Period: text, Clock: text,
			Comment: text})
		compareWritten(t, &Alert{Text: text})
		compareDefinitions(t, text)
	}
	compareWritten(t, (*ScorePlay)(nil))
	compareWritten(t, (*ResultSet)(nil))
	compareWritten(t, (*ContestStatus)(nil))
}

// compareDefinitions compares how definitions are written that have, lack and clear a text.
func compareDefinitions(t *testing.T, text string) {
	zero, large := 0, 1<<60
	for _, clear := range [][]string{nil, {"venue", "splits"}, {"start_time", "neutral", "categories", "name"}, {text},
		{"nothing"}, {"sport", "competitors"}} {
		for _, start := range []time.Time{{}, time.Date(2026, 2, 9, 12, 0, 0, 5e8, time.UTC),
			time.Date(2026, 2, 9, 12, 0, 0, 0, time.FixedZone("", -4*3600)),
			time.Date(2026, 2, 9, 12, 0, 0, 0, time.FixedZone("", 30)), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			for _, entrants := range [][]Entrant{nil, {}, {{}, {Code: text, Name: text, Order: -7, Categories: []string{text}},
				{Categories: []string{}}}} {
				for i, precision := range []*int{nil, &zero, &large} {
					compareWritten(t, &ContestDefine{Kind: text, Sport: text, Competitors: entrants, StartTime: start,
						Precision: precision, MedalEvent: i, Splits: []string{"5k", text}, clearing: clearing{clear}})
				}
			}
		}
		compareWritten(t, &CompetitionDefine{Name: text, Neutral: []string{text}, clearing: clearing{clear},
			Organisations: []Organisation{{Code: text}, {Name: text}}})
		compareWritten(t, &CompetitorDefine{Competitor: text, Order: large, clearing: clearing{clear}})
	}
	for _, n := range []uint64{0, maxSeq, maxSeq + 1, 1 << 63} {
		compareWritten(t, &EventVoid{VoidsSource: text, VoidsSeq: n, VoidsRevision: n})
	}
}

func FuzzFastWrite(f *testing.F) {
	for _, text := range fastSeeds {
		f.Add([]byte(text), "GAU", int64(5))
	}
	f.Fuzz(func(t *testing.T, b []byte, text string, n int64) {
		if events, p := DecodeArray(b); p == nil {
			for i := range events {
				compareWritten(t, events[i].Data)
			}
		}
		d := mark.Decimal(n)
		compareWritten(t, &ScorePlay{Competitor: text, Delta: &d, Result: Totals{total(text, d), total("GAU", -d)},
			Comment: text})
	})
}

func BenchmarkMarshalData(b *testing.B) {
	e, p := Decode([]byte(fastSeeds[1]))
	if p != nil {
		b.Fatal(p)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := MarshalData(e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFastWriterWritesPlainEvents(t *testing.T) {
	for _, text := range fastSeeds[:9] {
		e, p := Decode([]byte(text))
		if p != nil {
			t.Fatal(p)
		}
		if _, ok := writeFast(nil, e.Data, true); !ok {
			t.Errorf("%s was left to Canonicalize", text)
		}
		if _, ok := writeFast(nil, e.Data, false); !ok {
			t.Errorf("%s was left to the general writer", text)
		}
	}
}
