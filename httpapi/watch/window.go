package watch

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

// Window is a part of a leaderboard: its first rows, or those around a competitor.
type Window struct {
	ContestID string
	Split     string // "" for the one that the contest shows
	Category  string // "" for all
	Around    string // a competitor, or ""
	Limit     int    // rows
}

// window is a Window that somebody watches.
type window struct {
	Window
	watchers watcherSet // guarded by Hub.mu
	latest   atomic.Pointer[windowVersion]

	fetching  chan struct{}  // a mutex that can be waited for with a context
	fetchedAt uint64         // Hub.clock when the last successful fetch began; guarded by fetching
	announced *windowVersion // the version that watchers were last notified of; guarded by fetching
}

// windowVersion is the content of a window at one moment. It is immutable.
//
// A diff applies only to a stream that last received the version it was computed against.
// All other streams get the full window: new and resumed ones, because an event id does not
// state what was received of windows, and slow ones, because they have missed a diff.
type windowVersion struct {
	id       uint64 // a unique time on Hub.clock
	base     uint64 // id of the version that diff is relative to; 0 if there is none
	page     score.Leaderboard
	revision uint64
	full     *frame
	diff     *frame
}

// refresh makes the window's latest version one that was current at some moment after the
// call. Concurrent calls share fetches: any number of them need two at most, the one under
// way and the one that begins after all of them have called. With announce, refresh notifies
// the window's watchers of a new version.
func (h *Hub) refresh(ctx context.Context, win *window, announce bool) error {
	called := h.clock.Add(1)
	select {
	case win.fetching <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-win.fetching }()
	latest := win.latest.Load()
	if latest == nil || win.fetchedAt < called {
		began := h.clock.Add(1)
		page, revision, err := h.store.Board(ctx, &win.Window)
		problem, ok := errors.AsType[*score.Problem](err)
		if announce && ok && problem.Code == score.InvalidEvent {
			err = nil // the contest no longer has the split: the window becomes empty
		}
		if err != nil {
			return err
		}
		win.fetchedAt = began
		if latest == nil || !samePage(&latest.page, &page) {
			latest = win.publish(page, revision, h.clock.Add(1))
		}
	}
	if announce && latest != win.announced {
		h.notifyWatchers(win)
		win.announced = latest
	}
	return nil
}

func samePage(a, b *score.Leaderboard) bool {
	return a.Split == b.Split && a.Total == b.Total && slices.EqualFunc(a.Rows, b.Rows, score.LeaderboardRow.Equal)
}

// publish makes a page the window's latest version. The caller holds win.fetching.
func (win *window) publish(page score.Leaderboard, revision, id uint64) *windowVersion {
	v := &windowVersion{id: id, page: page, revision: revision}
	v.full = &frame{bytes: encode("leaderboard", win.encode(v, page.Rows))}
	if win.announced == nil {
		win.announced, v.diff = v, v.full
	} else {
		v.base = win.announced.id
		rows := changedRows(win.announced.page.Rows, page.Rows)
		v.diff = &frame{bytes: encode("leaderboard", win.encode(v, rows))}
	}
	win.latest.Store(v)
	return v
}

// changedRows returns the rows of after that are new or different from those of before.
func changedRows(before, after []score.LeaderboardRow) (list []score.LeaderboardRow) {
	known := make(map[string]int, len(before))
	for i := range before {
		known[before[i].Competitor] = i
	}
	for _, r := range after {
		if i, ok := known[r.Competitor]; !ok || !before[i].Equal(r) {
			list = append(list, r)
		}
	}
	return list
}

// encode returns the data of an event: the order of all rows of a version, and some rows.
func (win *window) encode(v *windowVersion, rows []score.LeaderboardRow) []byte {
	b := make([]byte, 0, 256+16*len(v.page.Rows)+192*len(rows))
	text := func(name, value string) {
		b = append(b, name...)
		b, _ = jsontext.AppendQuote(b, value) // invalid UTF-8 is replaced
	}
	text(`{"contest_id":`, win.ContestID)
	text(`,"split":`, v.page.Split)
	if win.Category != "" {
		text(`,"category":`, win.Category)
	}
	if win.Around != "" {
		text(`,"around":`, win.Around)
	}
	b = strconv.AppendInt(append(b, `,"total":`...), int64(v.page.Total), 10)
	b = strconv.AppendUint(append(b, `,"revision":`...), v.revision, 10)
	b = append(b, `,"order":[`...)
	for i := range v.page.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		text("", v.page.Rows[i].Competitor)
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

// body returns the full window as a snapshot includes it.
func (v *windowVersion) body() []byte {
	const head = "event: leaderboard\ndata: "
	return v.full.bytes[len(head) : len(v.full.bytes)-1]
}
