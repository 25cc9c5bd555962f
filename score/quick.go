package score

import (
	"bytes"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"
)

// Nearly every event is a play, a mark or a status in plain JSON: no escapes, no null, nothing unknown, nothing twice. A quick reader knows
// only that, and takes a quarter of the time. Whatever else there is it leaves to the general decoder, which has the last word on
// what is valid and how a mistake is called. So where the quick reader succeeds the general one must, with the same outcome; FuzzQuick
// compares the two.

// quick reads JSON from its beginning. Once it has failed, where it stands has no meaning.
type quick struct {
	b  []byte
	s  string // b once more: the strings that are read share its memory
	at int
}

// quickData reads the data of an event; nil if that is not for a quick reader.
func quickData(t Type, b []byte) Data {
	switch t {
	case TypeScorePlay, TypeResultSet, TypeContestStatus:
		return (&quick{b, string(b), 0}).data(t)
	}
	return nil
}

func (q *quick) data(t Type) Data {
	switch t {
	case TypeScorePlay:
		if d := new(ScorePlay); q.play(d) && q.end() {
			return d
		}
	case TypeResultSet:
		if d := new(ResultSet); q.mark(d) && q.end() {
			return d
		}
	case TypeContestStatus:
		if d := new(ContestStatus); q.status(d) && q.end() {
			return d
		}
	}
	return nil
}

func (q *quick) play(d *ScorePlay) bool {
	return q.object(func(name string) bool {
		switch name {
		case "competitor":
			return q.text(&d.Competitor)
		case "delta":
			d.Delta = new(Decimal)
			return q.decimal(d.Delta)
		case "period":
			return q.text(&d.Period)
		case "action":
			return q.text(&d.Action)
		case "clock":
			return q.text(&d.Clock)
		case "athlete":
			return q.text(&d.Athlete)
		case "result":
			return q.totals(&d.Result)
		case "stats_delta":
			return q.totals(&d.StatsDelta)
		}
		return name == "comment" && q.text(&d.Comment)
	})
}

func (q *quick) mark(d *ResultSet) bool {
	return q.object(func(name string) bool {
		switch name {
		case "competitor":
			return q.text(&d.Competitor)
		case "split":
			return q.text(&d.Split)
		case "mark":
			d.Mark = new(Decimal)
			return q.decimal(d.Mark)
		case "irm":
			return q.text(&d.IRM)
		case "category":
			return q.text(&d.Category)
		case "organisation":
			return q.text(&d.Organisation)
		case "reason":
			return q.text(&d.Reason)
		}
		return name == "comment" && q.text(&d.Comment)
	})
}

func (q *quick) status(d *ContestStatus) bool {
	return q.object(func(name string) bool {
		switch name {
		case "schedule_status":
			return q.text(&d.ScheduleStatus)
		case "result_status":
			return q.text(&d.ResultStatus)
		case "period":
			return q.text(&d.Period)
		case "clock":
			return q.text(&d.Clock)
		}
		return name == "comment" && q.text(&d.Comment)
	})
}

// event reads an event. Its data is read at the end, because its type may stand behind it.
func (q *quick) event() (w envelope, d Data, ok bool) {
	var from, to int
	ok = q.object(func(name string) bool {
		switch name {
		case "id":
			return q.text(&w.ID)
		case "source":
			return q.text(&w.Source)
		case "seq":
			w.Seq = new(uint64)
			return q.count(w.Seq)
		case "type":
			return q.text((*string)(&w.Type))
		case "time":
			w.Time = new(time.Time)
			return q.time(w.Time)
		case "contest_id":
			return q.text(&w.ContestID)
		case "key":
			return q.text(&w.Key)
		case "signature":
			return q.base64(&w.Signature)
		case "data":
			from = q.at
			ok := q.skip()
			to = q.at
			return ok
		}
		return false
	})
	if ok && q.end() {
		d = (&quick{q.b[from:to], q.s[from:to], 0}).data(w.Type)
	}
	return w, d, d != nil
}

