package medal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/medal"
)

// table returns a table with the medals of text, such as "GAU 1 2 0, ROM 0 1 0".
func table(t *testing.T, text string) *medal.Table {
	t.Helper()
	table := &medal.Table{Competition: "OG50BC"}
	for _, line := range strings.Split(text, ", ") {
		var o string
		var gold, silver, bronze int
		if _, err := fmt.Sscan(line, &o, &gold, &silver, &bronze); err != nil {
			t.Fatal(err)
		}
		table.AddOrganisation(o)
		table.AddMedals(o, score.Gold, gold)
		table.AddMedals(o, score.Silver, silver)
		table.AddMedals(o, score.Bronze, bronze)
	}
	return table
}

// ranked returns rows as "1 GAU", or "1= GAU" if the rank is shared.
func ranked(rows []medal.Row) string {
	var lines []string
	for _, r := range rows {
		equal := ""
		if r.RankEqual {
			equal = "="
		}
		lines = append(lines, fmt.Sprintf("%d%s %s", r.Rank, equal, r.Organisation))
	}
	return strings.Join(lines, ", ")
}

func TestMedalsAreRankedByGoldThenSilverThenBronze(t *testing.T) {
	m := table(t, "ROM 1 9 9, GAU 2 0 0, EGY 1 9 9, BRI 1 9 10, GRE 0 99 99, HEL 0 0 1, BEL 0 0 1, IBE 0 0 1, NIL 0 0 0").Standings()
	if got, want := ranked(m.Rows), "1 GAU, 2 BRI, 3= EGY, 3= ROM, 5 GRE, 6= BEL, 6= HEL, 6= IBE"; got != want {
		t.Errorf("the table is %s, want %s", got, want)
	}
	if r := m.Rows[1]; r.Gold != 1 || r.Silver != 9 || r.Bronze != 10 || r.Total != 20 {
		t.Errorf("the row of Britain is %+v", r)
	}
}

func TestNeutralOrganisationsStayOutsideTheRanking(t *testing.T) {
	table := table(t, "AIN 9 0 0, GAU 1 0 0, ROM 0 1 0, EOR 0 0 1")
	table.Define(&score.CompetitionDefine{Name: "Games", Neutral: []string{"EOR", "AIN", "NIL"}})
	m := table.Standings()
	if rows, outside := ranked(m.Rows), ranked(m.Outside); rows != "1 GAU, 2 ROM" || outside != "0 AIN, 0 EOR" {
		t.Errorf("the table is %s; outside are %s", rows, outside)
	}
	if row, ok := table.Row("AIN"); !ok || row.Gold != 9 || row.Rank != 0 {
		t.Errorf("the row outside is %+v, %v", row, ok)
	}
	if row, ok := table.Row("NIL"); !ok || row != (medal.Row{Organisation: "NIL"}) {
		t.Errorf("a neutral organisation without medals has %+v, %v", row, ok)
	}
	if !table.Undefine() || table.Undefine() {
		t.Error("Undefine does not report whether there was a definition")
	}
	if rows := ranked(table.Standings().Rows); rows != "1 AIN, 2 GAU, 3 ROM, 4 EOR" {
		t.Errorf("without the definition the table is %s", rows)
	}
}

func clearing(member string, d score.CompetitionDefine) score.CompetitionDefine {
	d.Clear = []string{member}
	return d
}

