package watch

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
	"laurel/score/ranking"
)

// Window is a part of a leaderboard: its first rows, or those around a competitor.
type Window struct {
	ContestID string
	Split     string // "": the one that the contest shows
	Category  string // "": all
	Around    string // a competitor; "": none
	Limit     int    // rows
}

// window is a Window that somebody watches.
type window struct {
	Window
	watchers map[*Watcher]struct{} // Hub.mu guards it

	looking chan struct{} // who fetches holds its one place
	looked  uint64        // when the last fetch began that came to something, on the clock Hub.looks; guarded by looking
	base    *shown        // what the last turn told; guarded by looking
	shown   atomic.Pointer[shown]
}

// shown is a window as it was at one moment. It does not change.
//
// What a stream is told about a window stands on what it was told before, so a difference is good only for a stream whose last word was that very
// state: base. Everybody else gets the whole: who has just begun, or comes back with an id, which says nothing about windows; and who was slow, for
// the difference that waited for it is not to be had any more, and would leave out what the one before it said.
type shown struct {
	at       uint64 // on the clock Hub.looks; no two have the same
	from     uint64 // at of the state that changed is the difference to; 0: none
	page     ranking.Page
	revision uint64
	whole    *frame
	changed  *frame
}

func newWindow(w Window) *window {
	return &window{Window: w, watchers: map[*Watcher]struct{}{}, looking: make(chan struct{}, 1)}
}

// look brings a window up to date: what it shows was so at some moment after the call. Many who come at once need two fetches at most, one that was
// under way and one that begins after they all have come.
func (h *Hub) look(ctx context.Context, win *window, turn bool) (*shown, error) {
	came := h.looks.Add(1)
	select {
	case win.looking <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-win.looking }()
	now := win.shown.Load()
	if now == nil || win.looked < came {
		began := h.looks.Add(1)
		page, revision, err := h.store.Board(ctx, &win.Window)
		if problem, is := errors.AsType[*score.Problem](err); turn && is && problem.Code == score.InvalidEvent {
			err = nil // the split is no more
		}
		if err != nil {
			return nil, err
		}
		win.looked = began
		if now == nil || !same(&now.page, &page) {
			now = win.show(page, revision, h.looks.Add(1))
		}
	}
	if turn && now != win.base {
		h.tellBoard(win)
		win.base = now
	}
	return now, nil
}

func same(a, b *ranking.Page) bool {
	return a.Split == b.Split && a.Total == b.Total && slices.Equal(a.Rows, b.Rows)
}

// show makes a page what the window shows.
func (win *window) show(page ranking.Page, revision, at uint64) *shown {
	s := &shown{at: at, page: page, revision: revision}
	s.whole = &frame{bytes: encode("leaderboard", win.encode(s, page.Rows))}
	if win.base == nil {
		win.base, s.changed = s, s.whole
	} else {
		s.from = win.base.at
		s.changed = &frame{bytes: encode("leaderboard", win.encode(s, news(win.base.page.Rows, page.Rows)))}
	}
	win.shown.Store(s)
	return s
}

// news are the rows that were not there before, or not so.
func news(before, now []ranking.Row) (list []ranking.Row) {
	known := make(map[string]int, len(before))
	for i := range before {
		known[before[i].Competitor] = i
	}
	for _, r := range now {
		if i, there := known[r.Competitor]; !there || before[i] != r {
			list = append(list, r)
		}
	}
	return list
}

func (win *window) encode(s *shown, rows []ranking.Row) []byte {
	b := make([]byte, 0, 256+16*len(s.page.Rows)+192*len(rows))
	text := func(name, value string) {
		b = append(b, name...)
		b, _ = jsontext.AppendQuote(b, value) // what is not UTF-8 of it is replaced
	}
	text(`{"contest_id":`, win.ContestID)
	text(`,"split":`, s.page.Split)
	if win.Category != "" {
		text(`,"category":`, win.Category)
	}
	if win.Around != "" {
		text(`,"around":`, win.Around)
	}
	b = strconv.AppendInt(append(b, `,"total":`...), int64(s.page.Total), 10)
	b = strconv.AppendUint(append(b, `,"revision":`...), s.revision, 10)
	b = append(b, `,"order":[`...)
	for i := range s.page.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		text("", s.page.Rows[i].Competitor)
	}
	b = append(b, `],"rows":[`...)
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = rows[i].AppendJSON(b)
	}
	return append(b, "]}"...)
}

// body is the whole window, as a snapshot has it.
func (s *shown) body() []byte {
	const head = "event: leaderboard\ndata: "
	return s.whole.bytes[len(head) : len(s.whole.bytes)-1]
}
