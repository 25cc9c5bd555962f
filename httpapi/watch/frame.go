package watch

import (
	"bytes"
	"strconv"
	"strings"

	"laurel/cache"
)

// frame is an encoded event of the stream without its final blank line, because each watcher
// decides whether an id line follows. A frame is immutable.
type frame struct {
	key      string // a newer frame replaces a pending one with the same key
	keep     bool   // the frame has no key and is never replaced: a timeline event
	open     bool   // a snapshot without leaderboards and closing brace; see closeSnapshot
	revision uint64
	bytes    []byte
}

func recordFrame(key string, e *cache.Entry) *frame {
	event := "score"
	if strings.HasPrefix(key, "medals/") {
		event = "medals"
	}
	return &frame{key: key, revision: e.Revision, bytes: encode(event, e.Body)}
}

func eventFrame(e Event) *frame {
	return &frame{keep: true, revision: e.Revision, bytes: encode("timeline", e.Body)}
}

func snapshotFrame(body []byte, revision uint64) *frame {
	return &frame{key: "snapshot", open: true, revision: revision, bytes: encodeOpen("snapshot", body)}
}

// encode returns the lines of an event. The data is JSON with at most one line break, at
// its end.
func encode(event string, data []byte) []byte {
	return append(encodeOpen(event, bytes.TrimRight(data, "\n")), '\n')
}

// encodeOpen is encode without the line break after the data.
func encodeOpen(event string, data []byte) []byte {
	b := make([]byte, 0, len(event)+len(data)+len("event: \ndata: \n"))
	b = append(b, "event: "...)
	b = append(b, event...)
	b = append(b, "\ndata: "...)
	return append(b, data...)
}

// position states what a watcher has received: every record as of one revision, and every
// event of its timelines up to another. They differ only in the middle of a write, where
// events are sent one by one.
type position struct{ records, events uint64 }

// append appends the event id for the position.
func (p position) append(b []byte, store string) []byte {
	b = append(b, store...)
	b = append(b, '-')
	b = strconv.AppendUint(b, p.records, 10)
	if p.events != p.records {
		b = append(b, '-')
		b = strconv.AppendUint(b, p.events, 10)
	}
	return b
}

// parsePosition parses an event id. It reports false if the id is malformed or belongs to
// another store.
func parsePosition(store, id string) (p position, ok bool) {
	if len(id) <= len(store) || id[:len(store)] != store || id[len(store)] != '-' {
		return p, false
	}
	records, events, two := strings.Cut(id[len(store)+1:], "-")
	p.records, ok = parseRevision(records)
	p.events = p.records
	if ok && two {
		p.events, ok = parseRevision(events)
	}
	return p, ok && p.events >= p.records
}

func parseRevision(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
