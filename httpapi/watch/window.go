package watch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"laurel/cache"
	"laurel/score"
	"laurel/score/fastjson"
	"laurel/score/ranking"
)

const (
	// refreshPause is the time between two refreshes of a contest's windows: a race
	// brings more marks than anybody can read.
	refreshPause = 500 * time.Millisecond
	// refreshBatch is the number of windows that are refreshed together, and batchPause
	// the time between batches. Without it thousands of windows that change at once would
	// delay scores.
	refreshBatch = 16
	batchPause   = 2 * time.Millisecond
	// maxWindowRows bounds the cost of all windows of a hub: the rows of each, plus
	// windowCost. A window counts once, however many watch it.
	maxWindowRows = 500_000
	windowCost    = 10
)

// ErrTooManyRows is returned when the watched windows would cost more than maxWindowRows.
var ErrTooManyRows = errors.New("too many rows of leaderboards")

// Window is a part of a leaderboard: its first rows, or those around a competitor.
type Window struct {
	ContestID string
	Split     string // "" for the one that the contest shows
	Category  string // "" for all
	Around    string // a competitor, or ""
	Limit     int    // rows
}

func (w *Window) cost() int { return w.Limit + windowCost }

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
// All other streams get the full window: new and resumed ones, because an event id does
// not state what was received of windows, and slow ones, because they have missed a diff.
type windowVersion struct {
	id       uint64 // a unique time on Hub.clock
	base     uint64 // id of the version that diff is relative to; 0 if there is none
	page     ranking.Leaderboard
	revision uint64
	full     *frame
	diff     *frame
}

// refresh makes the window's latest version one that was current at some moment after the
// call. Concurrent calls share fetches: any number of them need two at most, the one
// under way and the one that begins after all of them have called. With announce, refresh
// notifies the window's watchers of a new version.
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

func samePage(a, b *ranking.Leaderboard) bool {
	return a.Split == b.Split && a.Total == b.Total && a.SameFormat(&b.Format) &&
		slices.EqualFunc(a.Rows, b.Rows, ranking.Row.Equal)
}

