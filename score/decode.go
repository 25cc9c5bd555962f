package score

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxEventBytes bounds the JSON of one event. A contest.define with its thousand entrants fits.
	MaxEventBytes = 256 << 10
	// MaxArray bounds the events of one array, which is applied all or none.
	MaxArray = 1000
	// maxSeq is the largest integer that every JSON reader keeps exactly.
	maxSeq = 1<<53 - 1
)

// envelope is an event on the wire: pointers tell what was left out.
type envelope struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Seq       *uint64        `json:"seq"`
	Type      Type           `json:"type"`
	Time      *time.Time     `json:"time"`
	ContestID string         `json:"contest_id"`
	Data      jsontext.Value `json:"data"`
	Key       string         `json:"key"`
	Signature []byte         `json:"signature"`
}

// Decode reads one event from JSON and checks its form: every member known, of the right kind and within bounds. Whether the
// event fits the present state only the store can tell. What the caller may leave out stays zero.
func Decode(b []byte) (Event, *Problem) {
	if len(b) > MaxEventBytes {
		return Event{}, Problemf(TooLarge, "the event has %d bytes; the most is %d", len(b), MaxEventBytes)
	}
	if w, d, ok := (&quick{b, string(b), 0}).event(); ok {
		return w.event(d)
	}
	return decode(b)
}

// decode is Decode without haste.
func decode(b []byte) (Event, *Problem) {
	if len(bytes.TrimLeft(b, " \t\r\n")) == 0 {
		return Event{}, Problemf(InvalidEvent, "there is nothing; want an event, a JSON object with the members %s", strings.Join(memberNames(reflect.TypeFor[envelope]()), ", "))
	}
	var w envelope
	if err := json.Unmarshal(b, &w, json.RejectUnknownMembers(true)); err != nil {
		return Event{ID: w.ID}, jsonProblem("", err)
	}
	return w.event(nil)
}

// event checks what w has. Data is nil if it has not been read yet.
func (w *envelope) event(data Data) (Event, *Problem) {
	e := Event{ID: w.ID, Source: w.Source, Type: w.Type, ContestID: w.ContestID, IDGiven: w.ID != "", TimeGiven: w.Time != nil}
	c := Checker{}
	if w.Seq != nil {
		e.Seq = *w.Seq
		if e.Seq < 1 || e.Seq > maxSeq {
			c.Fail("seq", "got %d; seq counts a source's events 1, 2, 3 ... up to %d", e.Seq, uint64(maxSeq))
		}
		if e.Source == "" {
			c.Fail("source", "a seq without a source counts nothing; name the source, or leave seq out")
		}
	}
	c.Text("id", e.ID, MaxID, optional)
	if e.Source != "" {
		c.Path("source", e.Source, MaxID)
	}
	if w.Time != nil {
		e.Time = *w.Time
		c.Time("time", e.Time)
	}
	if w.Key != "" || w.Signature != nil {
		e.Key, e.Signature = w.Key, w.Signature
		w.checkSigned(&c)
	}
	if c.Path("contest_id", e.ContestID, MaxContestID); c.Problem != nil {
		return e, c.Problem
	}
	mk, ok := newData[w.Type]
	if !ok {
		c.OneOf("type", string(w.Type), required, typeNames())
		return e, c.Problem
	}
	if e.Data = data; data == nil {
		e.Data = mk()
		if p := w.readData(e.Data); p != nil {
			return e, p
		}
	}
	if e.Data.check(&c); c.Problem == nil {
		checkConsistency(&e, &c)
	}
	return e, c.Problem
}

// checkSigned checks what can be said of a signature without the key, and that the bard gave all of what it signed.
func (w *envelope) checkSigned(c *Checker) {
	const all = "a signed event has an id, a source, a seq and a time of the bard's own, for they are part of what is signed"
	switch {
	case w.Key == "":
		c.Fail("key", "missing beside the signature; want the id of the key, %d hexadecimal digits", keyDigits)
	case !isKeyID(w.Key):
		c.Fail("key", "got %q; want the id of a key, %d hexadecimal digits in lower case", clip(w.Key), keyDigits)
	case len(w.Signature) == 0:
		c.Fail("signature", "missing beside the key; want it in base64, or neither of the two")
	case w.ID == "":
		c.Fail("id", "missing; %s", all)
	case w.Source == "":
		c.Fail("source", "missing; %s", all)
	case w.Seq == nil:
		c.Fail("seq", "missing; %s", all)
	case w.Time == nil:
		c.Fail("time", "missing; %s", all)
	}
	if c.Problem == nil {
		if _, err := ParseSignature(w.Signature); err != nil {
			c.Fail("signature", "%s", err)
		}
	}
}

func (w *envelope) readData(d Data) *Problem {
	if kind := w.Data.Kind(); kind != '{' {
		return fieldProblem("data", "%s; want an object with the members %s", got(kind, w.Data), strings.Join(memberNames(reflect.TypeOf(d).Elem()), ", "))
	}
	if err := json.Unmarshal(w.Data, d, json.RejectUnknownMembers(true)); err != nil {
		return jsonProblem("data", err)
	}
	return nil
}

