package ranking

import (
	"cmp"
	"slices"

	"laurel/score"
	"laurel/score/mark"
)

// Mark is a competitor's mark at one split of a ranked contest, or its IRM if it has no
// mark. Everything but its value, Mark2, Place and IRM follows from all marks of the
// competitor; see Restate.
type Mark struct {
	Competitor string        `json:"c"`
	Value      mark.Decimal  `json:"v,omitzero"` // seconds, or in the unit of the contest
	Mark2      *mark.Decimal `json:"v2,omitzero"`
	Place      int           `json:"place,omitzero"` // among marks that are equal otherwise; 0 is last
	IRM        string        `json:"irm,omitzero"`
	// Out is the IRM that the competitor has at another split. A disqualification there
	// strikes this mark.
	Out string `json:"out,omitzero"`
	// Reached is the number of the furthest split with a mark, from 1. Only a mark without
	// a rank has it.
	Reached      int        `json:"reached,omitzero"`
	Categories   Categories `json:"cat,omitzero"`
	Organisation string     `json:"org,omitzero"`
	Name         string     `json:"name,omitzero"` // as a competitor.define gives it
}

// Unplaced returns the IRM for which the mark has no rank, or "".
func (m *Mark) Unplaced() string {
	if strikes(m.Out) {
		return m.Out
	}
	return m.IRM
}

// Strikes reports whether the IRM of m takes away the competitor's marks at all splits.
func (m *Mark) Strikes() bool { return strikes(m.IRM) }

// strikes reports whether an IRM takes away the competitor's marks at all splits.
func strikes(irm string) bool {
	return irm == score.Disqualified || irm == score.DisqualifiedForConduct
}

// Traits is what all marks of a competitor in a contest have in common.
type Traits struct {
	Categories   Categories `json:"cat,omitzero"`     // that its marks name
	Organisation string     `json:"org,omitzero"`     // that the last mark with one names
	IRMs         int        `json:"irms,omitzero"`    // splits at which it has an IRM
	Strikes      int        `json:"strikes,omitzero"` // those of them that strike its marks
	Name         string     `json:"-"`                // as Contest.Known adds it
}

// With returns the traits after a mark that replaces another one; nil if there is none.
func (t Traits) With(m *Mark, old *Mark) Traits {
	t.Categories = t.Categories.With(m.Categories)
	t.Organisation = cmp.Or(m.Organisation, t.Organisation)
	t.count(m, 1)
	if old != nil {
		t.count(old, -1)
	}
	return t
}

// Recount returns the traits with the IRMs of all marks of the competitor.
func (t Traits) Recount(marks []Mark) Traits {
	t.IRMs, t.Strikes = 0, 0
	for i := range marks {
		t.count(&marks[i], 1)
	}
	return t
}

func (t *Traits) count(m *Mark, by int) {
	if m.IRM != "" {
		t.IRMs += by
	}
	if strikes(m.IRM) {
		t.Strikes += by
	}
}

// Restate sets what the marks of one competitor have in common. The marks are those at the
// splits in order, nil where there is none.
func (t Traits) Restate(marks []*Mark) {
	out, reached := "", 0
	for i, m := range marks {
		switch {
		case m == nil:
		case m.IRM == "":
			reached = i + 1
		case !strikes(out) || strikes(m.IRM):
			out = m.IRM
		}
	}
	for _, m := range marks {
		if m == nil {
			continue
		}
		m.Categories, m.Organisation, m.Name, m.Out, m.Reached = t.Categories, t.Organisation, t.Name, "", 0
		if m.IRM == "" || strikes(out) && out != m.IRM {
			m.Out = out
		}
		if irm := m.Unplaced(); irm != "" && !strikes(irm) {
			m.Reached = reached
		}
	}
}

// Direction is which marks are best: lower or higher ones.
type Direction struct{ Lower, Lower2 bool }

// Order is the position of a mark on a board, compared member by member: lower ones come
// first. Marks with equal orders share a rank.
type Order struct{ First, Second, Third mark.Decimal }

const (
	// unplaced is the least First of a mark without a rank.
	unplaced = mark.MaxDecimal + 1
	// NoSecond and NoThird are the last Second and Third.
	noSecond = mark.MaxDecimal + 1
	noThird  = mark.MaxDecimal + 1
)

// Order returns the order of a mark. Marks without a rank come last: those who have begun,
// by how far they came, then DNS, DSQ and DQB.
func (d Direction) Order(m *Mark) Order {
	o := Order{Second: noSecond, Third: noThird}
	if irm := m.Unplaced(); irm != "" {
		kind := slices.Index(score.IRMs, irm)
		group := max(0, kind-slices.Index(score.IRMs, score.DidNotStart)+1)
		reached := 0
		if group == 0 {
			reached = min(m.Reached, 999)
		}
		o.First = unplaced + mark.Decimal((group*1000+999-reached)*1000+kind)
		return o
	}
	mark2 := mark.Decimal(noMark2)
	if m.Mark2 != nil {
		mark2 = *m.Mark2
	}
	return d.placed(m.Value, mark2, m.Place)
}

// placed returns the order of a mark with a rank.
func (d Direction) placed(value, mark2 mark.Decimal, place int) Order {
	o := Order{signed(value, d.Lower), noSecond, noThird}
	if mark2 != noMark2 {
		o.Second = signed(mark2, d.Lower2)
	}
	if place > 0 {
		o.Third = mark.Decimal(place)
	}
	return o
}

func signed(d mark.Decimal, positive bool) mark.Decimal {
	if positive {
		return d
	}
	return -d
}

// Placed reports whether a mark with this order has a rank.
func (o Order) Placed() bool { return o.First < unplaced }

// Exact reports whether something else than the first mark decides.
func (o Order) Exact() bool { return o.Second != noSecond || o.Third != noThird }

// Compare compares two orders.
func (o Order) Compare(other Order) int {
	return cmp.Or(cmp.Compare(o.First, other.First), cmp.Compare(o.Second, other.Second),
		cmp.Compare(o.Third, other.Third))
}

// Ranks returns the ranks of marks in order, best first. Equal marks share a rank and the
// next one skips (1, 2, 2, 4). An IRM has no rank (0).
func Ranks(ordered []Mark, by Direction) []int {
	ranks := make([]int, len(ordered))
	var before Order
	for i := range ordered {
		order := by.Order(&ordered[i])
		equal := i > 0 && order == before
		switch before = order; {
		case !order.Placed():
		case equal:
			ranks[i] = ranks[i-1]
		default:
			ranks[i] = i + 1
		}
	}
	return ranks
}
