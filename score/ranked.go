package score

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"

	"laurel/score/fastjson"
)

// Mark is a competitor's mark at one split of a ranked contest, or its IRM if it has no
// mark. Everything but its value, Mark2, Place and IRM follows from all marks of the
// competitor; see Restate.
type Mark struct {
	Competitor string   `json:"c"`
	Value      Decimal  `json:"v,omitzero"` // seconds, or in the unit of the contest
	Mark2      *Decimal `json:"v2,omitzero"`
	Place      int      `json:"place,omitzero"` // among marks that are equal otherwise; 0 is last
	IRM        string   `json:"irm,omitzero"`
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

// strikes reports whether an IRM takes away the competitor's marks at all splits.
func strikes(irm string) bool { return irm == Disqualified || irm == DisqualifiedForConduct }

// AppendJSON appends m as json.Marshal would write it, but faster.
func (m Mark) AppendJSON(b []byte) ([]byte, error) {
	w := fastjson.NewWriter(b)
	w.Text("c", m.Competitor)
	if m.Value != 0 {
		w.Name("v")
		w.B, _ = m.Value.AppendText(w.B)
	}
	if m.Mark2 != nil {
		w.Name("v2")
		w.B, _ = m.Mark2.AppendText(w.B)
	}
	w.OptionalUint("place", uint64(m.Place))
	w.OptionalText("irm", m.IRM)
	w.OptionalText("out", m.Out)
	w.OptionalUint("reached", uint64(m.Reached))
	m.Categories.writeTo(&w, "cat")
	w.OptionalText("org", m.Organisation)
	w.OptionalText("name", m.Name)
	return w.End()
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
func (t Traits) Recount(marks iter.Seq[*Mark]) Traits {
	t.IRMs, t.Strikes = 0, 0
	for m := range marks {
		t.count(m, 1)
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

// Direction returns the directions of the contest's marks and second marks.
func (d *Definition) Direction() Direction {
	return Direction{d.LowerIsBetter(), d.Sort2 != "desc"}
}

// Order is the position of a mark on a board, compared member by member: lower ones come
// first. Marks with equal orders share a rank.
type Order struct{ First, Second, Third Decimal }

const (
	// unplaced is the least First of a mark without a rank.
	unplaced = MaxDecimal + 1
	// NoSecond and NoThird are the last Second and Third.
	noSecond = MaxDecimal + 1
	noThird  = MaxDecimal + 1
)

// Order returns the order of a mark. Marks without a rank come last: those who have begun,
// by how far they came, then DNS, DSQ and DQB.
func (d Direction) Order(m *Mark) Order {
	o := Order{Second: noSecond, Third: noThird}
	if irm := m.Unplaced(); irm != "" {
		kind := slices.Index(irms, irm)
		group := max(0, kind-slices.Index(irms, DidNotStart)+1)
		reached := 0
		if group == 0 {
			reached = min(m.Reached, 999)
		}
		o.First = unplaced + Decimal((group*1000+999-reached)*1000+kind)
		return o
	}
	o.First = signed(m.Value, d.Lower)
	if m.Mark2 != nil {
		o.Second = signed(*m.Mark2, d.Lower2)
	}
	if m.Place > 0 {
		o.Third = Decimal(m.Place)
	}
	return o
}

func signed(d Decimal, positive bool) Decimal {
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

// AppendJSON appends l as json.Marshal would write it. It is faster, which matters
// because pages are rarely cached: few readers ask for the same one.
func (l *Leaderboard) AppendJSON(b []byte) []byte {
	w := fastjson.NewWriter(b)
	w.Text("contest_id", l.ContestID)
	w.Text("split", l.Split)
	w.OptionalText("category", l.Category)
	w.Uint("total", uint64(l.Total))
	l.Format.WriteMembers(&w)
	if len(l.Categories) > 0 {
		w.Array("categories", len(l.Categories), func(i int) { w.Quote(l.Categories[i]) })
	}
	w.Array("rows", len(l.Rows), func(i int) { w.B = l.Rows[i].AppendJSON(w.B) })
	w.Text("next", l.Next)
	b, _ = w.End() // bytes that are not UTF-8 have been replaced
	return b
}

// AppendJSON appends r as json.Marshal would write it.
func (r *LeaderboardRow) AppendJSON(b []byte) []byte {
	w := fastjson.NewWriter(b)
	w.Text("competitor", r.Competitor)
	w.OptionalText("name", r.Name)
	w.OptionalText("organisation", r.Organisation)
	r.Categories.writeTo(&w, "categories")
	w.Name("mark")
	w.B = appendOptional(w.B, r.Mark)
	if r.Mark2 != nil {
		w.Name("mark2")
		w.B = appendOptional(w.B, r.Mark2)
	}
	w.OptionalText("irm", r.IRM)
	w.OptionalText("out", r.Out)
	w.OptionalUint("rank", uint64(r.Rank))
	w.Name("rank_equal")
	w.B = strconv.AppendBool(w.B, r.RankEqual)
	w.Name("diff")
	w.B = appendOptional(w.B, r.Diff)
	b, _ = w.End()
	return b
}

func appendOptional(b []byte, d *Decimal) []byte {
	if d == nil {
		return append(b, "null"...)
	}
	b, _ = d.AppendText(b)
	return b
}

// Equal reports whether both rows are the same.
func (r LeaderboardRow) Equal(other LeaderboardRow) bool {
	equal := func(a, b *Decimal) bool { return a == b || a != nil && b != nil && *a == *b }
	if !equal(r.Mark, other.Mark) || !equal(r.Mark2, other.Mark2) || !equal(r.Diff, other.Diff) {
		return false
	}
	r.Mark, r.Mark2, r.Diff = other.Mark, other.Mark2, other.Diff
	return r == other
}

// Marks stores the marks and the start list of one ranked contest. There can be a million
// of each, so they are kept outside the Contest.
type Marks interface {
	// Traits returns what the marks of a competitor have in common.
	Traits(competitor string) Traits
	// Set sets the competitor's mark at the split and returns the number of marks there.
	// It restates all marks of the competitor, and reports whether any of them changed.
	Set(split string, m Mark) (total int, restated bool)
	// First returns the n best marks at the split, IRMs after all others, and the number
	// of all marks there.
	First(split string, n int) (first []Mark, total int)
	// Clear removes all marks.
	Clear()
	// Entrant returns what competitor.defines have made known of a competitor, and whether
	// there was one.
	Entrant(code string) (e Entrant, entered bool)
	// SetEntrant sets that, also in the marks of the competitor.
	SetEntrant(e Entrant)
	// Restate writes the marks of a competitor anew, because other categories are known.
	Restate(competitor string)
	// FirstEntrants returns the first n entrants of the start list.
	FirstEntrants(n int) []Entrant
}

// MaxLeaders is the number of leaders, and of entrants of the start list, that a contest has
// itself.
const MaxLeaders = 10

// FinalSplit returns the split that decides a ranked contest: the last of its splits, or
// "finish" if it has none.
func (d *Definition) FinalSplit() string {
	splits := d.AllSplits()
	return splits[len(splits)-1]
}

// AllSplits returns the splits of a ranked contest in order, or "finish" if it has none.
func (d *Definition) AllSplits() []string {
	if len(d.Splits) == 0 {
		return []string{"finish"}
	}
	return d.Splits
}

func (c *Contest) setMark(d *ResultSet, marks Marks, mode FoldMode) *Problem {
	if p := c.checkOpen(Ranked, TypeScorePlay, mode, d.Reason); p != nil {
		return p
	}
	if !c.competes(d.Competitor, marks) {
		return c.unknownCompetitor("data.competitor", d.Competitor)
	}
	splits := c.Definition.AllSplits()
	split, furthest := slices.Index(splits, d.Split), slices.Index(splits, c.Split)
	if split < 0 {
		return fieldProblem("data.split", "got %q; want one of %s", clip(d.Split), strings.Join(splits, ", "))
	}
	m, p := d.AsMark(&c.Definition)
	if p != nil {
		return p
	}
	traits := marks.Traits(d.Competitor)
	if n := traits.Categories.With(m.Categories).Len(); n > MaxCategories && mode == Live {
		return Problemf(TooLarge, "%q would be in %d categories; the most is %d",
			clip(d.Competitor), n, MaxCategories).At("data.category")
	}
	total, restated := marks.Set(d.Split, m)
	marked := hasMark(c.Leaders)
	switch {
	case traits.Strikes > 0 || strikes(m.IRM): // marks at other splits may be gained or lost
		c.UpdateLeaders(marks)
	// A split that has only IRMs counts only if no split has a mark.
	case split > furthest && (m.IRM == "" || !marked), split < furthest && m.IRM == "" && !marked:
		c.Split, c.Total = d.Split, total
		c.Leaders, _ = marks.First(d.Split, MaxLeaders)
	case split == furthest:
		c.Total = total
		if restated || m.IRM != "" || c.mayLead(m) {
			c.Leaders, _ = marks.First(c.Split, MaxLeaders)
		}
		if marked && !hasMark(c.Leaders) { // the IRM has replaced the last mark there
			c.UpdateLeaders(marks)
		}
	case restated:
		c.Leaders, _ = marks.First(c.Split, MaxLeaders)
	}
	return nil
}

// mayLead reports whether a mark at c.Split can change the leaders. In a marathon nearly
// none can.
func (c *Contest) mayLead(m Mark) bool {
	if len(c.Leaders) < MaxLeaders {
		return true
	}
	direction, last := c.Definition.Direction(), &c.Leaders[MaxLeaders-1]
	if direction.Order(&m).First <= direction.Order(last).First {
		return true
	}
	return slices.ContainsFunc(c.Leaders, func(l Mark) bool { return l.Competitor == m.Competitor })
}

// hasMark reports whether the result of First has a mark, and not only IRMs.
func hasMark(first []Mark) bool { return len(first) > 0 && first[0].Unplaced() == "" }

// Unlisted returns a competitor that has a mark but is neither listed in the contest's
// definition nor entered, or "". If the definition lists nobody, everybody may compete.
func (c *Contest) Unlisted(marks Marks) (competitor string) {
	if len(c.Competitors) == 0 {
		return ""
	}
	listed := make(map[string]bool, len(c.Competitors))
	for i := range c.Competitors {
		listed[c.Competitors[i].Code] = true
	}
	for _, split := range c.Definition.AllSplits() {
		// If there are more marks than competitors, one of them does not compete.
		first, _ := marks.First(split, len(listed)+c.Entered+1)
		for _, m := range first {
			if listed[m.Competitor] {
				continue
			}
			if _, entered := marks.Entrant(m.Competitor); !entered {
				return m.Competitor
			}
		}
	}
	return ""
}

// AsMark returns the mark that d sets in a contest with a definition.
func (d *ResultSet) AsMark(of *Definition) (m Mark, _ *Problem) {
	m = Mark{
		Competitor:   d.Competitor,
		IRM:          d.IRM,
		Categories:   NewCategories(d.Category),
		Organisation: d.Organisation,
	}
	var err error
	if d.Mark != nil {
		if m.Value, err = d.Mark.in(of.Unit, of.isTime()); err != nil {
			return m, fieldProblem("data.mark", "%s", err)
		}
	}
	if d.Mark2 != nil {
		value, err := d.Mark2.in(of.Unit2, of.isTime2())
		if err != nil {
			return m, fieldProblem("data.mark2", "%s", err)
		}
		m.Mark2 = &value
	}
	if d.Place != nil {
		m.Place = int(*d.Place / Points(1))
	}
	return m, nil
}

// UpdateLeaders recomputes Split, Leaders and Total from all marks. A split that has only
// IRMs counts only if no split has a mark: a DNF at the finish does not mean that anybody
// has arrived there.
func (c *Contest) UpdateLeaders(marks Marks) {
	c.Split, c.Leaders, c.Total = "", nil, 0
	for _, split := range slices.Backward(c.Definition.AllSplits()) {
		best, total := marks.First(split, 1)
		if total > 0 && (c.Split == "" || hasMark(best)) {
			c.Split, c.Total = split, total
		}
		if hasMark(best) {
			break
		}
	}
	if c.Split != "" {
		c.Leaders, _ = marks.First(c.Split, MaxLeaders)
	}
}
