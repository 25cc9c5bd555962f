package ranking

import (
	"cmp"
	"strings"

	"laurel/score"
)

// Board is the marks at one split, and of those the marks of each category. A mark takes about 120 bytes, its text included
// (BenchmarkMemory).
type Board struct {
	compare    func(a, b *row) int
	rows       map[string]*row // by competitor
	all        *order[*row]
	categories map[string]*order[*row]
	traits     map[trait]*trait
}

// row is a mark, small, for there may be a million. It does not change.
type row struct {
	competitor string
	value      score.Decimal
	*trait
}

// trait is what many marks have in common. Each is kept once.
type trait struct{ irm, category, organisation string }

// New makes an empty board. The direction tells which end is best.
func New(leastIsBest bool) *Board {
	b := &Board{rows: map[string]*row{}, categories: map[string]*order[*row]{}, traits: map[trait]*trait{}}
	direction := -1
	if leastIsBest {
		direction = 1
	}
	// Those with a value come first, the best at the top; the competitor's code makes the order total.
	b.compare = func(a, b *row) int {
		if (a.irm == "") != (b.irm == "") {
			if a.irm == "" {
				return -1
			}
			return 1
		}
		if a.value != b.value {
			return direction * cmp.Compare(a.value, b.value)
		}
		return strings.Compare(a.competitor, b.competitor)
	}
	b.all = newOrder(b.compare)
	return b
}

// Len is the number of marks.
func (b *Board) Len() int { return len(b.rows) }

// Set puts m in the place of the competitor's mark, if there is one.
func (b *Board) Set(m score.Mark) {
	b.Remove(m.Competitor)
	r := b.row(m)
	b.rows[r.competitor] = r
	b.all.insert(r)
	if r.category == "" {
		return
	}
	category := b.categories[r.category]
	if category == nil {
		category = newOrder(b.compare)
		b.categories[r.category] = category
	}
	category.insert(r)
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
	b.all.remove(r)
	if category := b.categories[r.category]; category != nil {
		if category.remove(r); category.len() == 0 {
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
			o = newOrder(b.compare)
		}
	}
	first, total := 0, o.len()
	switch {
	case q.Around != "":
		r := b.rows[q.Around]
		if r == nil || q.Category != "" && r.category != q.Category {
			return p, false
		}
		first = max(0, min(o.index(r)-(q.Limit-1)/2, total-q.Limit))
	case q.After.given:
		r := q.After.row()
		if first = o.index(r); first < total && b.compare(o.at(first), r) == 0 {
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
func rows(o *order[*row], first, n int) []Row {
	if n <= 0 {
		return []Row{}
	}
	best := o.at(0)
	list := make([]Row, 0, n)
	var before *row // the one above in the list
	rank := 0
	o.from(first, func(r *row) bool {
		if len(list) == n { // one more is looked at, to know whether the last has an equal
			if last := &list[n-1]; r.equals(before) {
				last.RankEqual = true
			}
			return false
		}
		one := Row{Competitor: r.competitor, IRM: r.irm, Category: r.category, Organisation: r.organisation, Mark: r.value}
		if r.irm == "" {
			switch {
			case before == nil:
				rank = o.index(&row{value: r.value, trait: new(trait)}) + 1 // no code comes before the empty one
			case !r.equals(before):
				rank = first + len(list) + 1
			}
			one.Rank, one.Diff = rank, max(r.value-best.value, best.value-r.value)
			one.RankEqual = rank <= first+len(list)
			if one.RankEqual && len(list) > 0 {
				list[len(list)-1].RankEqual = true
			}
		}
		list, before = append(list, one), r
		return true
	})
	return list
}

// equals tells whether two have the same mark, and so the same rank.
func (r *row) equals(other *row) bool {
	return r.irm == "" && other.irm == "" && r.value == other.value
}
