package medal

import (
	"cmp"
	"slices"
	"time"

	"laurel/score"
)

// Table is the state of a competition's medals, folded from its awards. The store
// keeps it as JSON, so the names of its members are part of the snapshot format.
type Table struct {
	Competition string `json:"competition"`
	Name        string `json:"name,omitzero"`
	// NameByContests is the competition_name of the last contest.define that has or clears
	// one. It is the name until a competition.define gives one.
	NameByContests string   `json:"contests_say,omitzero"`
	Neutral        []string `json:"neutral,omitzero"`
	// Counts holds all known organisations by code, including those without a medal.
	Counts    []Count   `json:"counts,omitzero"`
	Revision  uint64    `json:"rev"`
	UpdatedAt time.Time `json:"at,omitzero"`
}

// Count is the medals of one organisation.
type Count struct {
	Organisation string `json:"o"`
	Name         string `json:"n,omitzero"` // as a competition.define gives it
	Gold         int    `json:"g,omitzero"`
	Silver       int    `json:"s,omitzero"`
	Bronze       int    `json:"b,omitzero"`
}

// Clone returns a copy that shares nothing that changes.
func (t *Table) Clone() *Table {
	d := *t
	d.Counts = slices.Clone(t.Counts)
	return &d
}

// Define applies a competition.define: what it leaves out stays.
func (t *Table) Define(d *score.CompetitionDefine) {
	if d.Name != "" || d.Clears("name") {
		t.Name = d.Name
	}
	if d.Neutral != nil || d.Clears("neutral") {
		t.Neutral = d.Neutral
	}
	if d.Clears("organisations") {
		t.clearNames()
	}
	for _, o := range d.Neutral {
		t.AddOrganisation(o)
	}
	for _, o := range d.Organisations {
		t.AddOrganisation(o.Code)
		i, _ := t.find(o.Code)
		t.Counts[i].Name = o.Name
	}
}

// Undefine undoes all competition.defines. It reports whether there was anything to undo.
func (t *Table) Undefine() bool {
	defined := t.clearNames() || t.Name != "" || t.Neutral != nil
	t.Name, t.Neutral = "", nil
	return defined
}

// clearNames removes the names of organisations and reports whether there were any.
func (t *Table) clearNames() (named bool) {
	for i := range t.Counts {
		named = named || t.Counts[i].Name != ""
		t.Counts[i].Name = ""
	}
	return named
}

func (t *Table) find(organisation string) (int, bool) {
	return slices.BinarySearchFunc(t.Counts, organisation, func(c Count, o string) int {
		return cmp.Compare(c.Organisation, o)
	})
}

// Knows reports whether the table has an organisation.
func (t *Table) Knows(organisation string) bool {
	_, known := t.find(organisation)
	return known
}

// HasMedals reports whether an organisation has a medal.
func (t *Table) HasMedals() bool {
	return slices.ContainsFunc(t.Counts, func(c Count) bool { return c.Gold+c.Silver+c.Bronze > 0 })
}

// AddOrganisation adds an organisation without medals. It reports whether the
// organisation is new.
func (t *Table) AddOrganisation(organisation string) bool {
	if organisation == "" {
		return false
	}
	i, known := t.find(organisation)
	if !known {
		t.Counts = slices.Insert(t.Counts, i, Count{Organisation: organisation})
	}
	return !known
}

// AddMedals adds n medals, or removes -n if n is negative.
func (t *Table) AddMedals(organisation, medal string, n int) {
	t.AddOrganisation(organisation)
	i, _ := t.find(organisation)
	switch c := &t.Counts[i]; medal {
	case score.Gold:
		c.Gold += n
	case score.Silver:
		c.Silver += n
	case score.Bronze:
		c.Bronze += n
	}
}

// Row is one organisation in the medal table. Neutral organisations, and those
// without a medal, have no rank (0).
type Row struct {
	Organisation string `json:"organisation"`
	Name         string `json:"name,omitzero"`
	Gold         int    `json:"gold"`
	Silver       int    `json:"silver"`
	Bronze       int    `json:"bronze"`
	Total        int    `json:"total"`
	Rank         int    `json:"rank,omitzero"`
	RankEqual    bool   `json:"rank_equal"` // another organisation has the same rank
}

// Standings is a medal table as readers see it.
type Standings struct {
	Competition string    `json:"competition"`
	Name        string    `json:"name,omitzero"`
	Rows        []Row     `json:"rows"`
	Outside     []Row     `json:"outside"` // neutral organisations with medals, in the same order
	Revision    uint64    `json:"revision"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
}

// Standings returns the table as readers see it, ordered by gold, then silver, then
// bronze. Equal organisations share a rank and are ordered by code.
func (t *Table) Standings() Standings {
	m := Standings{
		Competition: t.Competition,
		Name:        cmp.Or(t.Name, t.NameByContests),
		Rows:        []Row{},
		Outside:     []Row{},
		Revision:    t.Revision,
		UpdatedAt:   t.UpdatedAt,
	}
	for _, c := range t.Counts {
		row := Row{
			Organisation: c.Organisation,
			Name:         c.Name,
			Gold:         c.Gold,
			Silver:       c.Silver,
			Bronze:       c.Bronze,
			Total:        c.Gold + c.Silver + c.Bronze,
		}
		switch {
		case row.Total == 0:
		case slices.Contains(t.Neutral, c.Organisation):
			m.Outside = append(m.Outside, row)
		default:
			m.Rows = append(m.Rows, row)
		}
	}
	slices.SortStableFunc(m.Rows, compareMedals)
	slices.SortStableFunc(m.Outside, compareMedals)
	for i := range m.Rows {
		m.Rows[i].Rank = i + 1
		if i > 0 && compareMedals(m.Rows[i-1], m.Rows[i]) == 0 {
			m.Rows[i].Rank = m.Rows[i-1].Rank
			m.Rows[i].RankEqual, m.Rows[i-1].RankEqual = true, true
		}
	}
	return m
}

func compareMedals(a, b Row) int {
	return cmp.Or(cmp.Compare(b.Gold, a.Gold), cmp.Compare(b.Silver, a.Silver), cmp.Compare(b.Bronze, a.Bronze))
}

// Row returns the row of an organisation, with zeros if it is known but has no medals. ok
// is false if the competition does not know it.
func (t *Table) Row(organisation string) (row Row, ok bool) {
	m := t.Standings()
	for _, r := range slices.Concat(m.Rows, m.Outside) {
		if r.Organisation == organisation {
			return r, true
		}
	}
	i, ok := t.find(organisation)
	row.Organisation = organisation
	if ok {
		row.Name = t.Counts[i].Name
	}
	return row, ok
}
