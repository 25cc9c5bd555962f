package score

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A definition may be posted in parts: what it leaves out stays, and null clears. An empty
// text, list or number in its place clears too, and has the same stored form. A comment, a
// reason and what a type requires are of the event alone.

// partial is data that leaves as it is what it does not have.
type partial interface {
	Data
	cleared() *[]string // the members that are null, in the order of the struct
}

func (d *CompetitionDefine) cleared() *[]string { return &d.Clear }
func (d *ContestDefine) cleared() *[]string     { return &d.Clear }
func (d *CompetitorDefine) cleared() *[]string  { return &d.Clear }

// Clears reports whether d clears a member.
func (d *CompetitionDefine) Clears(member string) bool { return slices.Contains(d.Clear, member) }

// Clears reports whether d clears a member.
func (d *ContestDefine) Clears(member string) bool { return slices.Contains(d.Clear, member) }

// Clears reports whether d clears a member.
func (d *CompetitorDefine) Clears(member string) bool { return slices.Contains(d.Clear, member) }

// MarshalJSONTo writes the members that d has or clears.
func (d *CompetitionDefine) MarshalJSONTo(e *jsontext.Encoder) error { return writePartial(e, d) }

// MarshalJSONTo writes the members that d has or clears.
func (d *ContestDefine) MarshalJSONTo(e *jsontext.Encoder) error { return writePartial(e, d) }

// MarshalJSONTo writes the members that d has or clears.
func (d *CompetitorDefine) MarshalJSONTo(e *jsontext.Encoder) error { return writePartial(e, d) }