// checkConsistency checks what concerns the data and the rest of the event together.
func checkConsistency(e *Event, c *Checker) {
	switch d := e.Data.(type) {
	case *CompetitionDefine:
		if strings.Contains(e.ContestID, "/") {
			c.Fail("contest_id", "got %q; a competition.define is about the competition alone, here %q", e.ContestID, e.Competition())
		}
	case *ContestDefine:
		if e.ContestID == e.Competition() {
			c.Fail("contest_id", "got %q; a contest's id has the competition and at least one more segment: %q", e.ContestID, e.ContestID+"/1")
		}
		if d.Competition != "" && d.Competition != e.Competition() {
			c.Fail("data.competition", "got %q; the contest's id says %q", d.Competition, e.Competition())
		}
	}
}

func typeNames() []string {
	names := make([]string, len(Types))
	for i, t := range Types {
		names[i] = string(t)
	}
	return names
}

// Bounds of the strings in an event, in bytes.
const (
	MaxID        = 128
	MaxContestID = 256
	maxCode      = 128
	maxPeriod    = 32
	maxName      = 512
	maxText      = 4096
	maxEntrants  = 1000
	maxList      = 256
)

const (
	required = true
	optional = false
)

// check gathers the first thing wrong with an event.
type Checker struct{ Problem *Problem }

func (c *Checker) Fail(field, format string, args ...any) {
	if c.Problem == nil {
		c.Problem = fieldProblem(field, format, args...)
	}
}

// text checks a string of at most limit bytes without control characters; what may be a text (maxText) may have lines and tabs.
func (c *Checker) Text(field, s string, limit int, need bool) {
	if plainText(s, limit, need) {
		return
	}
	switch {
	case c.Problem != nil:
	case s == "" && need:
		c.Fail(field, "missing; want a string")
	case len(s) > limit:
		c.Fail(field, "has %d bytes; the most is %d", len(s), limit)
	case !utf8.ValidString(s):
		c.Fail(field, "is not UTF-8")
	}
	for _, r := range s {
		// Only what is read as a text has lines: a name with one would break tables and terminals.
		if unicode.IsControl(r) && (limit < maxText || r != '\n' && r != '\t') {
			c.Fail(field, "has the control character %U; want plain text", r)
		}
	}
}

// plainText reports at once that nothing is wrong with what nearly every text is: printable ASCII.
func plainText(s string, limit int, need bool) bool {
	if len(s) > limit || s == "" && need {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// path checks segments of [A-Za-z0-9._~-]+ joined by /: what stands in a URL as it is.
func (c *Checker) Path(field, s string, limit int) {
	if s == "" {
		c.Fail(field, "missing; want segments of letters, digits and ._~- joined by /")
		return
	}
	if len(s) > limit {
		c.Fail(field, "has %d bytes; the most is %d", len(s), limit)
		return
	}
	for segment := range strings.SplitSeq(s, "/") {
		if !ValidSegment(segment) {
			c.Fail(field, "got %q; want segments of letters, digits and ._~- joined by /, none of them empty, . or ..", clip(s))
			return
		}
	}
}

func ValidSegment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		b := s[i]
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '~', b == '-':
		default:
			return false
		}
	}
	return true
}

// ValidPath tells whether s can be a contest's id or a source.
func ValidPath(s string) bool {
	c := Checker{}
	c.Path("", s, MaxContestID)
	return c.Problem == nil
}

func (c *Checker) Time(field string, t time.Time) {
	// The zero time would count as left out, and a year that only another zone has cannot be written in UTC.
	if y := t.UTC().Year(); y < 1 || y > 9999 || t.IsZero() {
		c.Fail(field, "is out of range in UTC; want a time in the years 1 to 9999")
	}
}

func (c *Checker) OneOf(field, s string, need bool, values []string) {
	if s == "" && !need {
		return
	}
	for _, v := range values {
		if s == v {
			return
		}
	}
	if s == "" {
		c.Fail(field, "missing; want one of %s", strings.Join(values, ", "))
		return
	}
	c.Fail(field, "got %q; want one of %s", clip(s), strings.Join(values, ", "))
}

// names checks a list of distinct, short strings.
func (c *Checker) Names(field string, list []string, limit int) {
	if len(list) > maxList {
		c.Fail(field, "has %d members; the most is %d", len(list), maxList)
		return
	}
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		c.Text(fmt.Sprintf("%s.%d", field, i), s, limit, required)
		if seen[s] {
			c.Fail(field, "has %q twice", clip(s))
		}
		seen[s] = true
	}
}

func (c *Checker) totals(field string, t Totals, limit int) {
	for _, n := range t {
		if !plainText(n.Code, limit, required) { // or the field's name would be made for nothing
			c.Text(field+"."+clip(n.Code), n.Code, limit, required)
		}
	}
}
