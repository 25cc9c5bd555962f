package score

import (
	"bytes"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/fastjson"
	"laurel/score/quote"
)

const (
	// MaxEventBytes limits the JSON of one event. A contest.define with 1,000 entrants
	// fits.
	MaxEventBytes = 256 << 10
	// MaxArray limits the events of one array, which are applied all or none.
	MaxArray = 1000
	// maxSeq is the largest integer that every JSON reader keeps exactly.
	maxSeq = 1<<53 - 1
	// maxLineage limits the lineage of a store for which an event was signed.
	maxLineage = 32
)

// envelope is an event as a client sends it. Pointers distinguish a missing member from a
// zero one.
type envelope struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Seq       *uint64        `json:"seq"`
	Type      Type           `json:"type"`
	Time      *time.Time     `json:"time"`
	ContestID string         `json:"contest_id"`
	Data      jsontext.Value `json:"data"`
	Key       string         `json:"key"`
	Lineage   string         `json:"lineage"`
	Signature []byte         `json:"signature"`
}

// Decode reads one event from JSON and checks it: all members are known, have the right
// type and are within limits. Whether the event fits the current state is for the store
// to decide. Members that the client left out stay zero.
func Decode(b []byte) (Event, *Problem) {
	b = bytes.TrimPrefix(b, byteOrderMark)
	if len(b) > MaxEventBytes {
		return Event{}, Problemf(TooLarge, "the event has %d bytes; the most is %d", len(b), MaxEventBytes)
	}
	if e, ok := fastEvent(string(b)); ok {
		p := e.checkDecoded(e.Seq > 0, nil)
		return e, p
	}
	return decodeGeneral(b)
}

// decodeGeneral is Decode without the fast reader. It alone decides what is valid, and
// words problems.
func decodeGeneral(b []byte) (Event, *Problem) {
	if len(bytes.TrimLeft(b, " \t\r\n")) == 0 {
		return Event{}, Problemf(InvalidEvent, "the event is empty; want a JSON object with the members %s",
			strings.Join(memberNames(reflect.TypeFor[envelope]()), ", "))
	}
	var w envelope
	if p := ReadJSON(b, &w); p != nil {
		if strings.HasSuffix(p.Detail, "after top-level value") {
			p.Detail += "; want one event, or many as an array or as application/x-ndjson"
		}
		return Event{ID: w.ID}, p
	}
	return w.event()
}

// ReadJSON reads v from the JSON of a request, as Decode reads an event: a byte order mark is
// skipped, unknown members are refused, and times are those of ParseTime.
func ReadJSON(b []byte, v any) *Problem {
	b = bytes.TrimPrefix(b, byteOrderMark)
	if err := json.Unmarshal(b, v, json.RejectUnknownMembers(true), withTimes); err != nil {
		return textProblem(b, err)
	}
	return nil
}

// event returns the event with its members checked.
func (w *envelope) event() (Event, *Problem) {
	e := Event{
		ID:        w.ID,
		Source:    w.Source,
		Type:      w.Type,
		ContestID: w.ContestID,
		Key:       w.Key,
		Lineage:   w.Lineage,
		Signature: w.Signature,
		IDGiven:   w.ID != "",
		TimeGiven: w.Time != nil,
	}
	if w.Seq != nil {
		e.Seq = *w.Seq
	}
	if w.Time != nil {
		e.Time = *w.Time
	}
	p := e.checkDecoded(w.Seq != nil, w.Data)
	return e, p
}

// checkDecoded returns what is wrong with an event of a client, or nil. It reads text if
// the data have not been read, and puts the data into their stored form.
func (e *Event) checkDecoded(seqGiven bool, text jsontext.Value) *Problem {
	c := Checker{}
	if seqGiven {
		if e.Seq < 1 || e.Seq > maxSeq {
			c.Fail("seq", "got %d; seq counts a source's events 1, 2, 3 ... up to %d", e.Seq, uint64(maxSeq))
		}
		if e.Source == "" {
			c.Fail("source", "missing beside seq; name the source, or leave seq out")
		}
	}
	c.Text("id", e.ID, MaxID, optional)
	if e.Source != "" {
		c.Path("source", e.Source, MaxID)
	}
	if e.TimeGiven {
		c.Time("time", e.Time)
	}
	if e.Key != "" || e.Signature != nil || e.Lineage != "" {
		e.checkSignature(&c)
		c.Text("lineage", e.Lineage, maxLineage, required)
	}
	if c.Path("contest_id", e.ContestID, MaxContestID); c.Problem != nil {
		return c.Problem
	}
	if e.Data == nil {
		d, p := readDataGeneral(e.Type, text)
		if p != nil {
			return p
		}
		e.Data = d
	}
	if p := dataTypeOf(e.Type).check(e.Data, false); p != nil {
		return p
	}
	if p := e.CheckIdentifiers(); p != nil {
		return p
	}
	e.checkContestID(&c)
	return c.Problem
}

// UnmarshalData reads the stored form of data. It checks the JSON, but not the rules of
// Decode.
func UnmarshalData(t Type, b []byte) (Data, error) {
	d, p := readData(t, b, nil)
	if p != nil {
		return nil, p
	}
	return d, nil
}

