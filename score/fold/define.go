package fold

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/quote"
	"laurel/score/ranking"
)

// Definition is what the contest.defines of a contest have made together, without its
// competitors.
type Definition score.ContestDefine

// decisive are the members of a definition that decide what plays and marks amount to.
var decisive = []string{
	"kind", "result_type", "unit", "unit2", "sort", "sort2", "precision", "splits", "tiebreak_periods",
}

// Differs returns the first decisive member in which two definitions differ, "" if there
// is none.
func (d *Definition) Differs(from *Definition) string {
	a, b := d.explicit(), from.explicit()
	is, was := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()
	for of, member := range is.Fields() {
		name, _, _ := strings.Cut(of.Tag.Get("json"), ",")
		if slices.Contains(decisive, name) &&
			!reflect.DeepEqual(member.Interface(), was.FieldByIndex(of.Index).Interface()) {
			return name
		}
	}
	return ""
}

// explicit returns d with what it has by default.
func (d *Definition) explicit() Definition {
	e := *d
	if e.Sort = "desc"; d.LowerIsBetter() {
		e.Sort = "asc"
	}
	if d.isTime() {
		e.Unit = cmp.Or(d.Unit, "s")
	}
	if d.Kind == score.Ranked {
		e.Splits, e.Sort2 = d.AllSplits(), cmp.Or(d.Sort2, "asc")
	}
	return e
}

// LowerIsBetter reports whether the lowest result is the best: by Sort, or else by
// ResultType.
func (d *Definition) LowerIsBetter() bool {
	if d.Sort != "" {
		return d.Sort == "asc"
	}
	return d.ResultType == "TIME"
}

// IsSettled reports whether it is settled who competes: the contest has been RUNNING, is
// decided or OFFICIAL, or has a play or a mark.
func (c *Contest) IsSettled() bool {
	return c.Started || c.Decision != "" || c.WasOfficial || c.hasScores()
}

// hasScores reports whether there is a play or a mark.
func (c *Contest) hasScores() bool {
	return c.Split != "" || slices.ContainsFunc(c.Competitors, func(w Competitor) bool { return w.Scored })
}

// Corrects reports whether c has another definition than before, with which the plays and
// marks of before amount to something else, or lacks one of its competitors.
func (c *Contest) Corrects(before *Contest) bool {
	return before.hasScores() &&
		(c.Definition.Differs(&before.Definition) != "" || before.missingFrom(c.Competitors) != nil)
}

// missingFrom returns the first competitor of c that is not on a list, nil if there is
// none.
func (c *Contest) missingFrom(list []Competitor) *Competitor {
	listed := make(map[string]bool, len(list))
	for i := range list {
		listed[list[i].Code] = true
	}
	for i := range c.Competitors {
		if !listed[c.Competitors[i].Code] {
			return &c.Competitors[i]
		}
	}
	return nil
}

// define applies a contest.define. Once the contest has begun, a new event may not change what
// plays and marks amount to, nor, once it is settled who competes, leave out a competitor. With
// a reason it may, and the caller must then fold all events again (Replay), the definitions
// first.
func (c *Contest) define(d *score.ContestDefine, marks Marks, mode Mode) *score.Problem {
	next := Contest{ID: c.ID, Definition: c.Definition, Competitors: c.Competitors, Entered: c.Entered}
	whole := (*score.ContestDefine)(&next.Definition)
	d.Amend(whole)
	whole.Competitors = nil
	if p := whole.CheckWhole(); p != nil {
		return p
	}
	if p := next.Definition.checkUnits(); p != nil {
		return p
	}
	if c.Entered > 0 && c.Definition.Kind != next.Definition.Kind {
		return conflict("data.kind", "the contest is %s and has competitors by competitor.define; void those first",
			c.Definition.Kind)
	}
	if d.Competitors != nil || d.Clears("competitors") {
		next.Competitors = c.list(d.Competitors)
		if next.Definition.Kind == score.Ranked {
			next.addAmended(marks)
		}
		if p := c.checkList(&next, marks); p != nil {
			return p
		}
		if p := c.checkNumbers((len(next.Competitors)-len(c.Competitors))*len(c.Periods), mode); p != nil {
			return p
		}
	}
	if mode == Live && d.Reason == "" && c.IsSettled() {
		if p := c.checkRedefinition(&next); p != nil {
			return p
		}
	}
	before := Contest{Competitors: c.Competitors}
	c.Definition, c.Competitors = next.Definition, next.Competitors
	if c.Split != "" {
		c.Restate(&before, marks)
	}
	return nil
}

