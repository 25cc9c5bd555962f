package watch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// refreshPause is the time between two refreshes of a contest's windows: a race brings
	// more marks than anybody can read.
	refreshPause = 500 * time.Millisecond
	// refreshBatch is the number of windows that are refreshed together, and batchPause the
	// time between batches. Without it thousands of windows that change at once would
	// delay scores.
	refreshBatch = 16
	batchPause   = 2 * time.Millisecond
	// maxWindowRows bounds the cost of all windows of a hub: the rows of each, plus
	// windowCost. A window counts once, however many watch it.
	maxWindowRows = 500_000
	windowCost    = 10
	// boardPrefix begins the tag of a contest's leaderboards.
	boardPrefix = "leaderboard/"
)

// ErrTooManyRows is returned when the watched windows would cost more than maxWindowRows.
var ErrTooManyRows = errors.New("too many rows of leaderboards")

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

func (w *Window) cost() int { return w.Limit + windowCost }

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
			win = newWindow(one)
			h.windows[one] = win
			b := h.boards[one.ContestID]
			if b == nil {
				b = &boardWindows{windows: map[*window]struct{}{}}
				h.boards[one.ContestID] = b
			}
			b.windows[win] = struct{}{}
		}
		win.watchers[w] = struct{}{}
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

// firstWindows returns the versions of a new watcher's windows that its stream begins with.
func (h *Hub) firstWindows(ctx context.Context, w *Watcher) ([]*windowVersion, error) {
	var versions []*windowVersion
	for i := range w.windows {
		v, err := h.refresh(ctx, w.windows[i].window, false)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.windows[i].sent = v.id
		w.mu.Unlock()
		versions = append(versions, v)
	}
	return versions, nil
}

// markBoardsDirty has the windows of the named leaderboards refreshed, or all windows.
// Windows are not part of a dispatch: a watcher of a score does not wait until thousands of
// windows are fetched.
func (h *Hub) markBoardsDirty(names []string, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		if contest, ok := strings.CutPrefix(name, boardPrefix); ok {
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
		windows := make([]*window, 0, len(b.windows))
		for win := range b.windows {
			windows = append(windows, win)
		}
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

// refreshAll refreshes windows and notifies their watchers. When this frontend cannot answer
// for one, refreshAll returns false without asking for the rest, since each may take long.
func (h *Hub) refreshAll(windows []*window) bool {
	for batch := range slices.Chunk(windows, refreshBatch) {
		h.awaitBatch()
		ctx, cancel := context.WithTimeout(h.ctx, fetchTimeout)
		var group errgroup.Group
		for _, win := range batch {
			group.Go(func() error {
				_, err := h.refresh(ctx, win, true)
				return err
			})
		}
		err := group.Wait()
		cancel()
		if err != nil {
			return false
		}
	}
	return true
}

// awaitBatch waits until the next batch of windows, of any contest, may be refreshed.
func (h *Hub) awaitBatch() {
	h.mu.Lock()
	now := time.Now()
	at := h.nextBatch
	if at.Before(now) {
		at = now
	}
	h.nextBatch = at.Add(batchPause)
	h.mu.Unlock()
	if wait := at.Sub(now); wait > 0 {
		select {
		case <-time.After(wait):
		case <-h.ctx.Done():
		}
	}
}

// notifyWatchers tells a window's watchers that it has a new version.
func (h *Hub) notifyWatchers(win *window) {
	h.mu.Lock()
	list := make([]*Watcher, 0, len(win.watchers))
	for w := range win.watchers {
		list = append(list, w)
	}
	h.mu.Unlock()
	for _, w := range list {
		w.markDirty()
	}
}

// markDirty queues the watcher because a window has changed. The event id stays as it is: it
// covers records and events only, since a resumed stream begins with full windows.
func (w *Watcher) markDirty() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true
	w.enqueueLocked(0)
}

// addWindowsLocked makes changed windows pending, unless a pending snapshot will include
// them.
func (w *Watcher) addWindowsLocked() {
	if !w.dirty {
		return
	}
	w.dirty = false
	for _, f := range w.pending {
		if f.open {
			return
		}
	}
	for i := range w.windows {
		one := &w.windows[i]
		v := one.window.latest.Load()
		switch one.sent {
		case v.id:
		case v.base:
			w.pending = append(w.pending, v.diff)
		default:
			w.pending = append(w.pending, v.full)
		}
		one.sent = v.id
	}
}

// closeSnapshotLocked closes an open snapshot, which other watchers may share, with the
// windows of this one.
func (w *Watcher) closeSnapshotLocked(b []byte) []byte {
	versions := make([]*windowVersion, len(w.windows))
	for i := range w.windows {
		versions[i] = w.windows[i].window.latest.Load()
		w.windows[i].sent = versions[i].id
	}
	return closeSnapshot(b, versions)
}

// closeSnapshot appends windows and the closing brace to an open snapshot.
func closeSnapshot(b []byte, windows []*windowVersion) []byte {
	b = append(b, `,"leaderboards":[`...)
	for i, v := range windows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v.body()...)
	}
	return append(b, "]}\n"...)
}
