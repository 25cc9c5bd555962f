package leaderboard

import (
	"context"
	"errors"
	"sync/atomic"

	"laurel/score"
	"laurel/score/ranking"
)

// maxBuilds is the number of boards that are built at the same time. Others wait.
const maxBuilds = 2

// Build is a board that is being built. The marks are read from a state of the database
// while further entries are applied. Changes during the build are collected, and applied
// to the board after the marks have been read. Collecting begins before the state is
// chosen, so a change may be both read and collected, with the same result.
type Build struct {
	done      chan struct{}          // closed when the build has ended
	err       error                  // why it failed
	cancelled atomic.Bool            // the board is no longer wanted
	reserved  int                    // the number of rows that it will have
	changes   map[string]*score.Mark // by competitor; nil for a removed mark
}

// Wait waits until the build has ended; the question can then be asked again. It returns
// the error of the build or the cause of the context's end.
func (b *Build) Wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errCancelled = errors.New("the leaderboard is no longer wanted")

// Load starts to build the board of a contest at a split, unless it is in memory or being
// built. No updates may be applied between the reading of c and the return of Load. The
// answer has a build to wait for or an error.
func (b *Boards) Load(c *score.Contest, split string) (a Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unavailable != nil {
		a.Err = b.unavailable
		return a
	}
	if c.Definition.Kind != score.Ranked {
		a.Revision = c.Revision
		a.Err = score.Problemf(score.NotFound,
			"the contest %q is %s and has no leaderboard", c.ID, c.Definition.Kind)
		return a
	}
	r := b.contests[c.ID]
	if r == nil {
		r = &contest{id: c.ID, boards: map[string]*board{}}
		r.setMetadata(c, true)
	}
	name, p := r.split(split)
	if p != nil {
		a.Revision, a.Err = r.revision, p
		return a
	}
	found := r.boards[name]
	if found == nil {
		found = &board{contest: r, split: name, build: &Build{done: make(chan struct{})}}
		r.boards[name], b.contests[c.ID] = found, r
		b.addCost(found, 0)
		go b.run(found, found.build)
	}
	if a.Build = found.build; a.Build == nil {
		a.Build = &Build{done: closedChannel} // another caller has built it in the meantime
	}
	return a
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// run builds a board.
func (b *Boards) run(board *board, build *Build) {
	b.building <- struct{}{}
	defer func() { <-b.building }()
	marks, err := b.read(board, build)
	b.finish(board, build, marks, err)
}

func (b *Boards) read(board *board, build *Build) (*ranking.Board, error) {
	lowIsBest := b.collect(board, build)
	marks := ranking.NewBuilder(lowIsBest, 0)
	begin := func(total int) error {
		if err := b.reserve(board, total); err != nil {
			return err
		}
		marks = ranking.NewBuilder(lowIsBest, total)
		return nil
	}
	add := func(m score.Mark) error {
		if build.cancelled.Load() {
			return errCancelled
		}
		marks.Add(m)
		return nil
	}
	if err := b.readMarks(board.contest.id, board.split, begin, add); err != nil {
		return nil, err
	}
	return marks.Board(), nil
}

// collect starts to collect changes. The direction of the order cannot change from here
// on without the board being dropped.
func (b *Boards) collect(board *board, build *Build) (lowIsBest bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	build.changes = map[string]*score.Mark{}
	return board.contest.lowIsBest
}

// reserve makes room for the rows of a board that is being built.
func (b *Boards) reserve(board *board, rows int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rows > b.maxRows {
		return score.Problemf(score.TooLarge,
			"the contest %q has %d marks at %s; a frontend keeps leaderboards of at most %d rows in memory",
			board.contest.id, rows, board.split, b.maxRows)
	}
	if board.build.cancelled.Load() {
		return errCancelled
	}
	board.build.reserved = rows
	b.addCost(board, rows)
	if b.evict(board); b.rows > b.maxRows {
		return score.Problemf(score.NotReady, "too many leaderboards are being built at the same time; retry")
	}
	return nil
}

// finish puts a built board in its place, or reports why it could not be built.
func (b *Boards) finish(board *board, build *Build, marks *ranking.Board, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if build.cancelled.Load() {
		return
	}
	if err != nil {
		build.err = err
		b.drop(board)
		return
	}
	for competitor, mark := range build.changes {
		if mark == nil {
			marks.Remove(competitor)
		} else {
			marks.Set(*mark)
		}
	}
	board.marks, board.build = marks, nil
	board.used.Store(b.uses.Add(1))
	b.addCost(board, marks.Len())
	close(build.done)
	b.evict(board)
}
