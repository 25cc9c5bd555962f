package score

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"laurel/score/fastjson"
)

// Mark is a competitor's mark at one split of a ranked contest, or its IRM if it has no
// mark.
type Mark struct {
	Competitor   string  `json:"c"`
	Value        Decimal `json:"v,omitzero"`
	IRM          string  `json:"irm,omitzero"`
	Category     string  `json:"cat,omitzero"`
	Organisation string  `json:"org,omitzero"`
	Name         string  `json:"name,omitzero"` // as a competitor.define gives it
}

// AppendJSON appends m as json.Marshal would write it, but faster.
func (m Mark) AppendJSON(b []byte) ([]byte, error) {
	w := fastjson.NewWriter(b)
	w.Text("c", m.Competitor)
	if m.Value != 0 {
		w.Name("v")
		w.B, _ = m.Value.AppendText(w.B)
	}
	w.OptionalText("irm", m.IRM)
	w.OptionalText("cat", m.Category)
	w.OptionalText("org", m.Organisation)
	w.OptionalText("name", m.Name)
	return w.End()
}

// AppendJSON appends l as json.Marshal would write it. It is faster, which matters
// because pages are rarely cached: few readers ask for the same one.
func (l *Leaderboard) AppendJSON(b []byte) []byte {
	w := fastjson.NewWriter(b)
	w.Text("contest_id", l.ContestID)
	w.Text("split", l.Split)
	w.OptionalText("category", l.Category)
	w.Uint("total", uint64(l.Total))
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
	w.OptionalText("category", r.Category)
	w.Name("mark")
	w.B = appendOptional(w.B, r.Mark)
	w.OptionalText("irm", r.IRM)
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
	if !equal(r.Mark, other.Mark) || !equal(r.Diff, other.Diff) {
		return false
	}
	r.Mark, r.Diff = other.Mark, other.Diff
	return r == other
}

// Marks stores the marks and the start list of one ranked contest. There can be a million
// of each, so they are kept outside the Contest.
type Marks interface {
	// Set sets the competitor's mark at the split and returns the number of marks there.
	Set(split string, m Mark) (total int)
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
	m := d.AsMark(marks)
	total := marks.Set(d.Split, m)
	marked := hasMark(c.Leaders)
	switch {
	// A split that has only IRMs counts only if no split has a mark.
	case split > furthest && (m.IRM == "" || !marked), split < furthest && m.IRM == "" && !marked:
		c.Split, c.Total = d.Split, total
		c.Leaders, _ = marks.First(d.Split, MaxLeaders)
	case split == furthest:
		c.Total = total
		if m.IRM != "" || c.mayLead(m) {
			c.Leaders, _ = marks.First(c.Split, MaxLeaders)
		}
		if marked && !hasMark(c.Leaders) { // the IRM has replaced the last mark there
			c.UpdateLeaders(marks)
		}
	}
	return nil
}

// mayLead reports whether a mark at c.Split can change the leaders. In a marathon nearly
// none can.
func (c *Contest) mayLead(m Mark) bool {
	if len(c.Leaders) < MaxLeaders {
		return true
	}
	last := c.Leaders[MaxLeaders-1]
	if last.IRM != "" || m.Value == last.Value || (m.Value < last.Value) == c.Definition.LowerIsBetter() {
		return true
	}
	return slices.ContainsFunc(c.Leaders, func(l Mark) bool { return l.Competitor == m.Competitor })
}

// hasMark reports whether the result of First has a mark, and not only IRMs.
func hasMark(first []Mark) bool { return len(first) > 0 && first[0].IRM == "" }

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

// AsMark returns the mark that d sets. What competitor.defines give of the competitor
// counts before what d gives.
func (d *ResultSet) AsMark(marks Marks) Mark {
	m := Mark{Competitor: d.Competitor, IRM: d.IRM, Category: d.Category, Organisation: d.Organisation}
	if d.Mark != nil {
		m.Value = *d.Mark
	}
	if e, entered := marks.Entrant(d.Competitor); entered {
		m = m.Of(e)
	}
	return m
}

// Of returns m as a mark of an entrant.
func (m Mark) Of(e Entrant) Mark {
	m.Name, m.Organisation = e.Name, cmp.Or(e.Organisation, m.Organisation)
	return m
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
