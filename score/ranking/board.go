package ranking

import (
	"strings"

	"laurel/score"
)

// Board is the marks at one split, and of those the marks of each category. A mark takes about 130 bytes, its text included
// (BenchmarkMemory).
//
// There may be a million, in a process that makes much garbage. So rows are known by numbers and lie in few large pieces of memory: what holds no pointers
// the garbage collector does not look through.
type Board struct {
	lowerIsBetter bool
	numbers       map[string]uint32 // of rows, by competitor
	rows          []*[piece]row
	used          uint32   // numbers from here on were never given
	free          []uint32 // those given back
	all           *order[place]
	categories    map[string]*order[place]
	traits        []trait
	traitOfMark   map[trait]uint32
}

// piece is how many rows lie together.
const piece = 1024

// row is a mark.
type row struct {
	competitor string
	value      score.Decimal
	trait      uint32
}

// trait is what many marks have in common. Each is kept once.
type trait struct{ irm, category, organisation string }

// place is a row where it stands in the order. What the order goes by is beside the row's number: of those compared on the way down, a million rows are too
// many to be in the processor's caches.
type place struct {
	key    score.Decimal // the best has the least
	number uint32
}

// behind is the key of all that have an IRM: they come behind those with a value.
const behind = score.MaxDecimal + 1

// New makes an empty board. The direction tells which end is best.
func New(lowerIsBetter bool) *Board {
	return &Board{lowerIsBetter: lowerIsBetter, numbers: map[string]uint32{}, all: newOrder[place](), categories: map[string]*order[place]{}, traitOfMark: map[trait]uint32{}}
}

func (b *Board) row(number uint32) *row { return &b.rows[number/piece][number%piece] }

func (b *Board) traitOf(number uint32) *trait { return &b.traits[b.row(number).trait] }

func (b *Board) key(value score.Decimal, irm bool) score.Decimal {
	switch {
	case irm:
		return behind
	case b.lowerIsBetter:
		return value
	}
	return -value
}

func (b *Board) place(number uint32) place {
	r := b.row(number)
	return place{b.key(r.value, b.traits[r.trait].irm != ""), number}
}

// side tells on which side of a key and a code a row stands. The code makes the order total.
func (b *Board) side(p place, key score.Decimal, competitor string) int {
	switch {
	case p.key < key:
		return -1
	case p.key > key:
		return 1
	}
	return strings.Compare(b.row(p.number).competitor, competitor)
}

// at is the place of a key and a code.
func (b *Board) at(key score.Decimal, competitor string) func(place) int {
	return func(p place) int { return b.side(p, key, competitor) }
}

// Len is the number of marks.
func (b *Board) Len() int { return len(b.numbers) }

// Set puts m in the place of the competitor's mark, if there is one.
func (b *Board) Set(m score.Mark) {
	number, there := b.numbers[m.Competitor]
	if there {
		b.leave(number)
		b.fill(b.row(number), m)
	} else {
		number = b.add(strings.Clone(m.Competitor), m)
	}
	p := b.place(number)
	at := b.at(p.key, m.Competitor)
	b.all.insert(at, p)
	if m.Category == "" {
		return
	}
	category := b.categories[m.Category]
	if category == nil {
		category = newOrder[place]()
		b.categories[b.traitOf(number).category] = category
	}
	category.insert(at, p)
}

// add makes a row of a competitor who has none. It is in no order yet.
func (b *Board) add(competitor string, m score.Mark) (number uint32) {
	if n := len(b.free); n > 0 {
		number, b.free = b.free[n-1], b.free[:n-1]
	} else {
		if b.used%piece == 0 {
			b.rows = append(b.rows, new([piece]row))
		}
		number = b.used
		b.used++
	}
	r := b.row(number)
	r.competitor = competitor
	b.fill(r, m)
	b.numbers[competitor] = number
	return number
}

func (b *Board) fill(r *row, m score.Mark) {
	r.value, r.trait = m.Value, b.trait(m)
	if m.IRM != "" {
		r.value = 0
	}
}

func (b *Board) trait(m score.Mark) uint32 {
	t := trait{m.IRM, m.Category, m.Organisation}
	number, there := b.traitOfMark[t]
	if !there {
		t = trait{strings.Clone(t.irm), strings.Clone(t.category), strings.Clone(t.organisation)}
		number = uint32(len(b.traits))
		b.traits = append(b.traits, t)
		b.traitOfMark[t] = number
	}
	return number
}

// leave takes a row out of its orders.
func (b *Board) leave(number uint32) {
	at := b.at(b.place(number).key, b.row(number).competitor)
	b.all.remove(at)
	name := b.traitOf(number).category
	if category := b.categories[name]; category != nil {
		if category.remove(at); category.len() == 0 {
			delete(b.categories, name)
		}
	}
}

// Remove takes a competitor's mark away. False: there was none.
func (b *Board) Remove(competitor string) bool {
	number, there := b.numbers[competitor]
	if !there {
		return false
	}
	b.leave(number)
	delete(b.numbers, competitor)
	*b.row(number) = row{}
	b.free = append(b.free, number)
	if len(b.numbers) == 0 {
		b.rows, b.used, b.free, b.traits = nil, 0, nil, nil
		clear(b.traitOfMark)
	}
	return true
}

// Page answers q. False: the competitor around whom it asks has no mark here, or none in the category.
func (b *Board) Page(q *Query) (p Page, ok bool) {
	o := b.all
	if q.Category != "" {
		if o = b.categories[q.Category]; o == nil {
			o = newOrder[place]()
		}
	}
	first, total := 0, o.len()
	switch {
	case q.Around != "":
		number, there := b.numbers[q.Around]
		if !there || q.Category != "" && b.traitOf(number).category != q.Category {
			return p, false
		}
		first = max(0, min(o.index(b.at(b.place(number).key, q.Around))-(q.Limit-1)/2, total-q.Limit))
	case q.After.given:
		after := b.at(b.key(q.After.value, q.After.irm), q.After.competitor)
		if first = o.index(after); first < total && after(o.at(first)) == 0 {
			first++
		}
	}
	p = Page{Split: q.Split, Category: q.Category, Total: total}
	p.Rows = b.list(o, first, min(q.Limit, total-first))
	if n := len(p.Rows); n > 0 && first+n < total {
		p.Next = p.Rows[n-1].cursor()
	}
	return p, true
}

// list is n rows of an order from an index on.
func (b *Board) list(o *order[place], first, n int) []Row {
	if n <= 0 {
		return []Row{}
	}
	best := b.row(o.at(0).number).value
	list := make([]Row, 0, n)
	i := max(first-1, 0) // the one above the list and the one below it are looked at, too: they may have equals in it
	above := place{key: behind}
	rank := 0
	o.from(i, func(p place) bool {
		equal := p.key == above.key && p.key != behind
		if equal && len(list) > 0 {
			list[len(list)-1].RankEqual = true
		}
		if len(list) == n {
			return false
		}
		if i >= first {
			r, t := b.row(p.number), b.traitOf(p.number)
			one := Row{Competitor: r.competitor, IRM: t.irm, Category: t.category, Organisation: t.organisation, Mark: r.value}
			if p.key != behind {
				switch {
				case !equal:
					rank = i + 1
				case len(list) == 0:
					rank = o.index(b.at(p.key, "")) + 1 // no code comes before the empty one
				}
				one.Rank, one.RankEqual, one.Diff = rank, equal, max(r.value-best, best-r.value)
			}
			list = append(list, one)
		}
		i, above = i+1, p
		return true
	})
	return list
}
