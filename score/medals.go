package score

import (
	"cmp"
	"slices"
	"time"
)

// MedalTable is the state of a competition's medals: what is folded from its awards.
//
// It is stored as the JSON of this struct; the names of the members are part of the snapshot's format.
type MedalTable struct {
	Competition string `json:"competition"`
	Name        string `json:"name,omitzero"`
	// NameByContests is the competition_name that the last contest.define gave; it names the competition until a competition.define does.
	NameByContests string   `json:"contests_say,omitzero"`
	Neutral        []string `json:"neutral,omitzero"`
	// Counts has every organisation that the competition knows, by code, those without a medal included.
	Counts    []MedalCount `json:"counts,omitzero"`
	Revision  uint64       `json:"rev"`
	UpdatedAt time.Time    `json:"at,omitzero"`
}

// MedalCount is what one organisation has won.
type MedalCount struct {
	Organisation string `json:"o"`
	Gold         int    `json:"g,omitzero"`
	Silver       int    `json:"s,omitzero"`
	Bronze       int    `json:"b,omitzero"`
}

// Clone is a copy that shares nothing that changes.
func (t *MedalTable) Clone() *MedalTable {
	d := *t
	d.Counts = slices.Clone(t.Counts)
	return &d
}

// Define takes a competition.define in; nil undoes all of them.
func (t *MedalTable) Define(d *CompetitionDefine) {
	t.Name, t.Neutral = "", nil
	if d != nil {
		t.Name, t.Neutral = d.Name, d.Neutral
	}
	for _, o := range t.Neutral {
		t.AddOrganisation(o)
	}
}

func (t *MedalTable) find(organisation string) (int, bool) {
	return slices.BinarySearchFunc(t.Counts, organisation, func(c MedalCount, o string) int { return cmp.Compare(c.Organisation, o) })
}

// Know adds an organisation without medals; it tells whether it was new.
func (t *MedalTable) AddOrganisation(organisation string) bool {
	if organisation == "" {
		return false
	}
	i, known := t.find(organisation)
	if !known {
		t.Counts = slices.Insert(t.Counts, i, MedalCount{Organisation: organisation})
	}
	return !known
}

// Count adds n medals, or takes them off where n is negative.
func (t *MedalTable) AddMedals(organisation, medal string, n int) {
	t.AddOrganisation(organisation)
	i, _ := t.find(organisation)
	switch c := &t.Counts[i]; medal {
	case Gold:
		c.Gold += n
	case Silver:
		c.Silver += n
	case Bronze:
		c.Bronze += n
	}
}

// MedalRow is a line of the medal table. A neutral organisation, and one without a medal, has no rank (0).
type MedalRow struct {
	Organisation string `json:"organisation"`
	Gold         int    `json:"gold"`
	Silver       int    `json:"silver"`
	Bronze       int    `json:"bronze"`
	Total        int    `json:"total"`
	Rank         int    `json:"rank,omitzero"`
	RankEqual    bool   `json:"rank_equal"` // another has the same rank
}

// Medals is a medal table as readers see it.
type Medals struct {
	Competition string     `json:"competition"`
	Name        string     `json:"name,omitzero"`
	Rows        []MedalRow `json:"rows"`
	Outside     []MedalRow `json:"outside"` // the neutral organisations that have medals, in the same order, without rank
	Revision    uint64     `json:"revision"`
	UpdatedAt   time.Time  `json:"updated_at,omitzero"`
}

// Medals derives what readers see: gold, then silver, then bronze decide; equals share a rank and come by code.
func (t *MedalTable) Medals() Medals {
	m := Medals{Competition: t.Competition, Name: cmp.Or(t.Name, t.NameByContests), Rows: []MedalRow{}, Outside: []MedalRow{}, Revision: t.Revision, UpdatedAt: t.UpdatedAt}
	for _, c := range t.Counts {
		row := MedalRow{Organisation: c.Organisation, Gold: c.Gold, Silver: c.Silver, Bronze: c.Bronze, Total: c.Gold + c.Silver + c.Bronze}
		switch {
		case row.Total == 0:
		case slices.Contains(t.Neutral, c.Organisation):
			m.Outside = append(m.Outside, row)
		default:
			m.Rows = append(m.Rows, row)
		}
	}
	slices.SortStableFunc(m.Rows, byMedals)
	slices.SortStableFunc(m.Outside, byMedals)
	for i := range m.Rows {
		m.Rows[i].Rank = i + 1
		if i > 0 && byMedals(m.Rows[i-1], m.Rows[i]) == 0 {
			m.Rows[i].Rank = m.Rows[i-1].Rank
			m.Rows[i].RankEqual, m.Rows[i-1].RankEqual = true, true
		}
	}
	return m
}

func byMedals(a, b MedalRow) int {
	return cmp.Or(cmp.Compare(b.Gold, a.Gold), cmp.Compare(b.Silver, a.Silver), cmp.Compare(b.Bronze, a.Bronze))
}

// row is the line of one organisation; ok is false if it has no medal.
func (m *Medals) row(organisation string) (MedalRow, bool) {
	for _, rows := range [][]MedalRow{m.Rows, m.Outside} {
		for _, r := range rows {
			if r.Organisation == organisation {
				return r, true
			}
		}
	}
	return MedalRow{}, false
}

// Row is the line of one organisation, zeros for a known one without medals; ok is false if the competition does not know it.
func (t *MedalTable) Row(organisation string) (row MedalRow, ok bool) {
	m := t.Medals()
	if row, ok = m.row(organisation); ok {
		return row, true
	}
	_, ok = t.find(organisation)
	return MedalRow{Organisation: organisation}, ok
}
