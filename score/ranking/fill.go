package ranking

import (
	"slices"
	"strings"

	"laurel/score"
)

// Builder makes a board of many marks at once, in a fraction of the time that setting each takes.
type Builder struct {
	board  *Board
	places []place
	text   strings.Builder // of competitors' codes
}

// textChunk is how many bytes of codes are kept in one piece of memory.
const textChunk = 16 << 10

// NewBuilder begins a board of about n marks. The direction tells which end is best.
func NewBuilder(lowerIsBetter bool, n int) *Builder {
	f := &Builder{board: New(lowerIsBetter), places: make([]place, 0, n)}
	f.board.numbers = make(map[string]uint32, n)
	return f
}

// Add adds a mark. Of two of one competitor the first counts.
func (f *Builder) Add(m score.Mark) {
	if _, there := f.board.numbers[m.Competitor]; there {
		return
	}
	f.places = append(f.places, f.board.place(f.board.add(f.keep(m.Competitor), m)))
}

// keep copies a code to where many are. What a strings.Builder has given does not change when more is written.
func (f *Builder) keep(code string) string {
	if f.text.Cap()-f.text.Len() < len(code) {
		f.text = strings.Builder{}
		f.text.Grow(max(textChunk, len(code)))
	}
	from := f.text.Len()
	f.text.WriteString(code)
	return f.text.String()[from:]
}

// Board is the board of all that was added. The Builder is of no use any more.
func (f *Builder) Board() *Board {
	b := f.board
	slices.SortFunc(f.places, func(x, y place) int { return b.side(x, y.key, b.row(y.number).competitor) })
	b.all = filled(f.places)
	of := map[string][]place{}
	for _, p := range f.places {
		if category := b.traitOf(p.number).category; category != "" {
			of[category] = append(of[category], p)
		}
	}
	for category, places := range of {
		b.categories[category] = filled(places)
	}
	return b
}

// filled is the order of items that are in order. Its nodes have room to spare, so that the next insertions do not divide them.
func filled[T any](items []T) *order[T] {
	const full = most * 3 / 4
	o := newOrder[T]()
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