// publish makes a page the window's latest version. The caller holds win.fetching.
func (win *window) publish(page ranking.Leaderboard, revision, id uint64) *windowVersion {
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
func changedRows(before, after []ranking.Row) (list []ranking.Row) {
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
func (win *window) encode(v *windowVersion, rows []ranking.Row) []byte {
	w := fastjson.NewWriter(make([]byte, 0, 256+16*len(v.page.Rows)+192*len(rows)))
	w.Text("contest_id", win.ContestID)
	w.Text("split", v.page.Split)
	w.OptionalText("category", win.Category)
	w.OptionalText("around", win.Around)
	w.Uint("total", uint64(v.page.Total))
	v.page.Format.WriteMembers(&w)
	w.Uint("revision", v.revision)
	w.Array("order", len(v.page.Rows), func(i int) { w.Quote(v.page.Rows[i].Competitor) })
	w.Array("rows", len(rows), func(i int) { w.B = rows[i].AppendJSON(w.B) })
	b, _ := w.End() // bytes that are not UTF-8 have been replaced
	return b
}

// body returns the full window as a snapshot includes it.
func (v *windowVersion) body() []byte {
	const head = "event: leaderboard\ndata: "
	return v.full.bytes[len(head) : len(v.full.bytes)-1]
}

// boardWindows holds the watched windows of a contest's leaderboards. Hub.mu guards it.
type boardWindows struct {
	windows    map[*window]struct{}
	dirty      bool // something has changed since the last refresh began
	refreshing bool // refreshLoop runs
}

// watchedWindow is a window of a watcher. Watcher.mu guards it.
type watchedWindow struct {
	window *window
	sent   uint64 // id of the version that the watcher last received
}

// addWindows makes w a watcher of its windows. h.mu must be held.
func (h *Hub) addWindows(w *Watcher) error {
	rows := 0
	for _, one := range w.subjects.Windows {
		if h.windows[one] == nil {
			rows += one.cost()
		}
	}
	if h.rows+rows > maxWindowRows {
		return ErrTooManyRows
	}
	h.rows += rows
	for _, one := range w.subjects.Windows {
		win := h.windows[one]
		if win == nil {
			win = &window{Window: one, watchers: watcherSet{}, fetching: make(chan struct{}, 1)}
			h.windows[one] = win
			b := h.boards[one.ContestID]
			if b == nil {
				b = &boardWindows{windows: map[*window]struct{}{}}
				h.boards[one.ContestID] = b
			}
			b.windows[win] = struct{}{}
		}
		win.watchers[w] = true
		w.windows = append(w.windows, watchedWindow{window: win})
	}
	return nil
}

// removeWindows removes w from the watchers of its windows. h.mu must be held.
func (h *Hub) removeWindows(w *Watcher) {
	for i := range w.windows {
		win := w.windows[i].window
		delete(win.watchers, w)
		if len(win.watchers) > 0 {
			continue
		}
		h.rows -= win.cost()
		delete(h.windows, win.Window)
		b := h.boards[win.ContestID]
		delete(b.windows, win)
		if len(b.windows) == 0 {
			delete(h.boards, win.ContestID)
		}
	}
}

// markBoardsDirty has the windows of the named leaderboards refreshed, or all windows.
// Windows are not part of a dispatch: a watcher of a score does not wait until thousands
// of windows are fetched.
func (h *Hub) markBoardsDirty(names []string, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		if contest, ok := strings.CutPrefix(name, cache.BoardTag("")); ok {
			h.markDirtyLocked(h.boards[contest])
		}
	}
	if all {
		for _, b := range h.boards {
			h.markDirtyLocked(b)
		}
	}
}

func (h *Hub) markDirtyLocked(b *boardWindows) {
	if b == nil {
		return
	}
	b.dirty = true
	if !b.refreshing {
		b.refreshing = true
		h.tasks.Go(func() { h.refreshLoop(b) })
	}
}

// refreshLoop refreshes a contest's windows, with a pause after each time, until nothing
// has changed meanwhile.
func (h *Hub) refreshLoop(b *boardWindows) {
	for {
		h.mu.Lock()
		if !b.dirty || h.ctx.Err() != nil {
			b.refreshing = false
			h.mu.Unlock()
			return
		}
		b.dirty = false
		windows := slices.Collect(maps.Keys(b.windows))
		h.mu.Unlock()
		if !h.refreshAll(windows) {
			h.mu.Lock()
			b.dirty = true
			h.mu.Unlock()
		}
		select {
		case <-time.After(refreshPause):
		case <-h.ctx.Done():
		}
	}
}

// refreshAll refreshes windows and notifies their watchers. When this frontend cannot
// answer for one, refreshAll returns false without asking for the rest, since each may
// take long.
func (h *Hub) refreshAll(windows []*window) bool {
	for batch := range slices.Chunk(windows, refreshBatch) {
		_ = h.batches.Wait(h.ctx) // an error means that the hub is closed
		ctx, cancel := context.WithTimeout(h.ctx, fetchTimeout)
		var group errgroup.Group
		for _, win := range batch {
			group.Go(func() error { return h.refresh(ctx, win, true) })
		}
		err := group.Wait()
		cancel()
		if err != nil {
			return false
		}
	}
	return true
}

// notifyWatchers queues a window's watchers because it has a new version. Their event ids
// stay as they are: these cover records and events only, since a resumed stream begins
// with full windows.
func (h *Hub) notifyWatchers(win *window) {
	h.mu.Lock()
	watchers := slices.Collect(maps.Keys(win.watchers))
	h.mu.Unlock()
	for _, w := range watchers {
		w.mu.Lock()
		w.dirty = true
		w.enqueueLocked(0)
		w.mu.Unlock()
	}
}

// appendWindowsLocked appends the windows that have changed to frames.
func (w *Watcher) appendWindowsLocked(frames []*frame) []*frame {
	if !w.dirty {
		return frames
	}
	w.dirty = false
	for i := range w.windows {
		one := &w.windows[i]
		v := one.window.latest.Load()
		switch one.sent {
		case v.id:
		case v.base:
			frames = append(frames, v.diff)
		default:
			frames = append(frames, v.full)
		}
		one.sent = v.id
	}
	return frames
}

// takeWindowsLocked returns the latest version of each window, all of which are sent.
func (w *Watcher) takeWindowsLocked() (list []*windowVersion) {
	w.dirty = false
	for i := range w.windows {
		v := w.windows[i].window.latest.Load()
		w.windows[i].sent = v.id
		list = append(list, v)
	}
	return list
}
