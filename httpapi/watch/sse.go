package watch

import (
	"bytes"
	"strconv"
	"strings"
)

// frame is an event of the stream without its end: whether an id follows is decided for each watcher. It does not change.
type frame struct {
	name     string // a newer frame of the same name takes its place
	kept     bool   // but not this one's: each event of a timeline is sent
	open     bool   // it is a snapshot that lacks the watcher's windows and its end
	revision uint64
	bytes    []byte
}

// encode makes the lines of an event. The data is JSON, so it has no line break but the one at its end.
func encode(event string, data []byte) []byte {
	return append(encodeOpen(event, bytes.TrimRight(data, "\n")), '\n')
}

// encodeOpen is encode without the end of the line.
func encodeOpen(event string, data []byte) []byte {
	b := make([]byte, 0, len(event)+len(data)+len("event: \ndata: \n"))
	b = append(b, "event: "...)
	b = append(b, event...)
	b = append(b, "\ndata: "...)
	return append(b, data...)
}

// mark is what a watcher has: every record as of one revision, and every event of its timelines up to another. The two are the same but in the
// middle of a batch, where events go out one after the other.
type mark struct{ records, events uint64 }

func (m mark) append(b []byte, store string) []byte {
	b = append(b, store...)
	b = append(b, '-')
	b = strconv.AppendUint(b, m.records, 10)
	if m.events != m.records {
		b = append(b, '-')
		b = strconv.AppendUint(b, m.events, 10)
	}
	return b
}

// parseMark reads an id that this store gave. One of another store, or something else, is not ok.
func parseMark(store, id string) (m mark, ok bool) {
	if len(id) <= len(store) || id[:len(store)] != store || id[len(store)] != '-' {
		return m, false
	}
	records, events, two := strings.Cut(id[len(store)+1:], "-")
	m.records, ok = parseRevision(records)
	m.events = m.records
	if ok && two {
		m.events, ok = parseRevision(events)
	}
	return m, ok && m.events >= m.records
}

func parseRevision(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
