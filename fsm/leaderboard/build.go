package leaderboard

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

// maxBuilds is the number of boards that are built at the same time. Others wait.
const maxBuilds = 2

// Build is a board that is being built. Changes during the build are collected and
// applied to the board after the marks have been read. Collecting begins before the state
// that is read is chosen, so a change may be both read and collected, with the same
// result.
type Build struct {
	done      chan struct{}         // closed when the build has ended
	err       error                 // why it failed
	cancelled atomic.Bool           // the board is no longer wanted
	reserved  int                   // the number of rows that it will have
	changes   map[string]markChange // the last ones, by competitor
}

// Wait waits until the build has ended; the question can then be asked again.
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
func (b *Boards) Load(c *fold.Contest, split string) (a Answer) {
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
	a.Build = &Build{done: make(chan struct{})}
	switch found := r.boards[name]; {
	case found == nil:
		found = &board{contest: r, split: name, build: a.Build}
		r.boards[name], b.contests[c.ID] = found, r
		b.addCost(found, 0)
		go b.run(found, found.build)
	case found.build != nil:
		a.Build = found.build
	default: // another caller has built it in the meantime
		close(a.Build.done)
	}
	return a
}

func (b *Boards) run(board *board, build *Build) {
	b.building <- struct{}{}
	defer func() { <-b.building }()
	b.mu.Lock()
	build.changes = map[string]markChange{}
	direction := board.contest.direction // cannot change without the board being dropped
	b.mu.Unlock()
	var built *ranking.Board
	err := b.readMarks(board.contest.id, board.split, func(total int, marks iter.Seq2[ranking.Mark, error]) error {
		if err := b.reserve(board, total); err != nil {
			return err
		}
		builder := ranking.NewBuilder(direction, total)
		for m, err := range marks {
			if err == nil && build.cancelled.Load() {
				err = errCancelled
			}
			if err != nil {
				return err
			}
			builder.Add(m)
		}
		built = builder.Board()
		return nil
	})
	b.finish(board, build, built, err)
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
	for _, change := range build.changes {
		change.applyTo(marks)
	}
	board.marks, board.build = marks, nil
	board.used.Store(b.uses.Add(1))
	b.addCost(board, marks.Size())
	close(build.done)
	b.evict(board)
}
