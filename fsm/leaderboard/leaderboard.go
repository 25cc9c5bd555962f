// Package leaderboard keeps the leaderboards of ranked contests in memory.
//
// A leaderboard holds the marks at one split of one contest, in order. It is built from
// the database when it is first asked for, and from then on updated with every applied
// batch. Boards limits the number of rows in memory and drops the least recently used
// leaderboards. Leaderboards are only read: applying or refusing an event never depends
// on them.
package leaderboard

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/quote"
	"laurel/score/ranking"
)

// Boards are the leaderboards in memory. Its methods may be called concurrently, except
// that Load must not run at the same time as Apply.
type Boards struct {
	readMarks MarkReader

	mu          sync.RWMutex
	contests    map[string]*contest // by id; each has at least one board
	rows        int                 // approximate total of all boards
	maxRows     int
	unavailable error         // the reason why questions are not answered; nil if they are
	uses        atomic.Uint64 // counts questions, to find the least recently used board
	building    chan struct{} // limits concurrent builds
}

// MarkReader calls use with the number of marks of a split and the marks, as of one state
// of the database that is not older than the call. It returns the error of use.
type MarkReader func(contestID, split string, use func(total int, marks iter.Seq2[ranking.Mark, error]) error) error

const (
	// DefaultMaxRows is the number of rows that are kept in memory. A row takes 60 to 130
	// bytes (BenchmarkMemory in score/ranking).
	DefaultMaxRows = 4_000_000
	// boardCost is the number of rows that a board without rows counts as.
	boardCost = 64
)

type contest struct {
	id        string
	direction ranking.Direction
	format    mark.Format
	splits    []string
	current   string // the split that the contest's record shows
	entrants  map[string]score.Entrant
	revision  uint64
	boards    map[string]*board // by split
}

// board holds the marks at one split.
type board struct {
	contest *contest
	split   string
	marks   *ranking.Board // nil while the board is being built
	cost    int            // what Boards.rows includes for it
	used    atomic.Uint64  // Boards.uses at the last question
	build   *Build         // nil once the board has been built
}

// New returns an empty Boards, which reads marks with read.
func New(read MarkReader) *Boards {
	return &Boards{
		readMarks: read,
		maxRows:   DefaultMaxRows,
		contests:  map[string]*contest{},
		building:  make(chan struct{}, maxBuilds),
	}
}

// Answer is a page, an error, or a build to wait for before asking again. Revision is
// that of the last event that changed the contest, also if Err is a *score.Problem.
type Answer struct {
	Page     ranking.Leaderboard
	Revision uint64
	Err      error
	Build    *Build
}

// ErrNotLoaded reports that the board is not in memory. Load starts to build it.
var ErrNotLoaded = errors.New("the leaderboard is not in memory")

// Ask answers a question about a contest.
func (b *Boards) Ask(contestID string, q *ranking.Query) (a Answer) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.unavailable != nil {
		a.Err = b.unavailable
		return a
	}
	c := b.contests[contestID]
	if c == nil {
		a.Err = ErrNotLoaded
		return a
	}
	a.Revision = c.revision
	split, p := c.split(q.Split)
	if p != nil {
		a.Err = p
		return a
	}
	switch board := c.boards[split]; {
	case board == nil:
		a.Err = ErrNotLoaded
	case board.marks == nil:
		a.Build = board.build
	default:
		board.used.Store(b.uses.Add(1))
		var p *score.Problem
		if a.Page, p = board.page(q); p != nil {
			a.Err = p
		}
	}
	return a
}

// split returns the split asked for; "" asks for the one that the contest's record shows.
func (c *contest) split(asked string) (string, *score.Problem) {
	if asked == "" {
		return cmp.Or(c.current, c.splits[len(c.splits)-1]), nil
	}
	if slices.Contains(c.splits, asked) {
		return asked, nil
	}
	return "", score.Problemf(score.InvalidEvent, "the contest %q has no split %.64q; want %s",
		c.id, asked, quote.OneOf(c.splits)).At("split")
}

func (b *board) page(q *ranking.Query) (ranking.Leaderboard, *score.Problem) {
	c := b.contest
	p, ok := b.marks.Page(q)
	if !ok {
		category := ""
		if q.Category != "" {
			category = fmt.Sprintf(" in the category %.64s", q.Category)
		}
		return p, score.Problemf(score.NotFound, "%.64q has no mark at %s of the contest %q%s",
			q.Around, b.split, c.id, category)
	}
	p.ContestID, p.Split, p.Format = c.id, b.split, c.format
	for i := range p.Rows {
		row := &p.Rows[i]
		if e, listed := c.entrants[row.Competitor]; listed {
			row.Name, row.Organisation = e.Name, cmp.Or(e.Organisation, row.Organisation)
		}
	}
	return p, nil
}

// setMetadata updates everything about the contest but its marks. redefined reports that
// the definition may have changed.
func (c *contest) setMetadata(of *fold.Contest, redefined bool) {
	c.current, c.revision = of.Split, of.Revision
	if !redefined {
		return
	}
	c.direction, c.format = of.Definition.Direction(), of.Definition.Format()
	c.splits = of.Definition.AllSplits()
	c.entrants = make(map[string]score.Entrant, len(of.Competitors))
	for i := range of.Competitors {
		c.entrants[of.Competitors[i].Code] = of.Competitors[i].Known()
	}
}

