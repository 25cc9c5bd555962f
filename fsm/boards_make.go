package fsm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/score"
	"laurel/score/ranking"
)

// building is a board being made. The marks are read in a transaction for reading, so that Apply can go on; what changes meanwhile is gathered, and
// put in when the marks are read. It begins to be gathered before that transaction begins, so what is gathered and read twice comes to the same.
type building struct {
	done     chan struct{}          // closed when it is made, or is not going to be; ask again then
	err      error                  // why it is not
	dropped  atomic.Bool            // nobody wants it any more
	reserved int                    // rows that it may have
	gathered map[string]*score.Mark // by competitor; nil for one that was taken away
}

// boardsMade is how many boards are made at once. Others wait for their turn.
const boardsMade = 2

var errDropped = errors.New("the board is not wanted any more")

// keepBoard begins to make the board that is not in memory, if it can be.
func (m *Machine) keepBoard(contestID, split string) (a boardAnswer) {
	m.applying.Lock()
	defer m.applying.Unlock()
	c, err := m.contestNow(contestID)
	switch {
	case err != nil:
		a.err = err
		return a
	case c == nil:
		a.revision, a.err = m.revision.Load(), score.Problemf(score.NotFound, "the contest %q is not defined", clip(contestID))
		return a
	case c.Definition.Kind != score.Ranked:
		a.revision = c.Revision
		a.err = score.Problemf(score.NotFound, "the contest %q is %s and has no leaderboard; GET /v1/scores/%s has its score", contestID, c.Definition.Kind, contestID)
		return a
	}
	b := m.boards
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut != nil {
		a.err = b.shut
		return a
	}
	r := b.ranked[contestID]
	if r == nil {
		r = &ranked{id: contestID, boards: map[string]*board{}}
		r.describe(c, true)
	}
	name, p := r.split(split)
	if p != nil {
		a.revision, a.err = r.revision, p
		return a
	}
	one := r.boards[name]
	if one == nil {
		one = &board{contest: r, split: name, made: &building{done: make(chan struct{})}}
		r.boards[name], b.ranked[contestID] = one, r
		b.count(one, 0)
		go m.makeBoard(one, one.made)
	}
	if a.wait = one.made; a.wait == nil {
		a.wait = &building{done: closed} // somebody else has made it meanwhile
	}
	return a
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// contestNow is the contest as of everything applied; nil if there is none. m.applying must be held.
func (m *Machine) contestNow(id string) (c *score.Contest, err error) {
	if m.failed != nil {
		return nil, m.failed
	}
	if c := m.memory.contests[id]; c != nil || m.open != nil && m.open.contests[id] {
		return c, nil
	}
	find := func(tx *bolt.Tx) error {
		c = new(score.Contest)
		ok, err := read(tx, contestBucket, []byte(id), c)
		if !ok {
			c = nil
		}
		return err
	}
	if m.open != nil {
		return c, find(m.open.tx)
	}
	return c, m.db.View(find)
}

func (m *Machine) makeBoard(one *board, how *building) {
	m.boards.making <- struct{}{}
	defer func() { <-m.boards.making }()
	marks, err := m.readMarks(one, how)
	if marks != nil && marks.Len() > largeBoard {
		m.unload()
	}
	m.boards.finish(one, how, marks, err)
}

// largeBoard is one for which so much of the database was read that the process should let go of it.
const largeBoard = 10_000

func (m *Machine) unload() {
	m.mu.RLock()
	defer m.mu.RUnlock()
	unload(m.db)
}

// gather begins to gather what changes. The direction cannot change any more without the board's being dropped.
func (b *boards) gather(one *board, how *building) (least bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	how.gathered = map[string]*score.Mark{}
	return one.contest.least
}

func (m *Machine) readMarks(one *board, how *building) (*ranking.Board, error) {
	least := m.boards.gather(one, how)
	tx, err := m.read()
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	p := prefix(one.contest.id, one.split)
	total, err := get(tx.Bucket(splitBucket), p[:len(p)-1])
	if err != nil {
		return nil, err
	}
	n := 0
	if len(total) == 8 {
		n = int(binary.BigEndian.Uint64(total))
		if err := m.boards.reserve(one, n); err != nil {
			return nil, err
		}
	}
	marks := ranking.NewBuilder(least, n)
	c := tx.Bucket(markBucket).Cursor()
	for k, sealed := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, sealed = c.Next() {
		if how.dropped.Load() {
			return nil, errDropped
		}
		v, err := unseal(k, sealed)
		if err != nil {
			return nil, err
		}
		var mark score.Mark
		if err := json.Unmarshal(v, &mark); err != nil {
			return nil, err
		}
		marks.Add(mark)
	}
	return marks.Board(), nil
}

// finish puts a board that was made into its place.
func (b *boards) finish(one *board, how *building, marks *ranking.Board, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if how.dropped.Load() {
		return
	}
	if err != nil {
		how.err = err
		b.drop(one)
		return
	}
	for competitor, mark := range how.gathered {
		if mark == nil {
			marks.Remove(competitor)
		} else {
			marks.Set(*mark)
		}
	}
	one.marks, one.made = marks, nil
	one.asked.Store(b.questions.Add(1))
	b.count(one, marks.Len())
	close(how.done)
	b.bound(one)
}

// count counts a board as having a number of rows.
func (b *boards) count(one *board, rows int) {
	cost := boardCost + len(one.contest.entrants) + rows
	b.rows += cost - one.counted
	one.counted = cost
}

// reserve makes room for the rows of a board that is being made.
func (b *boards) reserve(one *board, rows int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rows > b.most {
		return score.Problemf(score.TooLarge, "%d have a mark at %s of the contest %q; a frontend keeps boards of at most %d", rows, one.split, one.contest.id, b.most)
	}
	if one.made.dropped.Load() {
		return errDropped
	}
	one.made.reserved = rows
	b.count(one, rows)
	if b.bound(one); b.rows > b.most {
		return score.Problemf(score.NotReady, "too many boards are being made at once; ask again")
	}
	return nil
}

// bound drops boards when there are too many rows, those nobody has asked for longest first, and a few more than it must: to find them is dear where
// they are small. Those being made stay, and so does keep.
func (b *boards) bound(keep *board) {
	if b.rows <= b.most {
		return
	}
	var list []*board
	for _, c := range b.ranked {
		for _, one := range c.boards {
			if one.made == nil && one != keep {
				list = append(list, one)
			}
		}
	}
	slices.SortFunc(list, func(a, b *board) int { return cmp.Compare(a.asked.Load(), b.asked.Load()) })
	for _, one := range list {
		if b.drop(one); b.rows <= b.most-b.most/16 {
			return
		}
	}
}

// drop forgets a board. Whoever waits for it asks again.
func (b *boards) drop(one *board) {
	c := one.contest
	if delete(c.boards, one.split); len(c.boards) == 0 {
		delete(b.ranked, c.id)
	}
	b.rows -= one.counted
	if how := one.made; how != nil {
		how.dropped.Store(true)
		close(how.done)
	}
}

func (b *boards) dropContest(c *ranked) {
	for _, one := range c.boards {
		b.drop(one)
	}
}

// close forgets all boards. Until open is called, whoever asks is told why.
func (b *boards) close(because error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = because
	for _, c := range b.ranked {
		b.dropContest(c)
	}
}

func (b *boards) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = nil
}