func readData(t Type, text []byte, m *fastjson.Members) (Data, *Problem) {
	if of := dataTypeOf(t); of != nil {
		r := fastjson.NewReader(string(text))
		if d := of.read(&r, m); d != nil && r.End() {
			if m != nil {
				m.End(&r, of.order)
			}
			return d, nil
		}
	}
	return readDataGeneral(t, text)
}

func readDataGeneral(t Type, text jsontext.Value) (Data, *Problem) {
	of := dataTypeOf(t)
	if of == nil {
		c := Checker{}
		c.OneOf("type", string(t), required, typeNames())
		return nil, c.Problem
	}
	d := of.empty()
	if kind := text.Kind(); kind != '{' {
		return nil, fieldProblem("data", "%s; want an object with the members %s",
			quote.Got(kind, text), strings.Join(memberNames(reflect.TypeOf(d).Elem()), ", "))
	}
	if err := json.Unmarshal(text, d, of.options); err != nil {
		return nil, jsonProblem("data", err)
	}
	if p, ok := d.(partial); ok {
		if err := of.readCleared(text, p); err != nil {
			return nil, jsonProblem("data", err)
		}
	}
	return d, nil
}

func typeNames() []string {
	names := make([]string, len(Types))
	for i, t := range Types {
		names[i] = string(t)
	}
	return names
}

func (e *Event) checkContestID(c *Checker) {
	switch d := e.Data.(type) {
	case *CompetitionDefine:
		if strings.Contains(e.ContestID, "/") {
			c.Fail("contest_id", "got %q; a competition.define needs the id of the competition alone, here %q",
				e.ContestID, e.Competition())
		}
	case *ContestDefine:
		if e.ContestID == e.Competition() {
			c.Fail("contest_id", "got %q; a contest's id has the competition and at least one more segment: %q",
				e.ContestID, e.ContestID+"/1")
		}
		if d.Competition != "" && d.Competition != e.Competition() {
			c.Fail("data.competition", "got %q; the contest's id says %q", d.Competition, e.Competition())
		}
	case *CompetitorDefine:
		if e.ContestID == e.Competition() {
			c.Fail("contest_id", "got %q; a competitor.define needs the id of a contest", e.ContestID)
		}
	}
}

// DecodeArray reads one event, or an array of at most MaxArray events. The problem's
// Index is the event at fault.
func DecodeArray(b []byte) (events []Event, p *Problem) {
	b = TrimLine(b)
	if len(b) == 0 || b[0] != '[' {
		e, p := Decode(b)
		return []Event{e}, p
	}
	// Decode checks names and text, so that the problem names the event.
	d := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := d.ReadToken(); err != nil {
		return nil, textProblem(b, err)
	}
	for d.PeekKind() != ']' {
		i := len(events)
		if i == MaxArray {
			return nil, Problemf(TooLarge,
				"the array has more than %d events, which is the most; post more as application/x-ndjson", MaxArray)
		}
		v, err := d.ReadValue()
		if err != nil {
			p := textProblem(b, err)
			p.Index, p.Field = &i, strings.TrimPrefix(strings.TrimPrefix(p.Field, strconv.Itoa(i)), ".")
			return nil, p
		}
		e, p := Decode(v)
		if p != nil {
			p.Index, p.ID = &i, e.ID
			return nil, p
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return nil, Problemf(InvalidEvent, "the array is empty; want 1 to %d events", MaxArray)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, jsonProblem("", err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, Problemf(InvalidEvent,
			"there is something after the array; want one array, or application/x-ndjson with one event a line")
	}
	return events, nil
}

// Nearly every event is plain JSON, which package fastjson reads. Where it succeeds, the
// general decoder must too, with the same result; FuzzFastRead compares the two.

var eventLayout = newLayout(reflect.TypeFor[Event](), 0, "")

// fastEvent reads an event.
func fastEvent(text string) (e Event, ok bool) {
	r := fastjson.NewReader(text)
	given, next := uint64(0), 0
	var of *table
	var early fastjson.Reader // of data that come before the type
	for r.Begin('{'); r.More('}'); next++ {
		if next = eventLayout.readName(&r, next); next < 0 || given>>next&1 == 1 {
			return e, false
		}
		given |= 1 << next
		f := &eventLayout.fields[next]
		switch e.TimeGiven = e.TimeGiven || f.kind == moment; {
		case f.kind != eventData:
			ok = f.readPlain(&r, f.at(unsafe.Pointer(&e)))
		case e.Type == "":
			early = r
			if of = typeAhead(text[r.Pos():]); of != nil {
				e.Data = of.read(&r, nil)
			}
			if ok = e.Data != nil; !ok {
				of, r = nil, early
				ok = r.Skip()
			}
		default:
			if of = dataTypeOf(e.Type); of != nil {
				e.Data = of.read(&r, nil)
			}
			ok = e.Data != nil
		}
		if !ok {
			return e, false
		}
	}
	if !r.Ended() || !r.End() {
		return e, false
	}
	if of == nil { // and the data were skipped, or are missing
		if of = dataTypeOf(e.Type); of == nil {
			return e, false
		}
		e.Data = of.read(&early, nil)
	}
	ok = e.Data != nil && e.Type == of.name
	e.Type = of.name // which holds no text in memory
	e.IDGiven = e.ID != ""
	return e, ok
}

// typeAhead returns the table of what may be the type of an event, which comes after its data;
// nil if there is none.
func typeAhead(text string) *table {
	_, rest, _ := strings.Cut(text, `"type":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return dataTypeOf(Type(name))
}
