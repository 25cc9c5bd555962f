package watch

import (
	"bytes"
	"strconv"
	"strings"

	"laurel/cache"
)

// The lists of an event snapshot, in order: the keys of medal tables come before those of
// contests.
const (
	listTimeline = iota
	listMedals
	listScores
	listLeaderboards
)

var listNames = [...]string{"timeline", "medals", "scores", "leaderboards"}

// snapshot writes what is watched as one or more events snapshot, each a line of JSON with
// all lists. All but the last have the member more, and no id. The events of timelines
// are those up to the start revision; the records may be newer.
func (b *beginning) snapshot() error {
	if len(b.w.subjects.Timelines) > 0 {
		// Too many records are refused before anything is written.
		if _, err := b.findNames(); err != nil {
			return err
		}
	}
	clear(b.latest)
	b.page, b.closing = append(b.page, b.closing...), nil
	err := b.catchUp(func(_ string, page []Event) error {
		for _, e := range page {
			b.element(listTimeline, e.Body)
		}
		return b.flushSnapshot()
	})
	if err != nil {
		return err
	}
	ready, err := b.findNames()
	if err != nil {
		return err
	}
	err = b.readRecords(ready, func(key string, e *cache.Entry) error {
		list := listMedals
		if strings.HasPrefix(key, cache.ScoreKey("")) {
			list = listScores
		}
		if e.Body != nil {
			b.element(list, e.Body)
		}
		return b.flushSnapshot()
	})
	if err != nil {
		return err
	}
	return b.end(func() {
		for _, v := range b.w.takeWindowsLocked() {
			b.element(listLeaderboards, v.body())
		}
		b.toList(len(listNames))
		if b.sections != nil {
			b.page = append(append(b.page, `,"sections":`...), bytes.TrimRight(b.sections, "\n")...)
		}
		b.page = strconv.AppendUint(append(b.page, `,"revision":`...), b.start, 10)
		b.page = append(b.appendID(append(b.page, "}\n"...), position{b.start, b.start}), '\n')
	})
}

// element appends an element to a list of the snapshot: the present one or a later one.
func (b *beginning) element(list int, body []byte) {
	b.toList(list)
	if b.elements {
		b.page = append(b.page, ',')
	}
	b.page = append(b.page, bytes.TrimRight(body, "\n")...)
	b.elements = true
}

// toList goes to a list of the snapshot, and begins an event if there is none. Behind the
// last list no list is open.
func (b *beginning) toList(list int) {
	begin := func() {
		b.page = append(append(append(b.page, `,"`...), listNames[b.list]...), `":[`...)
		b.elements = false
	}
	if !b.open {
		b.page = append(b.page, "event: snapshot\ndata: "+`{"incarnation":`...)
		b.page = strconv.AppendQuote(b.page, b.incarnation) // letters and digits only
		for i, name := range b.former {
			b.page = append(b.page, [...]string{`,"former":[`, `,`}[min(i, 1)]...)
			b.page = strconv.AppendQuote(b.page, name)
		}
		if len(b.former) > 0 {
			b.page = append(b.page, ']')
		}
		b.open, b.list = true, 0
		begin()
	}
	for b.list < list {
		b.page = append(b.page, ']')
		if b.list++; b.list < len(listNames) {
			begin()
		}
	}
}

// hasIncarnated reports whether the store has another incarnation than when the stream began.
func (b *beginning) hasIncarnated() bool {
	now, _ := b.store.Incarnation()
	return now != b.incarnation
}

// flushSnapshot ends the event of a full page and writes the page.
func (b *beginning) flushSnapshot() error {
	if len(b.page) < pageBytes {
		return nil
	}
	b.toList(len(listNames))
	b.page = append(b.page, `,"more":true}`+"\n\n"...)
	b.open = false
	return b.flush()
}
