package score

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Mark is a competitor's mark at one split of a ranked contest, or the reason why there is none.
type Mark struct {
	Competitor   string  `json:"c"`
	Value        Decimal `json:"v,omitzero"`
	IRM          string  `json:"irm,omitzero"`
	Category     string  `json:"cat,omitzero"`
	Organisation string  `json:"org,omitzero"`
}

// AppendJSON appends m as JSON, the same as json.Marshal: a store writes very many of them.
func (m Mark) AppendJSON(b []byte) ([]byte, error) {
	var err error
	text := func(name, s string) {
		if b = append(b, name...); err == nil {
			b, err = jsontext.AppendQuote(b, s)
		}
	}
	text(`{"c":`, m.Competitor)
	if m.Value != 0 {
		b, _ = m.Value.AppendText(append(b, `,"v":`...))
	}
	if m.IRM != "" {
		text(`,"irm":`, m.IRM)
	}
	if m.Category != "" {
		text(`,"cat":`, m.Category)
	}
	if m.Organisation != "" {
		text(`,"org":`, m.Organisation)
	}
	return append(b, '}'), err
}

// Marks keeps the marks of one ranked contest. They are many, so they live outside the Contest.
type Marks interface {
	// Set puts m in the place of the competitor's mark at the split, if there is one, and gives the number of all marks there.
	Set(split string, m Mark) (total int)
	// First gives the n best at the split, those with an IRM behind all others, and the number of all.
	First(split string, n int) (first []Mark, total int)
}

const (
	leaders = 10
	finish  = "finish"
)

// FinalSplit is the split that decides a ranked contest: the last of its list, or "finish" where it has none.
func (d *ContestDefine) FinalSplit() string {
	if len(d.Splits) == 0 {
		return finish
	}
	return d.Splits[len(d.Splits)-1]
}

// AllSplits are the splits of a ranked contest, in order; "finish" alone where it lists none.
func (d *ContestDefine) AllSplits() []string {
	if len(d.Splits) == 0 {
		return []string{finish}
	}
	return d.Splits
}

func (c *Contest) setMark(d *ResultSet, marks Marks, f FoldMode) *Problem {
	if p := c.kind(Ranked, string(TypeScorePlay)); p != nil {
		return p
	}
	// As with a score.set, a jury may disqualify whom it likes after the contest is OFFICIAL.
	if f == Live && d.Reason == "" {
		if p := c.open(); p != nil {
			return p
		}
	}
	if len(c.Competitors) > 0 && c.competitor(d.Competitor) == nil {
		return c.stranger("data.competitor", d.Competitor)
	}
	splits := c.Definition.AllSplits()
	at, reached := slices.Index(splits, d.Split), slices.Index(splits, c.Split)
	if at < 0 {
		return fieldProblem("data.split", "got %q; want one of %s", clip(d.Split), strings.Join(splits, ", "))
	}
	m := d.AsMark()
	total := marks.Set(d.Split, m)
	switch {
	case m.IRM != "" || !valued(c.Leaders) || at > reached:
		c.UpdateLeaders(marks)
	case at == reached:
		c.Total = total
		if c.mayLead(m) {
			c.Leaders, _ = marks.First(c.Split, leaders)
		}
	}
	return nil
}

// mayLead tells whether a mark at the split that is shown can change the first ten: nearly none of a marathon's does.
func (c *Contest) mayLead(m Mark) bool {
	if len(c.Leaders) < leaders {
		return true
	}
	last := c.Leaders[leaders-1]
	if last.IRM != "" || m.Value == last.Value || (m.Value < last.Value) == c.Definition.LowerIsBetter() {
		return true
	}
	return slices.ContainsFunc(c.Leaders, func(l Mark) bool { return l.Competitor == m.Competitor })
}

// valued tells whether there is a mark among those that First gave, and not only IRMs.
func valued(first []Mark) bool { return len(first) > 0 && first[0].IRM == "" }

// Stray finds a competitor who has a mark but no place on the contest's list; "" if there is none. Without a list everybody has a place.
func (c *Contest) Unlisted(marks Marks) (competitor string) {
	if len(c.Competitors) == 0 {
		return ""
	}
	listed := make(map[string]bool, len(c.Competitors))
	for i := range c.Competitors {
		listed[c.Competitors[i].Code] = true
	}
	for _, split := range c.Definition.AllSplits() {
		// Of more marks than there are places one has none.
		first, _ := marks.First(split, len(listed)+1)
		for _, m := range first {
			if !listed[m.Competitor] {
				return m.Competitor
			}
		}
	}
	return ""
}

// AsMark is the mark that d sets.
func (d *ResultSet) AsMark() Mark {
	m := Mark{Competitor: d.Competitor, IRM: d.IRM, Category: d.Category, Organisation: d.Organisation}
	if d.Mark != nil {
		m.Value = *d.Mark
	}
	return m
}

// Rank finds the leaders anew from all marks. A split that has only IRMs does not count as reached while another has a mark: who is
// known not to finish says nothing about where the others are.
func (c *Contest) UpdateLeaders(marks Marks) {
	c.Split, c.Leaders, c.Total = "", nil, 0
	for _, split := range slices.Backward(c.Definition.AllSplits()) {
		first, total := marks.First(split, leaders)
		if total > 0 && (c.Split == "" || valued(first)) {
			c.Split, c.Leaders, c.Total = split, first, total
		}
		if valued(first) {
			return
		}
	}
}
