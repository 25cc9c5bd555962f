package ranking

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unique"

	"laurel/score"
)

// Board is the marks at one split, ranked, and ranked again within each category. A mark
// takes about 130 bytes with its strings (BenchmarkMemory).
//
// A board may have a million marks, in a process that allocates much. So rows are in one
// slice and refer to each other by numbers: the garbage collector does not scan memory
// without pointers.
type Board struct {
	lowerIsBetter bool
	numbers       map[string]uint32 // of rows, by competitor
	rows          []row
	free          []uint32 // rows to use again
	all           *tree[entry]
	categories    map[string]*tree[entry]
}

type row struct {
	competitor string
	name       string // "" if no competitor.define gives one
	value      score.Decimal
	traits     unique.Handle[traits]
}

// traits is what many marks have in common.
type traits struct{ irm, category, organisation string }

// entry is a row in a tree. The key is stored beside the row's number, because a search
// compares many entries and a million rows do not fit into the processor's caches.
type entry struct {
	key    score.Decimal // lower is better
	number uint32
}

// irmKey is the key of all rows with an IRM, which come after those with a value.
const irmKey = score.MaxDecimal + 1

// New returns an empty board.
func New(lowerIsBetter bool) *Board {
	return &Board{
		lowerIsBetter: lowerIsBetter,
		numbers:       map[string]uint32{},
		all:           newTree[entry](),
		categories:    map[string]*tree[entry]{},
	}
}

func (b *Board) traits(number uint32) traits { return b.rows[number].traits.Value() }

func (b *Board) key(value score.Decimal, irm bool) score.Decimal {
	switch {
	case irm:
		return irmKey
	case b.lowerIsBetter:
		return value
	}
	return -value
}

func (b *Board) entry(number uint32) entry {
	r := b.rows[number]
	return entry{b.key(r.value, r.traits.Value().irm != ""), number}
}

// compare compares an entry with a key and a competitor. The competitor's code makes the
// order total.
func (b *Board) compare(e entry, key score.Decimal, competitor string) int {
	if c := cmp.Compare(e.key, key); c != 0 {
		return c
	}
	return strings.Compare(b.rows[e.number].competitor, competitor)
}

func (b *Board) position(key score.Decimal, competitor string) func(entry) int {
	return func(e entry) int { return b.compare(e, key, competitor) }
}

// Len returns the number of marks.
func (b *Board) Len() int { return len(b.numbers) }

// Set sets the competitor's mark.
func (b *Board) Set(m score.Mark) {
	number, ok := b.numbers[m.Competitor]
	if ok {
		b.removeFromTrees(number)
		fill(&b.rows[number], m)
	} else {
		number = b.addRow(strings.Clone(m.Competitor), m)
	}
	e := b.entry(number)
	position := b.position(e.key, m.Competitor)
	b.all.insert(position, e)
	if m.Category == "" {
		return
	}
	category := b.categories[m.Category]
	if category == nil {
		category = newTree[entry]()
		b.categories[b.traits(number).category] = category
	}
	category.insert(position, e)
}

// addRow adds a row for a competitor that has none. It does not add it to the trees.
func (b *Board) addRow(competitor string, m score.Mark) (number uint32) {
	if n := len(b.free); n > 0 {
		number, b.free = b.free[n-1], b.free[:n-1]
	} else {
		number = uint32(len(b.rows))
		b.rows = append(b.rows, row{})
	}
	r := &b.rows[number]
	r.competitor = competitor
	fill(r, m)
	b.numbers[competitor] = number
	return number
}

func fill(r *row, m score.Mark) {
	r.name, r.value, r.traits = m.Name, m.Value, unique.Make(traits{m.IRM, m.Category, m.Organisation})
	if m.IRM != "" {
		r.value = 0
	}
}

func (b *Board) removeFromTrees(number uint32) {
	position := b.position(b.entry(number).key, b.rows[number].competitor)
	b.all.remove(position)
	name := b.traits(number).category
	if category := b.categories[name]; category != nil {
		if category.remove(position); category.len() == 0 {
			delete(b.categories, name)
		}
	}
}

// Remove removes a competitor's mark. It reports whether there was one.
func (b *Board) Remove(competitor string) bool {
	number, ok := b.numbers[competitor]
	if !ok {
		return false
	}
	b.removeFromTrees(number)
	delete(b.numbers, competitor)
	b.rows[number] = row{}
	b.free = append(b.free, number)
	if len(b.numbers) == 0 {
		b.rows, b.free = nil, nil
	}
	return true
}