func writePartial(e *jsontext.Encoder, d partial) error {
	v, clear := reflect.ValueOf(d).Elem(), *d.cleared()
	for _, name := range clear {
		if members := memberNames(v.Type()); !slices.Contains(members, name) {
			return fmt.Errorf("cannot clear %q; want one of %s", clip(name), strings.Join(members, ", "))
		}
	}
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for of, member := range v.Fields() {
		name, options := nameOf(of)
		isCleared := slices.Contains(clear, name)
		if name == "-" || !isCleared && options == "omitzero" && isZero(member) {
			continue
		}
		err := e.WriteToken(jsontext.String(name))
		switch {
		case err != nil:
		case isCleared:
			err = e.WriteToken(jsontext.Null)
		default:
			err = json.MarshalEncode(e, member.Interface())
		}
		if err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// nameOf returns the name of a member, "-" if it is not in the JSON, and its options.
func nameOf(of reflect.StructField) (name, options string) {
	name, options, _ = strings.Cut(of.Tag.Get("json"), ",")
	return name, options
}

// isZero reports whether a member counts as left out or, if it is given, as cleared.
func isZero(member reflect.Value) bool {
	if t, ok := member.Interface().(time.Time); ok {
		return t.IsZero()
	}
	return member.IsZero()
}

// isOfEvent reports whether a member is of the event alone and not of what it defines.
func isOfEvent(name, options string) bool {
	return name == "-" || name == "comment" || name == "reason" || options != "omitzero"
}

// readCleared finds the members that d clears. text is the JSON from which d was read.
func readCleared(text jsontext.Value, d partial) error {
	given := map[string]bool{}
	r := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	for r.PeekKind() == '"' {
		name, err := r.ReadToken()
		if err != nil {
			return err
		}
		given[name.String()] = true
		if err := r.SkipValue(); err != nil {
			return err
		}
	}
	for of, member := range reflect.ValueOf(d).Elem().Fields() {
		name, options := nameOf(of)
		if !given[name] || isOfEvent(name, options) {
			continue
		}
		if isZero(member) || member.Kind() == reflect.Slice && member.Len() == 0 {
			member.SetZero()
			*d.cleared() = append(*d.cleared(), name)
		}
	}
	return nil
}

// checkCleared checks what d clears if it was not read from JSON.
func checkCleared(d partial, c *Checker) {
	clear := *d.cleared()
	for of, member := range reflect.ValueOf(d).Elem().Fields() {
		name, options := nameOf(of)
		if !slices.Contains(clear, name) {
			continue
		}
		if isOfEvent(name, options) {
			c.Fail("data."+name, "cannot be cleared")
		}
		if !isZero(member) {
			c.Fail("data."+name, "is both given and cleared")
		}
	}
}

// amend changes into by what d has and clears.
func amend[D any, P interface {
	*D
	partial
}](into *D, d P) {
	to, clear := reflect.ValueOf(into).Elem(), *d.cleared()
	for of, member := range reflect.ValueOf(d).Elem().Fields() {
		name, options := nameOf(of)
		switch {
		case isOfEvent(name, options):
		case slices.Contains(clear, name):
			to.FieldByIndex(of.Index).SetZero()
		case !isZero(member):
			to.FieldByIndex(of.Index).Set(member)
		}
	}
}

// Definition is what the contest.defines of a contest have made together, without its
// competitors.
type Definition ContestDefine

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
		name, _ := nameOf(of)
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
	if d.Kind == Ranked {
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
	return c.Started || c.Decision != "" || c.WasOfficial || c.HasBegun()
}

// HasBegun reports whether there is a play or a mark.
func (c *Contest) HasBegun() bool {
	return c.Split != "" || slices.ContainsFunc(c.Competitors, func(w Competitor) bool { return w.Scored })
}

// Corrects reports whether c has another definition than before, with which the plays and
// marks of before amount to something else, or lacks one of its competitors.
func (c *Contest) Corrects(before *Contest) bool {
	return before.HasBegun() &&
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

// define applies a contest.define. Once the contest has begun, a new event may not change
// what plays and marks amount to, nor, once it is settled who competes, leave out a competitor. With a reason it may, and
// the caller must then fold all events again (Replay), the definitions first.
func (c *Contest) define(d *ContestDefine, marks Marks, mode FoldMode) *Problem {
	next := Contest{ID: c.ID, Definition: c.Definition, Competitors: c.Competitors, Entered: c.Entered}
	amend((*ContestDefine)(&next.Definition), d)
	next.Definition.Competitors = nil
	checker := Checker{}
	if checkWholeDefinition((*ContestDefine)(&next.Definition), &checker); checker.Problem != nil {
		return checker.Problem
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
		if next.Definition.Kind == Ranked {
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
		var known Entrant
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
func (c *Contest) Known(t Traits, competitor string, marks Marks) Traits {
	e, entered := marks.Entrant(competitor)
	t.Name, t.Organisation = e.Name, cmp.Or(e.Organisation, t.Organisation)
	if w := c.competitor(competitor); w != nil {
		e = w.Entrant.With(e)
	} else if !entered {
		return t
	}
	t.Categories = t.Categories.With(NewCategories(e.Categories...))
	return t
}

// checkWholeDefinition checks what a definition has together with those before it.
func checkWholeDefinition(d *ContestDefine, c *Checker) {
	const both = "missing; the first contest.define of a contest needs its kind and its sport"
	if d.Kind == "" {
		c.Fail("data.kind", both)
	}
	if d.Sport == "" {
		c.Fail("data.sport", both)
	}
	checkKind(d, c)
}

// list returns the competitors of a new list, with what is known of them.
func (c *Contest) list(entrants []Entrant) (list []Competitor) {
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
func (c *Contest) checkList(next *Contest, marks Marks) *Problem {
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
	if c.Split != "" && next.Definition.Kind == Ranked {
		if code := next.Unlisted(marks); code != "" {
			return conflict("data.competitors",
				"%q is missing from the list but has a mark; put it on the list, or void its marks first", code)
		}
	}
	return nil
}

// checkRedefinition returns why a definition without a reason cannot be once it is settled
// who competes, nil if it can.
func (c *Contest) checkRedefinition(next *Contest) *Problem {
	remedy := "there are plays or marks already; give a reason, and all of them are folded again"
	if !c.HasBegun() {
		remedy = "the contest has been RUNNING, is decided or OFFICIAL; give a reason"
	}
	member := next.Definition.Differs(&c.Definition)
	if member != "" && (member == "kind" || c.HasBegun()) {
		return conflict("data."+member, "%s cannot change: %s", member, remedy)
	}
	if left := c.missingFrom(next.Competitors); left != nil {
		return conflict("data.competitors", "%q is missing from the list: %s", left.Code, remedy)
	}
	return nil
}

// With returns e changed by what another one has.
func (e Entrant) With(other Entrant) Entrant {
	return Entrant{
		Code:         cmp.Or(other.Code, e.Code),
		Name:         cmp.Or(other.Name, e.Name),
		Organisation: cmp.Or(other.Organisation, e.Organisation),
		Type:         cmp.Or(other.Type, e.Type),
		Order:        cmp.Or(other.Order, e.Order),
		Categories:   orNames(other.Categories, e.Categories),
	}
}

func orNames(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

// Changed returns e changed by a competitor.define.
func (e Entrant) Changed(d *CompetitorDefine) Entrant {
	known := CompetitorDefine{
		Name: e.Name, Organisation: e.Organisation, Type: e.Type, Order: e.Order, Categories: e.Categories,
	}
	amend(&known, d)
	return Entrant{
		Code: d.Competitor, Name: known.Name, Organisation: known.Organisation, Type: known.Type,
		Order: known.Order, Categories: known.Categories,
	}
}

// Compare compares the places of two entrants on a start list.
func (e Entrant) Compare(other Entrant) int {
	return cmp.Or(cmp.Compare(e.Order, other.Order), cmp.Compare(e.Code, other.Code))
}

// Known returns what is known of a competitor.
func (w *Competitor) Known() Entrant { return w.Entrant.With(w.Amended) }

// startListLen returns the number of competitors who are listed or entered.
func (c *Contest) startListLen() int {
	n := len(c.Competitors)
	if c.Definition.Kind != Ranked {
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
func (c *Contest) enter(d *CompetitorDefine, marks Marks, mode FoldMode) *Problem {
	switch {
	case c.Definition.Kind == "":
		return c.undefined()
	case c.Definition.Kind == Ranked:
		return c.enterRanked(d, marks)
	}
	player := c.competitor(d.Competitor)
	if player == nil {
		if len(c.Competitors) >= maxEntrants {
			return Problemf(TooLarge, "the contest has %d competitors, which is the most", maxEntrants).
				At("data.competitor")
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

func (c *Contest) enterRanked(d *CompetitorDefine, marks Marks) *Problem {
	old, known := marks.Entrant(d.Competitor)
	if !known && c.Entered >= MaxStartList {
		return Problemf(TooLarge, "the start list has %d competitors, which is the most", MaxStartList).
			At("data.competitor")
	}
	if !known {
		c.Entered++
	}
	marks.SetEntrant(old.Changed(d))
	c.UpdateEntrant(d.Competitor, marks)
	return nil
}

// UpdateEntrant updates what the contest itself has of an entrant of a ranked contest that
// has been set or removed.
func (c *Contest) UpdateEntrant(code string, marks Marks) {
	e, _ := marks.Entrant(code)
	if listed := c.competitor(code); listed != nil {
		listed.Amended = e
	}
	shown := func(f Entrant) bool { return f.Code == code }
	if n := len(c.Entrants); n < MaxLeaders || e.Compare(c.Entrants[n-1]) < 0 || slices.ContainsFunc(c.Entrants, shown) {
		c.Entrants = marks.FirstEntrants(MaxLeaders)
	}
	if slices.ContainsFunc(c.Leaders, func(m Mark) bool { return m.Competitor == code }) {
		c.Leaders, _ = marks.First(c.Split, MaxLeaders)
	}
}

// competes reports whether a competitor may have a mark or win.
func (c *Contest) competes(code string, marks Marks) bool {
	switch {
	case c.competitor(code) != nil:
		return true
	case c.Definition.Kind != Ranked:
		return false
	case len(c.Competitors) == 0:
		return true
	}
	_, entered := marks.Entrant(code)
	return entered
}

// StartListPage is a page of the competitors of a contest, in the order of the start list.
type StartListPage struct {
	ContestID   string    `json:"contest_id"`
	Total       int       `json:"total"` // of all pages
	Competitors []Entrant `json:"competitors"`
	Next        string    `json:"next"` // parameter after of the next page; "" at the end
}

// Listed returns the competitors that the contest itself has, with what is known of them,
// in the order of the start list, and the number of all.
func (c *Contest) Listed() (list []Entrant, total int) {
	for i := range c.Competitors {
		list = append(list, c.Competitors[i].Known())
	}
	slices.SortFunc(list, Entrant.Compare)
	return list, c.startListLen()
}

// Place is a place on a start list. The zero Place is before the first.
type Place struct {
	order int
	code  string
	given bool
}

// ParsePlace parses the result of String: the order, a comma, and the competitor's code.
func ParsePlace(s string) (p Place, ok bool) {
	if s == "" {
		return p, true
	}
	order, code, ok := strings.Cut(s, ",")
	n, err := strconv.Atoi(order)
	return Place{n, code, true}, ok && err == nil
}

// PlaceOf returns the place of an entrant.
func PlaceOf(e Entrant) Place { return Place{e.Order, e.Code, true} }

func (p Place) String() string {
	if !p.given {
		return ""
	}
	return strconv.Itoa(p.order) + "," + p.code
}

// Before reports whether an entrant comes after p.
func (p Place) Before(e Entrant) bool {
	return !p.given || e.Compare(Entrant{Order: p.order, Code: p.code}) > 0
}

// Entrant returns an entrant with the place, and whether p is a place and not the
// beginning.
func (p Place) Entrant() (e Entrant, given bool) {
	return Entrant{Order: p.order, Code: p.code}, p.given
}
