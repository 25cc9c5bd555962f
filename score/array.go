package score

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/fastjson"
)

// DecodeArray reads one event, or an array of at most MaxArray events. The problem's
// Index is the event at fault.
func DecodeArray(b []byte) (events []Event, array bool, p *Problem) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || b[0] != '[' {
		e, p := Decode(b)
		return []Event{e}, false, p
	}
	if events = fastArray(b); events == nil {
		events, p = decodeArrayGeneral(b)
	}
	return events, true, p
}

// decodeArrayGeneral is DecodeArray without the fast reader, for an array.
func decodeArrayGeneral(b []byte) (events []Event, p *Problem) {
	// Decode checks names and text, so that the problem names the event.
	d := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := d.ReadToken(); err != nil {
		return nil, jsonProblem("", err)
	}
	for d.PeekKind() != ']' {
		i := len(events)
		if i == MaxArray {
			return nil, Problemf(TooLarge,
				"the array has more than %d events, which is the most; post more as application/x-ndjson", MaxArray)
		}
		v, err := d.ReadValue()
		if err != nil {
			p := jsonProblem("", err)
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

// fastArray reads an array of events. It returns nil if the general decoder has to read
// it.
func fastArray(b []byte) (events []Event) {
	r := fastjson.NewReader(b, "")
	if !r.Next('[') {
		return nil
	}
	for len(events) < MaxArray {
		r.Space()
		from := r.Pos()
		if !r.Skip() {
			return nil
		}
		e, p := Decode(b[from:r.Pos()])
		if p != nil {
			return nil
		}
		events = append(events, e)
		if r.Space() == ']' {
			if r.Next(']'); !r.End() {
				return nil
			}
			return events
		}
		if !r.Next(',') {
			return nil
		}
	}
	return nil
}
