package ranking

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"laurel/score/mark"
)

// Board is the marks at one split, ranked, and ranked again within each category. A mark
// takes about 60 bytes with its code, and at most 130 with a name, two categories and a
// second mark (BenchmarkMemory).
//
// A board may have a million marks, in a process that allocates much. So rows are in one
// slice and refer to each other by numbers: the garbage collector does not scan memory
// without pointers.
type Board struct {
	direction     Direction
	codes         codes
	rows          []row
	marks2        []mark.Decimal // of rows, by number; it ends with the last that is not noMark2
	places        []int32        // of rows, by number; it ends with the last that is not zero
	free          []uint32       // rows to use again
	organisations shared[string]
	traits        shared[traits]
	unplaced      []mark.Decimal // First of the orders of marks with the traits; 0 if they have a rank
	all           *tree[entry]
	categories    map[string]*tree[entry]
	inTrees       int                      // entries in the trees of all categories
	names         atomic.Pointer[[]string] // of the categories; nil if they have changed
}

// row is a mark without its second mark and place.
type row struct {
	text         string // the competitor's code and, behind a zero byte, its name if it has one
	value        mark.Decimal
	organisation uint32 // in Board.organisations
	traits       uint32 // in Board.traits
}

// traits is what many marks have in common. With the organisation it would be different
// for nearly every mark of a race with many clubs and age groups.
type traits struct {
	irm, out   string
	categories Categories
	reached    int
}

// noMark2 stands for no second mark.
const noMark2 = mark.MaxDecimal + 1

// nameMark is between a code and a name: no code has it.
const nameMark = "\x00"

func rowText(code, name string) string {
	if name == "" {
		return code
	}
	return code + nameMark + name
}

func (r *row) competitor() string {
	code, _, _ := strings.Cut(r.text, nameMark)
	return code
}

func (r *row) hasCode(code string) bool {
	n := len(code)
	return len(r.text) >= n && r.text[:n] == code && (len(r.text) == n || r.text[n:n+1] == nameMark)
}

func (r *row) name() string {
	_, name, _ := strings.Cut(r.text, nameMark)
	return name
}

// entry is a row in a tree. The first member of the row's order is stored beside its
// number, because a search compares many entries and a million rows do not fit into the
// processor's caches. It is in two halves: with a number of 8 bytes an entry would take 16.
type entry struct {
	high   int32
	low    uint32
	number uint32
}

func newEntry(first mark.Decimal, number uint32) entry {
	return entry{int32(first >> 32), uint32(first), number}
}

func (e entry) first() mark.Decimal { return mark.Decimal(e.high)<<32 | mark.Decimal(e.low) }

// New returns an empty board.
func New(direction Direction) *Board {
	return &Board{
		direction:  direction,
		all:        newTree[entry](),
		categories: map[string]*tree[entry]{},
	}
}

func (b *Board) traitsOf(number uint32) *traits { return &b.traits.values[b.rows[number].traits] }

func (b *Board) mark2(number uint32) mark.Decimal {
	if int(number) < len(b.marks2) {
		return b.marks2[number]
	}
	return noMark2
}

func (b *Board) place(number uint32) int32 {
	if int(number) < len(b.places) {
		return b.places[number]
	}
	return 0
}

// order returns the order of a row.
func (b *Board) order(number uint32) Order {
	r := &b.rows[number]
	if first := b.unplaced[r.traits]; first != 0 {
		return Order{first, noSecond, noThird}
	}
	return b.direction.placed(r.value, b.mark2(number), int(b.place(number)))
}

// position returns how to find the row of a competitor with an order. The competitor's
// code makes the order of rows total.
func (b *Board) position(order Order, competitor string) func(entry) int {
	return func(e entry) int {
		if c := cmp.Compare(e.first(), order.First); c != 0 {
			return c
		}
		if c := b.order(e.number).Compare(order); c != 0 {
			return c
		}
		return strings.Compare(b.rows[e.number].competitor(), competitor)
	}
}

// of returns how to find a row.
func (b *Board) of(number uint32) func(entry) int {
	return b.position(b.order(number), b.rows[number].competitor())
}

// Len returns the number of marks.
func (b *Board) Len() int { return b.codes.used }

// Size returns the number of rows, in which those that are in many categories count as
// more.
func (b *Board) Size() int {
	const entriesPerRow = 8
	return b.Len() + max(0, b.inTrees-b.Len())/entriesPerRow
}