// Page returns the page that q asks for, without the contest and the names of
// competitors. ok is false if q.Around has no mark, or none in the category.
func (b *Board) Page(q *Query) (p score.Leaderboard, ok bool) {
	t := b.all
	if q.Category != "" {
		if t = b.categories[q.Category]; t == nil {
			t = newTree[entry]()
		}
	}
	first, total := 0, t.len()
	switch {
	case q.Around != "":
		number, ok := b.numbers[q.Around]
		if !ok || q.Category != "" && b.traits(number).category != q.Category {
			return p, false
		}
		index := t.index(b.position(b.entry(number).key, q.Around))
		first = max(0, min(index-(q.Limit-1)/2, total-q.Limit))
	case q.After.given:
		after := b.position(b.key(q.After.value, q.After.irm), q.After.competitor)
		if first = t.index(after); first < total && after(t.at(first)) == 0 {
			first++
		}
	}
	p = score.Leaderboard{Split: q.Split, Category: q.Category, Total: total}
	p.Rows = b.list(t, first, min(q.Limit, total-first))
	if n := len(p.Rows); n > 0 && first+n < total {
		p.Next = cursorOf(&p.Rows[n-1]).String()
	}
	return p, true
}

// list returns n rows of a tree from index first on. It also looks at the rows before and
// after them, which may be equal to the first and the last.
func (b *Board) list(t *tree[entry], first, n int) []score.LeaderboardRow {
	if n <= 0 {
		return []score.LeaderboardRow{}
	}
	best := b.rows[t.at(0).number].value
	list := make([]score.LeaderboardRow, 0, n)
	decimals := make([]score.Decimal, 2*n) // of all rows, in one allocation
	i := max(first-1, 0)
	above := entry{key: irmKey}
	rank := 0
	t.root.walk(i, func(e entry) bool {
		equal := e.key == above.key && e.key != irmKey
		if equal && len(list) > 0 {
			list[len(list)-1].RankEqual = true
		}
		if len(list) == n {
			return false
		}
		if i >= first {
			mark, traits := b.rows[e.number], b.traits(e.number)
			r := score.LeaderboardRow{
				Competitor:   mark.competitor,
				Name:         mark.name,
				IRM:          traits.irm,
				Category:     traits.category,
				Organisation: traits.organisation,
			}
			if e.key != irmKey {
				switch {
				case !equal:
					rank = i + 1
				case len(list) == 0:
					// The empty code comes before all others.
					rank = t.index(b.position(e.key, "")) + 1
				}
				r.Rank, r.RankEqual = rank, equal
				r.Mark, r.Diff = &decimals[2*len(list)], &decimals[2*len(list)+1]
				*r.Mark, *r.Diff = mark.value, max(mark.value-best, best-mark.value)
			}
			list = append(list, r)
		}
		i, above = i+1, e
		return true
	})
	return list
}

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
	b.board.numbers, b.board.rows = make(map[string]uint32, n), make([]row, 0, n)
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
		return board.compare(x, y.key, board.rows[y.number].competitor)
	})
	board.all = buildTree(b.entries)
	categories := map[string][]entry{}
	for _, e := range b.entries {
		if category := board.traits(e.number).category; category != "" {
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

// Query selects a page of a board.
type Query struct {
	Split    string // "" for the contest's current split
	Category string // "" for all
	Limit    int    // rows, at least 1
	After    Cursor // the row before the page
	Around   string // the competitor in the middle of the page; takes precedence over After
}

// Cursor is a position on a board. The row that was there may have been removed since.
// The zero Cursor means "none".
type Cursor struct {
	competitor string
	value      score.Decimal
	irm, given bool
}

var errCursor = errors.New("want the value of next in an answer")

// ParseCursor parses the result of String: the mark, a comma, and the competitor's code.
// A position with an IRM has no mark. The empty string is the zero Cursor.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	mark, competitor, ok := strings.Cut(s, ",")
	if !ok {
		return c, errCursor
	}
	c = Cursor{competitor: competitor, irm: mark == "", given: true}
	if !c.irm {
		if c.value, err = score.ParseDecimal(mark); err != nil {
			return Cursor{}, errCursor
		}
	}
	return c, nil
}

func (c Cursor) String() string {
	switch {
	case !c.given:
		return ""
	case c.irm:
		return "," + c.competitor
	}
	return c.value.String() + "," + c.competitor
}

func cursorOf(r *score.LeaderboardRow) Cursor {
	c := Cursor{competitor: r.Competitor, irm: r.Mark == nil, given: true}
	if r.Mark != nil {
		c.value = *r.Mark
	}
	return c
}
