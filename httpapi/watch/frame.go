package watch

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"laurel/cache"
)

// frame is an encoded event of the stream without its final blank line, because each
// watcher decides whether an id line follows. A frame is immutable.
type frame struct {
	key      string // a newer frame replaces a pending one with the same key, unless keep
	keep     bool   // an event of the timeline key, which is never replaced
	revision uint64
	bytes    []byte
}

// recordFrame returns the frame of a record: of its new value or, for a contest, of its
// removal. A medal table that does not exist, which has never existed, has none: nil.
func recordFrame(key string, e *cache.Entry) *frame {
	contest, isContest := strings.CutPrefix(key, cache.ScoreKey(""))
	event, body := "medals", e.Body
	switch {
	case isContest && e.Body == nil:
		event = "removed"
		body = strconv.AppendUint(fmt.Appendf(nil, `{"contest_id":%q,"revision":`, contest), e.Revision, 10)
		body = append(body, '}')
	case isContest:
		event = "score"
	case e.Body == nil:
		return nil
	}
	return &frame{key: key, revision: e.Revision, bytes: encode(event, body)}
}

func eventFrame(timeline string, e Event) *frame {
	return &frame{key: timeline, keep: true, revision: e.Revision, bytes: encode("timeline", e.Body)}
}

// encode returns the lines of an event. The data is JSON with at most one line break, at
// its end.
func encode(event string, data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n", event, bytes.TrimRight(data, "\n"))
}

// position states what a watcher has received: every record as of one revision, and every
// event of its timelines up to another. They differ only in the middle of a write, where
// events are sent one by one.
type position struct{ records, events uint64 }

// appendID appends an id line that states to any hub of the incarnation what a watcher has
// received. In pull mode no id can, so a watcher that resumes gets a snapshot.
func (h *Hub) appendID(b []byte, p position) []byte {
	incarnation, _ := h.store.Incarnation()
	b = append(append(b, "id: "...), incarnation...)
	if !h.store.Ordered() {
		return append(b, "-pull\n"...)
	}
	b = strconv.AppendUint(append(b, '-'), p.records, 10)
	if p.events != p.records {
		b = strconv.AppendUint(append(b, '-'), p.events, 10)
	}
	return append(b, '\n')
}

// parsePosition parses an event id. It reports false if the id is malformed or belongs to
// another incarnation.
func parsePosition(incarnation, id string) (p position, ok bool) {
	revisions, ok := strings.CutPrefix(id, incarnation+"-")
	records, events, two := strings.Cut(revisions, "-")
	if !two {
		events = records
	}
	var recordsErr, eventsErr error
	p.records, recordsErr = strconv.ParseUint(records, 10, 64)
	p.events, eventsErr = strconv.ParseUint(events, 10, 64)
	return p, ok && recordsErr == nil && eventsErr == nil && p.events >= p.records
}