func TestADefinitionOfACompetitionComesInParts(t *testing.T) {
	table := table(t, "GAU 1 0 0, ROM 0 1 0")
	define := func(d score.CompetitionDefine, want string) {
		t.Helper()
		table.Define(&d)
		s := table.Standings()
		got := s.Name + ": " + ranked(s.Rows) + ":"
		for _, o := range []string{"GAU", "ROM", "BRI"} {
			row, _ := table.Row(o)
			got += " " + row.Name
		}
		if got = strings.TrimRight(got, " "); got != want {
			t.Errorf("after %+v it is %q; want %q", d, got, want)
		}
	}
	gaul, rome := score.Organisation{Code: "GAU", Name: "Gaul"}, score.Organisation{Code: "ROM", Name: "Rome"}
	define(score.CompetitionDefine{Name: "Games", Neutral: []string{"ROM"}}, "Games: 1 GAU:")
	define(score.CompetitionDefine{Organisations: []score.Organisation{gaul, rome}}, "Games: 1 GAU: Gaul Rome")
	define(score.CompetitionDefine{Organisations: []score.Organisation{{Code: "ROM"}, {Code: "BRI", Name: "Britain"}}},
		"Games: 1 GAU: Gaul  Britain")
	define(clearing("neutral", score.CompetitionDefine{}), "Games: 1 GAU, 2 ROM: Gaul  Britain")
	define(clearing("organisations", score.CompetitionDefine{Name: "Circus"}), "Circus: 1 GAU, 2 ROM:")
	define(clearing("name", score.CompetitionDefine{}), ": 1 GAU, 2 ROM:")
	define(score.CompetitionDefine{Organisations: []score.Organisation{gaul}}, ": 1 GAU, 2 ROM: Gaul")
	if !table.Undefine() {
		t.Error("Undefine does not report the names of organisations")
	}
	if row, _ := table.Row("GAU"); row.Name != "" {
		t.Errorf("without definitions GAU has the name %q", row.Name)
	}
}

func TestRowOfAnOrganisationWithoutMedals(t *testing.T) {
	table := table(t, "GAU 1 0 0")
	if !table.AddOrganisation("ROM") || table.AddOrganisation("ROM") || table.AddOrganisation("") {
		t.Error("AddOrganisation does not report which organisation is new")
	}
	if row, ok := table.Row("ROM"); !ok || row != (medal.Row{Organisation: "ROM"}) {
		t.Errorf("Rome has %+v, %v", row, ok)
	}
	if row, ok := table.Row("BRI"); ok {
		t.Errorf("Britain has %+v", row)
	}
	if rows := ranked(table.Standings().Rows); rows != "1 GAU" {
		t.Errorf("the table is %s", rows)
	}
}

func TestARevokedMedalIsRemoved(t *testing.T) {
	table := table(t, "GAU 1 0 0, ROM 0 0 1")
	table.AddMedals("ROM", score.Bronze, -1)
	table.AddMedals("GAU", score.Bronze, 1)
	if rows := ranked(table.Standings().Rows); rows != "1 GAU" {
		t.Errorf("the table is %s", rows)
	}
	if row, ok := table.Row("ROM"); !ok || row.Total != 0 || row.Rank != 0 {
		t.Errorf("Rome has %+v, %v", row, ok)
	}
}

func TestAnEmptyMedalTableIsTwoEmptyLists(t *testing.T) {
	b, err := json.Marshal((&medal.Table{Competition: "OG50BC"}).Standings())
	if want := `{"competition":"OG50BC","rows":[],"outside":[],"revision":0}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
}

func TestAClonedMedalTableIsIndependent(t *testing.T) {
	original := table(t, "GAU 1 0 0, ROM 0 1 0")
	clone := original.Clone()
	original.AddMedals("GAU", score.Gold, 5)
	original.AddMedals("BRI", score.Gold, 1)
	original.Define(&score.CompetitionDefine{Neutral: []string{"GAU"}})
	if rows := ranked(clone.Standings().Rows); rows != "1 GAU, 2 ROM" || clone.Counts[0].Gold != 1 {
		t.Errorf("the clone is %s", rows)
	}
}

func TestAMedalTableSurvivesJSON(t *testing.T) {
	original := table(t, "GAU 1 0 0, ROM 0 1 0, NIL 0 0 0")
	original.Define(&score.CompetitionDefine{Name: "Games", Neutral: []string{"EOR"}})
	b, err := json.Marshal(original)
	if err != nil {
		t.Fatal(err)
	}
	var back medal.Table
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(&back); err != nil || string(again) != string(b) {
		t.Errorf("%s is read back as %s, %v", b, again, err)
	}
}