// maxNames is the number of categories that a page lists. If there are more, it lists
// none.
const maxNames = 256

// categoryNames returns the categories of all rows, sorted.
func (b *Board) categoryNames() []string {
	if names := b.names.Load(); names != nil {
		return *names
	}
	var names []string
	if len(b.categories) <= maxNames {
		names = slices.Sorted(maps.Keys(b.categories))
	}
	b.names.Store(&names)
	return names
}

// Set sets the competitor's mark.
func (b *Board) Set(m Mark) {
	number, ok := b.codes.number(b.rows, m.Competitor)
	if ok {
		b.removeFromTrees(number)
		b.clear(number)
		b.fill(number, &m)
	} else {
		number = b.addRow(strings.Clone(rowText(m.Competitor, m.Name)), &m)
	}
	e := newEntry(b.order(number).First, number)
	position := b.of(number)
	b.all.insert(position, e)
	for name := range b.traitsOf(number).categories.All() {
		category := b.categories[name]
		if category == nil {
			category = newTree[entry]()
			b.categories[name] = category
			b.names.Store(nil)
		}
		category.insert(position, e)
		b.inTrees++
	}
}

// addRow adds a row for a competitor that has none. It does not add it to the trees.
func (b *Board) addRow(text string, m *Mark) (number uint32) {
	if n := len(b.free); n > 0 {
		number, b.free = b.free[n-1], b.free[:n-1]
	} else {
		number = uint32(len(b.rows))
		b.rows = append(b.rows, row{})
	}
	b.rows[number].text = text
	b.fill(number, m)
	b.codes.add(b.rows, number)
	return number
}

// fill sets a row, whose text has the competitor already and which has nothing else.
func (b *Board) fill(number uint32, m *Mark) {
	r := &b.rows[number]
	if r.name() != m.Name {
		r.text = rowText(r.competitor(), m.Name)
	}
	r.value, r.organisation = m.Value, b.organisations.take(m.Organisation)
	r.traits = b.traits.take(traits{irm: m.IRM, out: m.Out, categories: m.Categories, reached: m.Reached})
	if n := int(r.traits); n == len(b.unplaced) {
		b.unplaced = append(b.unplaced, 0)
	}
	b.unplaced[r.traits] = 0
	if m.Unplaced() != "" {
		b.unplaced[r.traits] = b.direction.Order(m).First
	}
	mark2 := mark.Decimal(noMark2)
	if m.Mark2 != nil {
		mark2 = *m.Mark2
	}
	b.marks2 = setSparse(b.marks2, number, mark2, noMark2, cap(b.rows))
	b.places = setSparse(b.places, number, int32(m.Place), 0, cap(b.rows))
}

// clear takes what a row shares with others from it.
func (b *Board) clear(number uint32) {
	b.organisations.leave(b.rows[number].organisation)
	b.traits.leave(b.rows[number].traits)
}

// setSparse sets an item of a list that ends with the last that is not none. If it has to
// grow, it has room for as many items as there are rows.
func setSparse[T comparable](list []T, number uint32, v, none T, rows int) []T {
	if int(number) >= len(list) {
		if v == none {
			return list
		}
		list = slices.Grow(list, rows-len(list))
		for int(number) >= len(list) {
			list = append(list, none)
		}
	}
	list[number] = v
	return list
}

func (b *Board) removeFromTrees(number uint32) {
	position := b.of(number)
	b.all.remove(position)
	for name := range b.traitsOf(number).categories.All() {
		category := b.categories[name]
		b.inTrees--
		if category.remove(position); category.len() == 0 {
			delete(b.categories, name)
			b.names.Store(nil)
		}
	}
}

// Remove removes a competitor's mark. It reports whether there was one.
func (b *Board) Remove(competitor string) bool {
	number, ok := b.codes.number(b.rows, competitor)
	if !ok {
		return false
	}
	b.removeFromTrees(number)
	b.codes.remove(b.rows, number)
	b.clear(number)
	b.rows[number] = row{}
	b.free = append(b.free, number)
	if b.Len() == 0 {
		b.codes, b.rows, b.marks2, b.places, b.free = codes{}, nil, nil, nil, nil
	}
	return true
}

