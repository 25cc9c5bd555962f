package fsm

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"laurel/score"
	"laurel/score/ranking"
)

// boards keep the marks of ranked contests in memory, in order, for reading alone: what is applied or refused never depends on them. A board, which
// is one split of one contest, is made from the database when it is first asked for, and from then on each Apply brings it up to date. When there are
// more rows than boardRows, those go that nobody has asked for longest.
//
// Machine.applying may be held when mu is taken, not the other way round.
type boards struct {
	mu        sync.RWMutex
	ranked    map[string]*ranked // by contest id; each has a board at least, made or being made
	rows      int                // of all boards, about
	most      int                // rows: boardRows, but in tests
	shut      error              // why nothing is answered now; nil if it is
	questions atomic.Uint64      // tells which board was asked for last
	making    chan struct{}      // has as many values as boards are being made
}

const (
	// boardRows is how many rows are kept in memory. A row takes about 130 bytes (BenchmarkMemory in score/ranking).
	boardRows = 4_000_000
	// boardCost is what a board without rows counts as.
	boardCost = 64
)

// ranked is what is kept of a ranked contest.
type ranked struct {
	id       string
	least    bool // is best
	splits   []string
	shown    string
	entrants map[string]score.Entrant
	revision uint64
	boards   map[string]*board // by split
}

// board is the marks at one split.
type board struct {
	contest *ranked
	split   string
	marks   *ranking.Board // nil while it is being made
	counted int            // what it is counted as in boards.rows
	asked   atomic.Uint64
	made    *building // how it is being made; nil when it is there
}

func newBoards() *boards {
	return &boards{most: boardRows, ranked: map[string]*ranked{}, making: make(chan struct{}, boardsMade)}
}

// Board answers q from the board of a ranked contest, with at least everything that Revision told before. It tells the revision of the last event
// that changed the contest, also beside a *score.Problem; nothing that it answers is newer. A board that is not in memory it waits for. Errors that
// are no *score.Problem are the machine's own, or the cause of ctx's end.
func (m *Machine) Board(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Page, revision uint64, err error) {
	for {
		a := m.boards.ask(contestID, q)
		if a.err == errNotKept {
			a = m.keepBoard(contestID, q.Split)
		}
		if a.wait == nil {
			return a.page, a.revision, a.err
		}
		select {
		case <-a.wait.done:
			if a.wait.err != nil {
				return p, 0, a.wait.err
			}
		case <-ctx.Done():
			return p, 0, context.Cause(ctx)
		}
	}
}

// BoardNow is Board where that need not wait. False: ask Board, which has the page, or what is wrong.
func (m *Machine) BoardNow(contestID string, q *ranking.Query) (p ranking.Page, revision uint64, ok bool) {
	a := m.boards.ask(contestID, q)
	return a.page, a.revision, a.err == nil && a.wait == nil
}

// boardAnswer is what comes of a question: a page, an error, or what to wait for.
type boardAnswer struct {
	page     ranking.Page
	revision uint64
	err      error
	wait     *building
}

var errNotKept = errors.New("the board is not in memory")

func (b *boards) ask(contestID string, q *ranking.Query) (a boardAnswer) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.shut != nil {
		a.err = b.shut
		return a
	}
	c := b.ranked[contestID]
	if c == nil {
		a.err = errNotKept
		return a
	}
	a.revision = c.revision
	split, p := c.split(q.Split)
	if p != nil {
		a.err = p
		return a
	}
	switch one := c.boards[split]; {
	case one == nil:
		a.err = errNotKept
	case one.marks == nil:
		a.wait = one.made
	default:
		one.asked.Store(b.questions.Add(1))
		var p *score.Problem
		if a.page, p = c.page(one, q); p != nil {
			a.err = p
		}
	}
	return a
}

// split is the one that is asked for; "" asks for the one that the contest shows.
func (c *ranked) split(asked string) (string, *score.Problem) {
	if asked == "" {
		return cmp.Or(c.shown, c.splits[len(c.splits)-1]), nil
	}
	for _, s := range c.splits {
		if s == asked {
			return s, nil
		}
	}
	p := score.Problemf(score.InvalidEvent, "the contest %q has no split %q; want one of %s", c.id, clip(asked), strings.Join(c.splits, ", "))
	p.Field = "split"
	return "", p
}

func (c *ranked) page(of *board, q *ranking.Query) (ranking.Page, *score.Problem) {
	p, ok := of.marks.Page(q)
	if !ok {
		within := ""
		if q.Category != "" {
			within = " in the category " + clip(q.Category)
		}
		return p, score.Problemf(score.NotFound, "%q has no mark at %s of the contest %q%s", clip(q.Around), of.split, c.id, within)
	}
	p.ContestID, p.Split = c.id, of.split
	if len(c.entrants) == 0 {
		return p, nil
	}
	for i := range p.Rows {
		row := &p.Rows[i]
		if e, listed := c.entrants[row.Competitor]; listed {
			row.Name, row.Organisation = e.Name, cmp.Or(e.Organisation, row.Organisation)
		}
	}
	return p, nil
}

// clip keeps what a caller said short in what is said back.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// describe brings what is known of the contest itself up to date.
func (c *ranked) describe(of *score.Contest, anew bool) {
	c.shown, c.revision = of.Split, of.Revision
	if !anew {
		return
	}
	c.least, c.splits = of.Definition.LowerIsBetter(), of.Definition.AllSplits()
	c.entrants = nil
	if len(of.Competitors) > 0 {
		c.entrants = make(map[string]score.Entrant, len(of.Competitors))
	}
	for i := range of.Competitors {
		c.entrants[of.Competitors[i].Code] = of.Competitors[i].Entrant
	}
}