func (b *Boards) addCost(board *board, rows int) {
	cost := boardCost + len(board.contest.entrants) + rows
	b.rows += cost - board.cost
	board.cost = cost
}

// evict drops the least recently used boards if there are too many rows, and some more
// than necessary, because finding them is expensive if they are small. Boards that are
// being built are kept, and so is keep.
func (b *Boards) evict(keep *board) {
	if b.rows <= b.maxRows {
		return
	}
	var list []*board
	for _, c := range b.contests {
		for _, board := range c.boards {
			if board.build == nil && board != keep {
				list = append(list, board)
			}
		}
	}
	slices.SortFunc(list, func(a, b *board) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for _, board := range list {
		if b.drop(board); b.rows <= b.maxRows-b.maxRows/16 {
			return
		}
	}
}

// drop removes a board. Callers that wait for its build ask again.
func (b *Boards) drop(board *board) {
	c := board.contest
	if delete(c.boards, board.split); len(c.boards) == 0 {
		delete(b.contests, c.id)
	}
	b.rows -= board.cost
	if build := board.build; build != nil {
		build.cancelled.Store(true)
		close(build.done)
	}
}

func (b *Boards) dropContest(c *contest) {
	for _, board := range c.boards {
		b.drop(board)
	}
}

// Close drops all boards. Until Open is called, every question gets err.
func (b *Boards) Close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unavailable = err
	for _, c := range b.contests {
		b.dropContest(c)
	}
}

// Open makes Boards answer questions again after Close.
func (b *Boards) Open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unavailable = nil
}

// SetMaxRows changes the number of rows that are kept in memory from the next change on.
func (b *Boards) SetMaxRows(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.maxRows = n
}

// Rows returns the approximate number of rows in memory.
func (b *Boards) Rows() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.rows
}

// Updates collects the changes that a batch of events makes to leaderboards.
type Updates struct {
	marks    []markChange
	contests map[string]bool // changed contests; true if the definition may have changed
}

type markChange struct {
	contestID, split string
	mark             ranking.Mark
	removed          bool
}

// SetMark records that a mark was set.
func (u *Updates) SetMark(contestID, split string, m ranking.Mark) {
	u.marks = append(u.marks, markChange{contestID: contestID, split: split, mark: m})
}

// RemoveMark records that a mark was removed.
func (u *Updates) RemoveMark(contestID, split string, m ranking.Mark) {
	u.marks = append(u.marks, markChange{contestID: contestID, split: split, mark: m, removed: true})
}

// Touch records that an event changed a contest. redefined reports that the definition
// may have changed.
func (u *Updates) Touch(contestID string, redefined bool) {
	if u.contests == nil {
		u.contests = map[string]bool{}
	}
	u.contests[contestID] = u.contests[contestID] || redefined
}

// Savepoint returns the present place, to which Rollback can return.
func (u *Updates) Savepoint() int { return len(u.marks) }

// Rollback drops the mark changes since a savepoint. Contests stay recorded, which is
// harmless.
func (u *Updates) Rollback(savepoint int) { u.marks = u.marks[:savepoint] }

// Apply applies the updates to the boards in memory and clears them. It calls contest for
// each contest that was touched; contest returns the contest, nil if it is not defined,
// and whether it has changed.
func (b *Boards) Apply(u *Updates, contest func(id string) (c *fold.Contest, changed bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, redefined := range u.contests {
		if c, changed := contest(id); changed {
			b.setMetadata(id, c, redefined)
		}
	}
	for i := range u.marks {
		b.applyMark(&u.marks[i])
	}
	b.evict(nil)
	clear(u.contests)
	clear(u.marks)
	u.marks = u.marks[:0]
}

// setMetadata updates what the boards of a contest know about it. c is nil if the contest
// is no longer defined.
func (b *Boards) setMetadata(id string, c *fold.Contest, redefined bool) {
	r := b.contests[id]
	if r == nil {
		return
	}
	if c == nil || c.Definition.Kind != score.Ranked || c.Definition.Direction() != r.direction ||
		!slices.Equal(c.Definition.AllSplits(), r.splits) {
		b.dropContest(r)
		return
	}
	r.setMetadata(c, redefined)
	if redefined {
		for _, board := range r.boards {
			b.addCost(board, board.len())
		}
	}
}

func (b *Boards) applyMark(change *markChange) {
	c := b.contests[change.contestID]
	if c == nil {
		return
	}
	board := c.boards[change.split]
	switch {
	case board == nil:
	case board.marks != nil:
		change.applyTo(board.marks)
		b.addCost(board, board.len())
	case board.build.changes != nil: // its build may have read the mark already
		board.build.changes[change.mark.Competitor] = *change
	}
}

func (c *markChange) applyTo(marks *ranking.Board) {
	if c.removed {
		marks.Remove(c.mark.Competitor)
	} else {
		marks.Set(c.mark)
	}
}

func (b *board) len() int {
	if b.marks == nil {
		return b.build.reserved
	}
	return b.marks.Size()
}
