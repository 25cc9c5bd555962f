package ranking

import (
	"strings"

	"laurel/score"
)

// Board is the marks at one split, and of those the marks of each category. A mark takes about 140 bytes, its text included
// (BenchmarkMemory).
type Board struct {
	leastIsBest bool
	rows        map[string]*row // by competitor
	all         *order[place]
	categories  map[string]*order[place]
	traits      map[trait]*trait
}

// row is a mark, small, for there may be a million. It does not change.
type row struct {
	competitor string
	value      score.Decimal
	*trait
}

// trait is what many marks have in common. Each is kept once.
type trait struct{ irm, category, organisation string }

// place is a row where it stands in the order. What the order goes by is beside the row: of those compared on the way down, a million rows are too many
// to be in the processor's caches.
type place struct {
	key score.Decimal // the best has the least
	*row
}

// behind is the key of all that have an IRM: they come behind those with a value.
const behind = score.MaxDecimal + 1

func (b *Board) place(r *row) place {
	switch {
	case r.irm != "":
		return place{behind, r}
	case b.leastIsBest:
		return place{r.value, r}
	}
	return place{-r.value, r}
}

// compare goes by the competitor's code last, which makes the order total.
func compare(a, b place) int {
	switch {
	case a.key < b.key:
		return -1
	case a.key > b.key:
		return 1
	}
	return strings.Compare(a.competitor, b.competitor)
}

// foremost is before all others that have its key, for no code is empty.
var foremost row

// New makes an empty board. The direction tells which end is best.
func New(leastIsBest bool) *Board {
	return &Board{leastIsBest: leastIsBest, rows: map[string]*row{}, all: newOrder(compare), categories: map[string]*order[place]{}, traits: map[trait]*trait{}}
}

// Len is the number of marks.
func (b *Board) Len() int { return len(b.rows) }

// Set puts m in the place of the competitor's mark, if there is one.
func (b *Board) Set(m score.Mark) {
	b.Remove(m.Competitor)
	r := b.row(m)
	b.rows[r.competitor] = r
	at := b.place(r)
	b.all.insert(at)
	if r.category == "" {
		return
	}
	category := b.categories[r.category]
	if category == nil {
		category = newOrder(compare)
		b.categories[r.category] = category
	}
	category.insert(at)
}

func (b *Board) trait(m score.Mark) *trait {
	t := trait{m.IRM, m.Category, m.Organisation}
	one := b.traits[t]
	if one == nil {
		one = &trait{strings.Clone(t.irm), strings.Clone(t.category), strings.Clone(t.organisation)}
		b.traits[*one] = one
	}
	return one
}

// Remove takes a competitor's mark away. False: there was none.
func (b *Board) Remove(competitor string) bool {
	r := b.rows[competitor]
	if r == nil {
		return false
	}
	delete(b.rows, competitor)
	at := b.place(r)
	b.all.remove(at)
	if category := b.categories[r.category]; category != nil {
		if category.remove(at); category.len() == 0 {
			delete(b.categories, r.category)
		}
	}
	if len(b.rows) == 0 {
		clear(b.traits)
	}
	return true
}

// Page answers q. False: the competitor around whom it asks has no mark here, or none in the category.
func (b *Board) Page(q *Question) (p Page, ok bool) {
	o := b.all
	if q.Category != "" {
		if o = b.categories[q.Category]; o == nil {
			o = newOrder(compare)
		}
	}
	first, total := 0, o.len()
	switch {
	case q.Around != "":
		r := b.rows[q.Around]
		if r == nil || q.Category != "" && r.category != q.Category {
			return p, false
		}
		first = max(0, min(o.index(b.place(r))-(q.Limit-1)/2, total-q.Limit))
	case q.After.given:
		after := b.place(q.After.row())
		if first = o.index(after); first < total && compare(o.at(first), after) == 0 {
			first++
		}
	}
	p = Page{Split: q.Split, Category: q.Category, Total: total}
	p.Rows = rows(o, first, min(q.Limit, total-first))
	if n := len(p.Rows); n > 0 && first+n < total {
		p.Next = p.Rows[n-1].cursor()
	}
	return p, true
}

// rows are n rows of an order from an index on.
func rows(o *order[place], first, n int) []Row {
	if n <= 0 {
		return []Row{}
	}
	best := o.at(0)
	list := make([]Row, 0, n)
	i := max(first-1, 0) // the one above the list and the one below it are looked at, too: they may have equals in it
	var above *row
	rank := 0
	o.from(i, func(p place) bool {
		equal := above != nil && p.equals(above)
		if equal && len(list) > 0 {
			list[len(list)-1].RankEqual = true
		}
		if len(list) == n {
			return false
		}
		if i >= first {
			one := Row{Competitor: p.competitor, IRM: p.irm, Category: p.category, Organisation: p.organisation, Mark: p.value}
			if p.irm == "" {
				switch {
				case !equal:
					rank = i + 1
				case len(list) == 0:
					rank = o.index(place{p.key, &foremost}) + 1
				}
				one.Rank, one.RankEqual, one.Diff = rank, equal, max(p.value-best.value, best.value-p.value)
			}
			list = append(list, one)
		}
		i, above = i+1, p.row
		return true
	})
	return list
}

// equals tells whether two have the same mark, and so the same rank.
func (r *row) equals(other *row) bool {
	return r.irm == "" && other.irm == "" && r.value == other.value
}
