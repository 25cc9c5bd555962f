package score

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The data of a signed event is written several times on its way: for its signature where it is taken, for the log, and by every state machine. What
// nearly every event is, a quick writer writes, in a quarter of the time; it leaves to the general one whatever that would refuse. FuzzQuickWrite compares the
// two.

// AppendData is MarshalData, behind b.
func AppendData(b []byte, d Data) ([]byte, error) {
	if q, ok := appendQuick(b, d); ok {
		return q, nil
	}
	whole, err := json.Marshal(d)
	return append(b, whole...), err
}

func appendQuick(b []byte, d Data) (_ []byte, ok bool) {
	w := quickWriter{append(b, '{'), true}
	switch d := d.(type) {
	case *ScorePlay:
		if d == nil || d.Delta == nil {
			return b, false
		}
		w.text("competitor", d.Competitor)
		w.decimal("delta", *d.Delta)
		w.given("period", d.Period)
		w.given("action", d.Action)
		w.given("clock", d.Clock)
		w.given("athlete", d.Athlete)
		w.totals("result", d.Result)
		w.totals("stats_delta", d.StatsDelta)
		w.given("comment", d.Comment)
	case *ResultSet:
		if d == nil {
			return b, false
		}
		w.text("competitor", d.Competitor)
		w.text("split", d.Split)
		if d.Mark != nil {
			w.decimal("mark", *d.Mark)
		}
		w.given("irm", d.IRM)
		w.given("category", d.Category)
		w.given("organisation", d.Organisation)
		w.given("reason", d.Reason)
		w.given("comment", d.Comment)
	case *ContestStatus:
		if d == nil {
			return b, false
		}
		w.given("schedule_status", d.ScheduleStatus)
		w.given("result_status", d.ResultStatus)
		w.given("period", d.Period)
		w.given("clock", d.Clock)
		w.given("comment", d.Comment)
	default:
		return b, false
	}
	return append(w.b, '}'), w.ok
}

// quickWriter writes the members of an object. Once it is not ok, what it has written has no meaning.
type quickWriter struct {
	b  []byte
	ok bool
}

func (w *quickWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), `":`...)
}

func (w *quickWriter) text(name, s string) {
	w.name(name)
	w.quote(s)
}

// given writes a text that is left out where it is empty.
func (w *quickWriter) given(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *quickWriter) decimal(name string, d Decimal) {
	w.name(name)
	w.b, _ = d.AppendText(w.b)
}

// fewTotals are compared each with each.
const fewTotals = 8

func (w *quickWriter) totals(name string, t Totals) {
	if t == nil {
		return
	}
	w.ok = w.ok && len(t) <= fewTotals
	w.name(name)
	w.b = append(w.b, '{')
	for i := 0; i < len(t) && w.ok; i++ {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		for j := range i {
			w.ok = w.ok && t[i].Code != t[j].Code
		}
		w.quote(t[i].Code)
		w.b = append(w.b, ':')
		w.b, _ = t[i].Value.AppendText(w.b)
	}
	w.b = append(w.b, '}')
}

func (w *quickWriter) quote(s string) {
	plain := true
	for i := range len(s) {
		c := s[i]
		plain = plain && c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
	}
	if plain {
		w.b = append(append(append(w.b, '"'), s...), '"')
		return
	}
	var err error
	w.b, err = jsontext.AppendQuote(w.b, s)
	w.ok = w.ok && err == nil
}
