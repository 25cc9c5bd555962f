package score

import (
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

// Marks stores the marks of one ranked contest. There can be a million of them, so they
// are kept outside the Contest.
type Marks interface {
	// Set sets the competitor's mark at the split and returns the number of marks there.
	Set(split string, m Mark) (total int)
	// First returns the n best marks at the split, IRMs after all others, and the number
	// of all marks there.
	First(split string, n int) (first []Mark, total int)
	// Clear removes all marks.
	Clear()
}

const maxLeaders = 10

// FinalSplit returns the split that decides a ranked contest: the last of its splits, or
// "finish" if it has none.
func (d *ContestDefine) FinalSplit() string {
	splits := d.AllSplits()
	return splits[len(splits)-1]
}

// AllSplits returns the splits of a ranked contest in order, or "finish" if it has none.
func (d *ContestDefine) AllSplits() []string {
	if len(d.Splits) == 0 {
		return []string{"finish"}
	}
	return d.Splits
}

func (c *Contest) setMark(d *ResultSet, marks Marks, mode FoldMode) *Problem {
	if p := c.checkOpen(Ranked, TypeScorePlay, mode, d.Reason); p != nil {
		return p
	}
	if len(c.Competitors) > 0 && c.competitor(d.Competitor) == nil {
		return c.unknownCompetitor("data.competitor", d.Competitor)
	}
	splits := c.Definition.AllSplits()
	split, furthest := slices.Index(splits, d.Split), slices.Index(splits, c.Split)
	if split < 0 {
		return fieldProblem("data.split", "got %q; want one of %s", clip(d.Split), strings.Join(splits, ", "))
	}
	m := d.AsMark()
	total := marks.Set(d.Split, m)
	marked := hasMark(c.Leaders)
	switch {
	// A split that has only IRMs counts only if no split has a mark.
	case split > furthest && (m.IRM == "" || !marked), split < furthest && m.IRM == "" && !marked:
		c.Split, c.Total = d.Split, total
		c.Leaders, _ = marks.First(d.Split, maxLeaders)
	case split == furthest:
		c.Total = total
		if m.IRM != "" || c.mayLead(m) {
			c.Leaders, _ = marks.First(c.Split, maxLeaders)
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
	if len(c.Leaders) < maxLeaders {
		return true
	}
	last := c.Leaders[maxLeaders-1]
	if last.IRM != "" || m.Value == last.Value || (m.Value < last.Value) == c.Definition.LowerIsBetter() {
		return true
	}
	return slices.ContainsFunc(c.Leaders, func(l Mark) bool { return l.Competitor == m.Competitor })
}

// hasMark reports whether the result of First has a mark, and not only IRMs.
func hasMark(first []Mark) bool { return len(first) > 0 && first[0].IRM == "" }

// Unlisted returns a competitor that has a mark but is not listed in the contest's
// definition, or "". If the definition lists nobody, everybody may compete.
func (c *Contest) Unlisted(marks Marks) (competitor string) {
	if len(c.Competitors) == 0 {
		return ""
	}
	listed := make(map[string]bool, len(c.Competitors))
	for i := range c.Competitors {
		listed[c.Competitors[i].Code] = true
	}
	for _, split := range c.Definition.AllSplits() {
		// If there are more marks than listed competitors, one of them is not listed.
		first, _ := marks.First(split, len(listed)+1)
		for _, m := range first {
			if !listed[m.Competitor] {
				return m.Competitor
			}
		}
	}
	return ""
}

// AsMark returns the mark that d sets.
func (d *ResultSet) AsMark() Mark {
	m := Mark{Competitor: d.Competitor, IRM: d.IRM, Category: d.Category, Organisation: d.Organisation}
	if d.Mark != nil {
		m.Value = *d.Mark
	}
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
		c.Leaders, _ = marks.First(c.Split, maxLeaders)
	}
}