// Restate restates the marks of those competitors of whom other categories are known than
// before.
func (c *Contest) Restate(before *Contest, marks Marks) {
	find, restated := before.finder(len(c.Competitors)), false
	for i := range c.Competitors {
		var known score.Entrant
		if old := find.competitor(c.Competitors[i].Code); old != nil {
			known = old.Known()
		}
		if !slices.Equal(c.Competitors[i].Known().Categories, known.Categories) {
			marks.Restate(c.Competitors[i].Code)
			restated = true
		}
	}
	if restated {
		c.Leaders, _ = marks.First(c.Split, MaxLeaders)
	}
}

// Known returns the traits of a competitor's marks with what definitions make known of it.
func (c *Contest) Known(t ranking.Traits, competitor string, marks Marks) ranking.Traits {
	e, entered := marks.Entrant(competitor)
	t.Name, t.Organisation = e.Name, cmp.Or(e.Organisation, t.Organisation)
	if w := c.competitor(competitor); w != nil {
		e = w.Entrant.With(e)
	} else if !entered {
		return t
	}
	t.Categories = t.Categories.With(ranking.NewCategories(e.Categories...))
	return t
}

// list returns the competitors of a new list, with what is known of them.
func (c *Contest) list(entrants []score.Entrant) (list []Competitor) {
	find := c.finder(len(entrants))
	for _, entrant := range entrants {
		var competitor Competitor
		if old := find.competitor(entrant.Code); old != nil {
			competitor = *old
		}
		competitor.Entrant = competitor.Entrant.With(entrant)
		list = append(list, competitor)
	}
	return list
}

// addAmended adds to the competitors of a ranked contest what competitor.defines have
// changed of them.
func (c *Contest) addAmended(marks Marks) {
	for i := range c.Competitors {
		c.Competitors[i].Amended, _ = marks.Entrant(c.Competitors[i].Code)
	}
}

// checkList returns why a new list of competitors cannot be, nil if it can.
func (c *Contest) checkList(next *Contest, marks Marks) *score.Problem {
	if left := c.missingFrom(next.Competitors); left == nil && len(c.Competitors) > 0 {
		return nil
	}
	listed := next.finder(len(c.Competitors))
	for i := range c.Competitors {
		old := &c.Competitors[i]
		if listed.competitor(old.Code) != nil {
			continue
		}
		if old.Scored {
			return conflict("data.competitors",
				"%q is missing from the list but has a score; keep it, or void its events first", old.Code)
		}
	}
	if c.Winner != "" && !next.competes(c.Winner, marks) {
		return conflict("data.competitors",
			"%q is missing from the list but was decided to be the winner; keep it, or take the decision back first",
			c.Winner)
	}
	if c.Split != "" && next.Definition.Kind == score.Ranked {
		if code := next.Unlisted(c, marks); code != "" {
			return conflict("data.competitors",
				"%q is missing from the list but has a mark; put it on the list, or void its marks first", code)
		}
	}
	return nil
}

// checkRedefinition returns why a definition without a reason cannot be once it is settled
// who competes, nil if it can.
func (c *Contest) checkRedefinition(next *Contest) *score.Problem {
	remedy := "there are plays or marks already; give a reason, and all of them are folded again"
	if !c.hasScores() {
		remedy = "the contest has been RUNNING, is decided or OFFICIAL; give a reason"
	}
	member := next.Definition.Differs(&c.Definition)
	if member != "" && (member == "kind" || c.hasScores()) {
		return conflict("data."+member, "%s cannot change: %s", member, remedy)
	}
	if left := c.missingFrom(next.Competitors); left != nil {
		return conflict("data.competitors", "%q is missing from the list: %s", left.Code, remedy)
	}
	return nil
}

// Known returns what is known of a competitor.
func (w *Competitor) Known() score.Entrant { return w.Entrant.With(w.Amended) }

// startListLen returns the number of competitors who are listed or entered.
func (c *Contest) startListLen() int {
	n := len(c.Competitors)
	if c.Definition.Kind != score.Ranked {
		return n
	}
	n += c.Entered
	for i := range c.Competitors {
		if c.Competitors[i].Amended.Code != "" { // counted twice
			n--
		}
	}
	return n
}