// Page returns the page that q asks for, without the contest and the names of
// competitors. ok is false if q.Around has no mark, or none in the category.
func (b *Board) Page(q *Query) (p Leaderboard, ok bool) {
	t := b.all
	if q.Category != "" {
		if t = b.categories[q.Category]; t == nil {
			t = newTree[entry]()
		}
	}
	first, total := 0, t.len()
	switch {
	case q.Around != "":
		number, ok := b.codes.number(b.rows, q.Around)
		if !ok || q.Category != "" && !b.traitsOf(number).categories.Has(q.Category) {
			return p, false
		}
		index := t.index(b.of(number))
		first = max(0, min(index-(q.Limit-1)/2, total-q.Limit))
	case q.After.given:
		after := b.position(q.After.order, q.After.competitor)
		if first = t.index(after); first < total && after(t.at(first)) == 0 {
			first++
		}
	}
	p = Leaderboard{Split: q.Split, Category: q.Category, Total: total, Categories: b.categoryNames()}
	p.Rows = b.list(t, first, min(q.Limit, total-first))
	if n := len(p.Rows); n > 0 && first+n < total {
		last := t.at(first + n - 1).number
		p.Next = Cursor{b.order(last), b.rows[last].competitor(), true}.String()
	}
	return p, true
}

// list returns n rows of a tree from index first on. It also looks at the rows before and
// after them, which may be equal to the first and the last.
func (b *Board) list(t *tree[entry], first, n int) []Row {
	if n <= 0 {
		return []Row{}
	}
	best := b.rows[t.at(0).number].value
	list := make([]Row, 0, n)
	decimals := make([]mark.Decimal, 2*n) // of all rows, in one allocation
	i := max(first-1, 0)
	var above Order
	rank, start := 0, i
	t.root.walk(i, func(e entry) bool {
		order := b.order(e.number)
		equal := i > start && order == above && order.Placed()
		if equal && len(list) > 0 {
			list[len(list)-1].RankEqual = true
		}
		if len(list) == n {
			return false
		}
		if i >= first {
			r := b.row(e.number)
			if order.Placed() {
				switch {
				case !equal:
					rank = i + 1
				case len(list) == 0:
					// The empty code comes before all others.
					rank = t.index(b.position(order, "")) + 1
				}
				r.Rank, r.RankEqual = rank, equal
				r.Mark, r.Diff = &decimals[2*len(list)], &decimals[2*len(list)+1]
				*r.Mark = b.rows[e.number].value
				*r.Diff = max(*r.Mark-best, best-*r.Mark)
			}
			list = append(list, r)
		}
		i, above = i+1, order
		return true
	})
	return list
}

// row returns a row without its mark and rank.
func (b *Board) row(number uint32) Row {
	from, t := &b.rows[number], b.traitsOf(number)
	m := Mark{IRM: t.irm, Out: t.out}
	r := Row{
		Competitor:   from.competitor(),
		Name:         from.name(),
		IRM:          m.Unplaced(),
		Categories:   t.categories,
		Organisation: b.organisations.values[from.organisation],
	}
	if r.IRM == "" {
		r.Out = t.out
		if mark2 := b.mark2(number); mark2 != noMark2 {
			r.Mark2 = new(mark2)
		}
	}
	return r
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
	order      Order
	competitor string
	given      bool
}

var errCursor = errors.New("want the value of next in an answer")

// ParseCursor parses the result of String. The empty string is the zero Cursor.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	numbers, competitor, ok := strings.Cut(s, ",")
	c = Cursor{Order{Second: noSecond, Third: noThird}, competitor, true}
	parts := strings.Split(numbers, cursorMark)
	if !ok || len(parts) != 1 && len(parts) != 3 {
		return Cursor{}, errCursor
	}
	for i, to := range []*mark.Decimal{&c.order.First, &c.order.Second, &c.order.Third}[:len(parts)] {
		n, err := strconv.ParseInt(parts[i], 10, 64)
		if *to = mark.Decimal(n); err != nil {
			return Cursor{}, errCursor
		}
	}
	return c, nil
}

// cursorMark separates the numbers of a position. It needs no escape in a URL.
const cursorMark = ":"

// String returns the order of a row, a comma, and the competitor's code. The order is its
// first number, or all three if another one decides, too.
func (c Cursor) String() string {
	switch o := c.order; {
	case !c.given:
		return ""
	case o.Exact():
		return fmt.Sprintf("%d:%d:%d,%s", int64(o.First), int64(o.Second), int64(o.Third), c.competitor)
	default:
		return fmt.Sprintf("%d,%s", int64(o.First), c.competitor)
	}
}
