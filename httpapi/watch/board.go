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
	// boardPause is how long a contest's boards rest when what has changed of them has been told: a race brings more marks than anybody can read.
	boardPause = 500 * time.Millisecond
	// boardPortion is how many windows are looked at together, and boardPace the time from one portion to the next: thousands that change at once must not
	// stand between a score and those who watch it.
	boardPortion = 16
	boardPace    = 2 * time.Millisecond
	// maxWindowRows bounds the rows of all windows that are watched here, each window counted once, however many watch it, and as windowCost rows more
	// than it has.
	maxWindowRows = 500_000
	windowCost    = 10
)

// ErrWindows: the windows that are watched here have maxWindowRows.
var ErrWindows = errors.New("too many windows of leaderboards")

// board is a contest whose leaderboards somebody watches. Hub.mu guards it.
type board struct {
	windows map[*window]struct{}
	named   bool // something has changed that its windows have not been looked at for
	turning bool
}

// seen is a window that a watcher watches, and at of what it was told last. Watcher.mu guards it.
type seen struct {
	window *window
	told   uint64
}

func (w *Window) cost() int { return w.Limit + windowCost }

// joinBoards lets w watch its windows. h.mu must be held.
func (h *Hub) joinBoards(w *Watcher) error {
	rows := 0
	for _, one := range w.subjects.Boards {
		if h.windows[one] == nil {
			rows += one.cost()
		}
	}
	if h.rows+rows > maxWindowRows {
		return ErrWindows
	}
	h.rows += rows
	for _, one := range w.subjects.Boards {
		win := h.windows[one]
		if win == nil {
			win = newWindow(one)
			h.windows[one] = win
			b := h.boards[one.ContestID]
			if b == nil {
				b = &board{windows: map[*window]struct{}{}}
				h.boards[one.ContestID] = b
			}
			b.windows[win] = struct{}{}
		}
		win.watchers[w] = struct{}{}
		w.boards = append(w.boards, seen{window: win})
	}
	return nil
}

// endBoards lets w watch no window any more. h.mu must be held.
func (h *Hub) endBoards(w *Watcher) {
	for i := range w.boards {
		win := w.boards[i].window
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

// beginBoards gives all windows of a watcher that begins, whole.
func (h *Hub) beginBoards(ctx context.Context, w *Watcher) ([]*shown, error) {
	var windows []*shown
	for i := range w.boards {
		s, err := h.look(ctx, w.boards[i].window, false)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.boards[i].told = s.at
		w.mu.Unlock()
		windows = append(windows, s)
	}
	return windows, nil
}

const boardPrefix = "leaderboard/"

// stirBoards gives a turn to the contests whose leaderboards may have changed. The boards are not part of a batch: who watches a score does not wait
// until thousands of windows are fetched, and each contest rests when it has had its turn.
func (h *Hub) stirBoards(names []string, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		if contest, is := strings.CutPrefix(name, boardPrefix); is {
			h.stirLocked(h.boards[contest])
		}
	}
	if all {
		for _, b := range h.boards {
			h.stirLocked(b)
		}
	}
}

func (h *Hub) stirLocked(b *board) {
	if b == nil {
		return
	}
	b.named = true
	if !b.turning {
		b.turning = true
		h.over.Go(func() { h.turns(b) })
	}
}

// turns gives a contest's boards turn after turn, with a rest behind each, until nothing has changed meanwhile.
func (h *Hub) turns(b *board) {
	for {
		h.mu.Lock()
		if !b.named || h.ctx.Err() != nil {
			b.turning = false
			h.mu.Unlock()
			return
		}
		b.named = false
		windows := make([]*window, 0, len(b.windows))
		for win := range b.windows {
			windows = append(windows, win)
		}
		h.mu.Unlock()
		if !h.boardTurn(windows) {
			h.mu.Lock()
			b.named = true // this frontend could not answer for all of them
			h.mu.Unlock()
		}
		select {
		case <-time.After(boardPause):
		case <-h.ctx.Done():
		}
	}
}

// boardTurn looks at windows and tells those who watch them what has changed. False: this frontend could not tell of some, and was not asked for the
// rest, for each question may take a while then.
func (h *Hub) boardTurn(windows []*window) bool {
	for portion := range slices.Chunk(windows, boardPortion) {
		h.pace()
		ctx, cancel := context.WithTimeout(h.ctx, fetchLimit)
		var group errgroup.Group
		for _, win := range portion {
			group.Go(func() error {
				_, err := h.look(ctx, win, true)
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

// pace waits until the next portion of windows may be looked at, of whatever contest.
func (h *Hub) pace() {
	h.mu.Lock()
	now := time.Now()
	at := h.paced
	if at.Before(now) {
		at = now
	}
	h.paced = at.Add(boardPace)
	h.mu.Unlock()
	if wait := at.Sub(now); wait > 0 {
		select {
		case <-time.After(wait):
		case <-h.ctx.Done():
		}
	}
}

// tellBoard lets those who watch a window know that there is something new.
func (h *Hub) tellBoard(win *window) {
	h.mu.Lock()
	list := make([]*Watcher, 0, len(win.watchers))
	for w := range win.watchers {
		list = append(list, w)
	}
	h.mu.Unlock()
	for _, w := range list {
		w.stir()
	}
}

// stir has a writer look what is new of the watcher's windows. It says nothing about the id: that speaks of records and events alone, for who comes back
// gets each window anew.
func (w *Watcher) stir() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stirred = true
	w.reachLocked(0)
}

// boardsLocked makes pending what is new of the watcher's windows, unless a snapshot is pending that will have them.
func (w *Watcher) boardsLocked() {
	if !w.stirred {
		return
	}
	w.stirred = false
	for _, f := range w.pending {
		if f.open {
			return
		}
	}
	for i := range w.boards {
		one := &w.boards[i]
		s := one.window.shown.Load()
		switch one.told {
		case s.at:
		case s.from:
			w.pending = append(w.pending, s.changed)
		default:
			w.pending = append(w.pending, s.whole)
		}
		one.told = s.at
	}
}

// closeSnapshotLocked ends an open snapshot, which may be many watchers', with the windows of this one.
func (w *Watcher) closeSnapshotLocked(b []byte) []byte {
	windows := make([]*shown, len(w.boards))
	for i := range w.boards {
		windows[i] = w.boards[i].window.shown.Load()
		w.boards[i].told = windows[i].at
	}
	return closeSnapshot(b, windows)
}

// closeSnapshot appends to an open snapshot the windows and its end.
func closeSnapshot(b []byte, windows []*shown) []byte {
	b = append(b, `,"leaderboards":[`...)
	for i, s := range windows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, s.body()...)
	}
	return append(b, "]}\n"...)
}