// space steps over white space and gives the byte behind it; 0 at the end.
func (q *quick) space() byte {
	for ; q.at < len(q.b); q.at++ {
		switch c := q.b[q.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// next steps over white space and c.
func (q *quick) next(c byte) bool {
	ok := q.space() == c
	q.at++
	return ok
}

// end tells whether there is nothing more.
func (q *quick) end() bool {
	q.space()
	return q.at == len(q.b)
}

// object reads an object; member reads the value of each member.
func (q *quick) object(member func(name string) bool) bool {
	if !q.next('{') {
		return false
	}
	if q.space() == '}' {
		return q.next('}')
	}
	var seen [quickMembers]string
	for n := range seen {
		if !q.text(&seen[n]) || !q.next(':') {
			return false
		}
		for _, name := range seen[:n] {
			if name == seen[n] {
				return false
			}
		}
		if q.space(); !member(seen[n]) {
			return false
		}
		if q.space() == '}' {
			return q.next('}')
		}
		if !q.next(',') {
			return false
		}
	}
	return false
}

// quickMembers is how many members an object has at the most: names are compared each with each.
const quickMembers = 12

func (q *quick) text(to *string) bool {
	if !q.next('"') {
		return false
	}
	ascii := true
	for i := q.at; i < len(q.b); i++ {
		switch c := q.b[i]; {
		case c == '"':
			*to = q.s[q.at:i]
			q.at = i + 1
			return ascii || utf8.ValidString(*to)
		case c < ' ' || c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return false
}

// number is the text of a number, whose form its reader checks.
func (q *quick) number() string {
	q.space()
	from := q.at
	for q.at < len(q.b) && (q.b[q.at] == '-' || q.b[q.at] == '.' || '0' <= q.b[q.at] && q.b[q.at] <= '9') {
		q.at++
	}
	return q.s[from:q.at]
}

func (q *quick) decimal(to *Decimal) bool {
	v, err := ParseDecimal(q.number())
	*to = v
	return err == nil
}

func (q *quick) count(to *uint64) bool {
	s := q.number()
	if s == "" || len(s) > 16 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return false
	}
	for i := range len(s) {
		*to = *to*10 + uint64(s[i]-'0')
	}
	return true
}

func (q *quick) totals(to *Totals) bool {
	return q.object(func(name string) bool {
		if *to == nil {
			*to = make(Totals, 0, 2)
		}
		var v Decimal
		ok := q.decimal(&v)
		*to = append(*to, Total{name, v})
		return ok
	})
}

func (q *quick) time(to *time.Time) bool {
	var s string
	return q.text(&s) && plainTime(s) && to.UnmarshalText(q.b[q.at-1-len(s):q.at-1]) == nil
}

func (q *quick) base64(to *[]byte) bool {
	if !q.next('"') {
		return false
	}
	n := bytes.IndexByte(q.b[q.at:min(len(q.b), q.at+2*MaxSignature)], '"')
	if n < 0 {
		return false
	}
	text := q.b[q.at : q.at+n]
	q.at += n + 1
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return false // which the decoder steps over
	}
	var err error
	*to, err = base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(n)), text)
	return err == nil && len(*to) > 0
}

// plainTime tells whether s has none of what UnmarshalText takes beyond RFC 3339: an hour of one digit, a comma, an offset of a day.
func plainTime(s string) bool {
	n := len(s)
	return n >= len("2026-02-09T08:00:00Z") && s[13] == ':' && s[19] != ',' && (s[n-1] == 'Z' || s[n-5] < '2' && s[n-2] < '6')
}

// skip steps over an object whose inside is read later, or not at all.
func (q *quick) skip() bool {
	if q.space() != '{' {
		return false
	}
	for depth := 0; q.at < len(q.b); q.at++ {
		switch q.b[q.at] {
		case '"':
			for q.at++; q.at < len(q.b) && q.b[q.at] != '"'; q.at++ {
				if q.b[q.at] == '\\' {
					q.at++
				}
			}
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				q.at++
				return true
			}
		}
	}
	return false
}
