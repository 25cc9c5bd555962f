package ranking

import (
	"slices"
	"strings"

	"laurel/score"
)

// Builder builds a board from many marks in a fraction of the time that setting each mark
// takes.
type Builder struct {
	board   *Board
	entries []entry
	text    strings.Builder // competitors' codes
}

// textChunk is the size of the memory that holds codes together.
const textChunk = 16 << 10

// NewBuilder returns a Builder for about n marks.
func NewBuilder(lowerIsBetter bool, n int) *Builder {
	b := &Builder{board: New(lowerIsBetter), entries: make([]entry, 0, n)}
	b.board.numbers = make(map[string]uint32, n)
	return b
}

// Add adds a mark. If a competitor has two, the first counts.
func (b *Builder) Add(m score.Mark) {
	if _, ok := b.board.numbers[m.Competitor]; ok {
		return
	}
	b.entries = append(b.entries, b.board.entry(b.board.addRow(b.clone(m.Competitor), m)))
}

// clone copies a code into memory shared with others. Strings of a strings.Builder stay
// valid when more is written to it.
func (b *Builder) clone(code string) string {
	if b.text.Cap()-b.text.Len() < len(code) {
		b.text = strings.Builder{}
		b.text.Grow(max(textChunk, len(code)))
	}
	from := b.text.Len()
	b.text.WriteString(code)
	return b.text.String()[from:]
}

// Board returns the board. The Builder cannot be used afterwards.
func (b *Builder) Board() *Board {
	board := b.board
	slices.SortFunc(b.entries, func(x, y entry) int {
		return board.compare(x, y.key, board.row(y.number).competitor)
	})
	board.all = buildTree(b.entries)
	categories := map[string][]entry{}
	for _, e := range b.entries {
		if category := board.rowTraits(e.number).category; category != "" {
			categories[category] = append(categories[category], e)
		}
	}
	for category, entries := range categories {
		board.categories[category] = buildTree(entries)
	}
	return board
}

// buildTree returns a tree of items that are in order. Its nodes are not full, so that
// the next insertions do not split them.
func buildTree[T any](items []T) *tree[T] {
	const fill = maxItems * 3 / 4
	t := newTree[T]()
	var level []*node[T]
	for part := range slices.Chunk(items, fill) {
		level = append(level, &node[T]{items: slices.Clone(part)})
	}
	for len(level) > 1 {
		var above []*node[T]
		for children := range slices.Chunk(level, fill) {
			n := &node[T]{children: slices.Clone(children)}
			for _, c := range children {
				n.items, n.counts = append(n.items, c.items[0]), append(n.counts, c.count())
			}
			above = append(above, n)
		}
		level = above
	}
	if len(level) == 1 {
		t.root = level[0]
	}
	return t
}
