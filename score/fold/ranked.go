package fold

import (
	"slices"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/quote"
	"laurel/score/ranking"
)

// Direction returns the directions of the contest's marks and second marks.
func (d *Definition) Direction() ranking.Direction {
	return ranking.Direction{Lower: d.LowerIsBetter(), Lower2: d.Sort2 != "desc"}
}

// Marks stores the marks and the start list of one ranked contest. There can be a million
// of each, so they are kept outside the Contest.
type Marks interface {
	// Traits returns what the marks of a competitor have in common.
	Traits(competitor string) ranking.Traits
	// Set sets the competitor's mark at the split and returns the number of marks there.
	// It restates all marks of the competitor, and reports whether any of them changed.
	Set(split string, m ranking.Mark) (total int, restated bool)
	// First returns the n best marks at the split, at most MaxLeaders, IRMs after all
	// others, and the number of all marks there.
	First(split string, n int) (first []ranking.Mark, total int)
	// Has reports whether a competitor has a mark at any split.
	Has(competitor string) bool
	// Some returns n competitors who have marks, the first by their codes, or all.
	Some(n int) (competitors []string)
	// Clear removes all marks.
	Clear()
	// Entrant returns what competitor.defines have made known of a competitor, and whether
	// there was one.
	Entrant(code string) (e score.Entrant, entered bool)
	// SetEntrant sets that, also in the marks of the competitor.
	SetEntrant(e score.Entrant)
	// Restate writes the marks of a competitor anew, because other categories are known.
	Restate(competitor string)
	// FirstEntrants returns the first n entrants of the start list.
	FirstEntrants(n int) []score.Entrant
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

func (c *Contest) setMark(d *score.ResultSet, marks Marks, mode Mode) *score.Problem {
	if p := c.checkOpen(score.Ranked, score.TypeScorePlay, mode, d.Reason); p != nil {
		return p
	}
	if !c.competes(d.Competitor, marks) {
		return c.unknownCompetitor("data.competitor", d.Competitor)
	}
	splits := c.Definition.AllSplits()
	split, furthest := slices.Index(splits, d.Split), slices.Index(splits, c.Split)
	if split < 0 {
		return invalid("data.split", "got %q; want %s", quote.Clip(d.Split), quote.OneOf(splits))
	}
	m, p := c.Definition.Mark(d)
	if p != nil {
		return p
	}
	traits := marks.Traits(d.Competitor)
	if n := traits.Categories.With(m.Categories).Len(); n > score.MaxCategories && mode == Live {
		return score.Problemf(score.TooLarge, "%q would be in %d categories; the most is %d",
			quote.Clip(d.Competitor), n, score.MaxCategories).At("data.category")
	}
	total, restated := marks.Set(d.Split, m)
	marked := hasMark(c.Leaders)
	switch {
	case traits.Strikes > 0 || m.Strikes(): // marks at other splits may be gained or lost
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
func (c *Contest) mayLead(m ranking.Mark) bool {
	if len(c.Leaders) < MaxLeaders {
		return true
	}
	direction, last := c.Definition.Direction(), &c.Leaders[MaxLeaders-1]
	if direction.Order(&m).First <= direction.Order(last).First {
		return true
	}
	return slices.ContainsFunc(c.Leaders, func(l ranking.Mark) bool { return l.Competitor == m.Competitor })
}

// hasMark reports whether the result of First has a mark, and not only IRMs.
func hasMark(first []ranking.Mark) bool { return len(first) > 0 && first[0].Unplaced() == "" }

// Unlisted returns a competitor that has a mark but is neither listed in the contest's
// definition nor entered, or "". If the definition lists nobody, everybody may compete.
// before is the contest before the list changed, and left has those who are no longer
// entered.
func (c *Contest) Unlisted(before *Contest, marks Marks, left ...string) (competitor string) {
	if len(c.Competitors) == 0 {
		return ""
	}
	listed := make(map[string]bool, len(c.Competitors))
	for i := range c.Competitors {
		listed[c.Competitors[i].Code] = true
	}
	if len(before.Competitors) > 0 { // all others were listed or entered already
		for i := range before.Competitors {
			left = append(left, before.Competitors[i].Code)
		}
		for _, code := range left {
			if _, entered := marks.Entrant(code); !listed[code] && !entered && marks.Has(code) {
				return code
			}
		}
		return ""
	}
	// If more have marks than compete, one of them does not compete.
	for _, code := range marks.Some(len(listed) + c.Entered + 1) {
		if _, entered := marks.Entrant(code); !listed[code] && !entered {
			return code
		}
	}
	return ""
}

// Mark returns the mark that a result.set sets.
func (d *Definition) Mark(r *score.ResultSet) (m ranking.Mark, _ *score.Problem) {
	m = ranking.Mark{
		Competitor:   r.Competitor,
		IRM:          r.IRM,
		Categories:   ranking.NewCategories(r.Category),
		Organisation: r.Organisation,
	}
	var err error
	if r.Mark != nil {
		if m.Value, err = r.Mark.In(d.Unit, d.isTime(), "the result_type TIME"); err != nil {
			return m, invalid("data.mark", "%s", err)
		}
	}
	if r.Mark2 != nil {
		value, err := r.Mark2.In(d.Unit2, d.isTime2(), "a unit2 of "+mark.TimeUnits)
		if err != nil {
			return m, invalid("data.mark2", "%s", err)
		}
		m.Mark2 = &value
	}
	if r.Place != nil {
		m.Place = int(*r.Place / mark.Points(1))
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
