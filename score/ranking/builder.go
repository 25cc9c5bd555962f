package ranking

import (
	"cmp"
	"slices"
	"strings"
)

// Builder builds a board from many marks in a fraction of the time that setting each mark
// takes.
type Builder struct {
	board   *Board
	entries []entry
	text    strings.Builder // the texts of rows
}

// textChunk is the size of the memory that holds texts together.
const textChunk = 16 << 10

// NewBuilder returns a Builder for about n marks.
func NewBuilder(direction Direction, n int) *Builder {
	b := &Builder{board: New(direction), entries: make([]entry, 0, n)}
	b.board.rows = make([]row, 0, n)
	b.board.codes.grow(nil, n)
	return b
}

// Add adds a mark. If a competitor has two, the first counts.
func (b *Builder) Add(m Mark) {
	if _, ok := b.board.codes.number(b.board.rows, m.Competitor); ok {
		return
	}
	number := b.board.addRow(b.clone(rowText(m.Competitor, m.Name)), &m)
	b.entries = append(b.entries, newEntry(b.board.order(number).First, number))
}

// clone copies a text into memory shared with others. Strings of a strings.Builder stay
// valid when more is written to it.
func (b *Builder) clone(text string) string {
	if b.text.Cap()-b.text.Len() < len(text) {
		b.text = strings.Builder{}
		b.text.Grow(max(textChunk, len(text)))
	}
	from := b.text.Len()
	b.text.WriteString(text)
	return b.text.String()[from:]
}

// Board returns the board. The Builder cannot be used afterwards.
func (b *Builder) Board() *Board {
	board := b.board
	slices.SortFunc(b.entries, func(x, y entry) int {
		if c := cmp.Compare(x.first(), y.first()); c != 0 {
			return c
		}
		return cmp.Or(board.order(x.number).Compare(board.order(y.number)),
			strings.Compare(board.rows[x.number].competitor(), board.rows[y.number].competitor()))
	})
	board.all = buildTree(b.entries)
	categories := map[string][]entry{}
	for _, e := range b.entries {
		for name := range board.traitsOf(e.number).categories.All() {
			categories[name] = append(categories[name], e)
		}
	}
	for category, entries := range categories {
		board.categories[category] = buildTree(entries)
		board.inTrees += len(entries)
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