// MaxStartList limits the competitors of a ranked contest that competitor.defines name.
const MaxStartList = 1_000_000

// enter applies a competitor.define.
func (c *Contest) enter(d *score.CompetitorDefine, marks Marks, mode Mode) *score.Problem {
	switch {
	case c.Definition.Kind == "":
		return Undefined(c.ID)
	case c.Definition.Kind == score.Ranked:
		return c.enterRanked(d, marks)
	}
	player := c.competitor(d.Competitor)
	if player == nil {
		if len(c.Competitors) >= score.MaxEntrants {
			return score.Problemf(score.TooLarge,
				"the contest has %d competitors, which is the most", score.MaxEntrants).At("data.competitor")
		}
		if p := c.checkNumbers(len(c.Periods), mode); p != nil {
			return p
		}
		c.Competitors = append(c.Competitors, Competitor{})
		player = &c.Competitors[len(c.Competitors)-1]
	}
	player.Entrant = player.Entrant.Changed(d)
	c.Entered++
	return nil
}

func (c *Contest) enterRanked(d *score.CompetitorDefine, marks Marks) *score.Problem {
	old, known := marks.Entrant(d.Competitor)
	if !known && c.Entered >= MaxStartList {
		return score.Problemf(score.TooLarge, "the start list has %d competitors, which is the most", MaxStartList).
			At("data.competitor")
	}
	if !known {
		c.Entered++
	}
	marks.SetEntrant(old.Changed(d))
	c.updateEntrant(d.Competitor, marks)
	return nil
}

// updateEntrant updates what the contest itself has of an entrant of a ranked contest that
// has been set or removed.
func (c *Contest) updateEntrant(code string, marks Marks) {
	e, _ := marks.Entrant(code)
	if listed := c.competitor(code); listed != nil {
		listed.Amended = e
	}
	shown := func(f score.Entrant) bool { return f.Code == code }
	if n := len(c.Entrants); n < MaxLeaders || e.Compare(c.Entrants[n-1]) < 0 ||
		slices.ContainsFunc(c.Entrants, shown) {
		c.Entrants = marks.FirstEntrants(MaxLeaders)
	}
	if slices.ContainsFunc(c.Leaders, func(m ranking.Mark) bool { return m.Competitor == code }) {
		c.Leaders, _ = marks.First(c.Split, MaxLeaders)
	}
}

// competes reports whether a competitor may have a mark or win.
func (c *Contest) competes(code string, marks Marks) bool {
	switch {
	case c.competitor(code) != nil:
		return true
	case c.Definition.Kind != score.Ranked:
		return false
	case len(c.Competitors) == 0:
		return true
	}
	_, entered := marks.Entrant(code)
	return entered
}

// Listed returns the competitors that the contest itself has, with what is known of them,
// in the order of the start list, and the number of all.
func (c *Contest) Listed() (list []score.Entrant, total int) {
	for i := range c.Competitors {
		list = append(list, c.Competitors[i].Known())
	}
	slices.SortFunc(list, score.Entrant.Compare)
	return list, c.startListLen()
}

// Format returns how the marks of the contest are written.
func (d *Definition) Format() mark.Format {
	f := mark.Format{ResultType: d.ResultType, Unit: d.Unit, Unit2: d.Unit2, Sort: "desc", Precision: d.Precision}
	if d.LowerIsBetter() {
		f.Sort = "asc"
	}
	if d.isTime() {
		f.Unit = "s"
	}
	if d.isTime2() {
		f.Unit2 = "s"
	}
	return f
}

func (d *Definition) isTime() bool { return d.ResultType == "TIME" }

// isTime2 reports whether mark2 is a time.
func (d *Definition) isTime2() bool {
	_, known := mark.SecondsPer(d.Unit2)
	return known && d.Unit2 != ""
}

// checkUnits refuses a definition whose times could not be converted.
func (d *Definition) checkUnits() *score.Problem {
	if !d.isTime() {
		return nil
	}
	seconds, known := mark.SecondsPer(d.Unit)
	if !known {
		return invalid("data.unit", "got %q for times; want %s", quote.Clip(d.Unit), mark.TimeUnits)
	}
	if d.Kind == score.HeadToHead && seconds != 1 {
		return invalid("data.unit", "got %q; a head_to_head contest counts times in s", quote.Clip(d.Unit))
	}
	return nil
}
