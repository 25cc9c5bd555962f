package ranking

import (
	"slices"
	"strings"

	"laurel/score"
)

// Filler makes a board of many marks at once, in a fraction of the time that setting each takes.
type Filler struct {
	board  *Board
	places []place
}

// NewFiller begins a board of about n marks. The direction tells which end is best.
func NewFiller(leastIsBest bool, n int) *Filler {
	f := &Filler{New(leastIsBest), make([]place, 0, n)}
	f.board.rows = make(map[string]*row, n)
	return f
}

// Add adds a mark. Of two of one competitor the first counts.
func (f *Filler) Add(m score.Mark) {
	if f.board.rows[m.Competitor] != nil {
		return
	}
	r := f.board.row(m)
	f.board.rows[r.competitor] = r
	f.places = append(f.places, f.board.place(r))
}

// Board is the board of all that was added. The Filler is of no use any more.
func (f *Filler) Board() *Board {
	b := f.board
	slices.SortFunc(f.places, compare)
	b.all = filled(compare, f.places)
	of := map[string][]place{}
	for _, p := range f.places {
		if p.category != "" {
			of[p.category] = append(of[p.category], p)
		}
	}
	for category, places := range of {
		b.categories[category] = filled(compare, places)
	}
	return b
}

func (b *Board) row(m score.Mark) *row {
	r := &row{strings.Clone(m.Competitor), m.Value, b.trait(m)}
	if m.IRM != "" {
		r.value = 0
	}
	return r
}

// filled is the order of items that are in order. Its nodes have room to spare, so that the next insertions do not divide them.
func filled[T any](compare func(a, b T) int, items []T) *order[T] {
	const full = most * 3 / 4
	o := newOrder(compare)
	var level []*node[T]
	for part := range slices.Chunk(items, full) {
		level = append(level, &node[T]{items: slices.Clone(part)})
	}
	for len(level) > 1 {
		var above []*node[T]
		for children := range slices.Chunk(level, full) {
			n := &node[T]{children: slices.Clone(children)}
			for _, c := range children {
				n.items, n.counts = append(n.items, c.items[0]), append(n.counts, c.count())
			}
			above = append(above, n)
		}
		level = above
	}
	if len(level) == 1 {
		o.root = level[0]
	}
	return o
}
