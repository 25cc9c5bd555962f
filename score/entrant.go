package score

import (
	"cmp"
	"strconv"
	"strings"

	"laurel/score/quote"
)

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

// StartListPage is a page of the competitors of a contest, in the order of the start list.
type StartListPage struct {
	ContestID   string    `json:"contest_id"`
	Total       int       `json:"total"` // of all pages
	Competitors []Entrant `json:"competitors"`
	Next        string    `json:"next"` // parameter after of the next page; "" at the end
}

// ParsePlace parses a result of Entrant.Place. It returns an entrant at the place, nil for
// the one before the first, which is "".
func ParsePlace(s string) (at *Entrant, ok bool) {
	if s == "" {
		return nil, true
	}
	order, code, ok := strings.Cut(s, ",")
	n, err := strconv.Atoi(order)
	return &Entrant{Order: n, Code: code}, ok && err == nil
}

// Place returns the place of e on a start list: the order, a comma, and the code.
func (e *Entrant) Place() string {
	if e == nil {
		return ""
	}
	return strconv.Itoa(e.Order) + "," + e.Code
}

// Entrant is one competitor in the list of a contest.define, or on a start list.
type Entrant struct {
	Code         string   `json:"code" is:"code"`
	Name         string   `json:"name,omitzero"`
	Organisation string   `json:"organisation,omitzero" is:"code"`
	Type         string   `json:"type,omitzero"` // A (athlete) or T (team)
	Order        int      `json:"order,omitzero"`
	Categories   []string `json:"categories,omitzero" is:"code"`
}

func checkEntrants(c *Checker, list []Entrant) {
	if len(list) > MaxEntrants {
		c.Fail("data.competitors",
			"has %d members; the most is %d (post a competitor.define for each, or leave the list out, "+
				"and a competitor's first mark adds it)", len(list), MaxEntrants)
		return
	}
	seen := make(map[string]bool, len(list))
	for i, e := range list {
		one := Checker{}
		one.Text("code", e.Code, maxCode, required)
		one.Text("name", e.Name, maxName, optional)
		one.Text("organisation", e.Organisation, maxCode, optional)
		one.OneOf("type", e.Type, optional, entrantTypes)
		checkCategories(&one, "categories", e.Categories)
		if seen[e.Code] {
			one.Fail("code", "%q is listed twice", quote.Clip(e.Code))
		}
		seen[e.Code] = true
		c.adopt(&one, "data.competitors", i)
	}
}

func checkCategories(c *Checker, field string, list []string) {
	if len(list) > MaxCategories {
		c.Fail(field, "has %d members; the most is %d", len(list), MaxCategories)
	}
	c.Names(field, list, maxCode)
}

// CompetitorDefine adds a competitor to a contest, or changes what is known of one, at any
// time. What is left out stays; Clear has the members that are null, which clears them. In
// a ranked contest it counts before the list of the contest.define, which a void or null
// brings back.
type CompetitorDefine struct {
	Competitor   string   `json:"competitor" is:"code"`
	Name         string   `json:"name,omitzero" is:"name"`
	Organisation string   `json:"organisation,omitzero" is:"code"`
	Type         string   `json:"type,omitzero" is:"entrant_type"` // A (athlete) or T (team)
	Order        int      `json:"order,omitzero"`
	Categories   []string `json:"categories,omitzero" is:"code"`
	Comment      string   `json:"comment,omitzero" is:"text"`
	clearing     `json:"-"`
}

func (*CompetitorDefine) eventType() Type { return TypeCompetitorDefine }

func checkCompetitorDefine(d *CompetitorDefine, c *Checker) {
	checkCategories(c, "data.categories", d.Categories)
}
