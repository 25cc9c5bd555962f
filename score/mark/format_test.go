package mark_test

import (
	"os"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score/mark"
	"laurel/score/ranking"
)

// markExample is one line of testdata/marks.json, which the formatter of the page must
// follow too.
type markExample struct {
	mark.Format
	Mark  *mark.Decimal `json:"mark"`
	Mark2 *mark.Decimal `json:"mark2"`
	Diff  *mark.Decimal `json:"diff"`
	IRM   string        `json:"irm"`
	Out   string        `json:"out"`
	Text  string        `json:"text"`
	Gap   string        `json:"gap"`
}

func TestMarksAreWrittenAsInTheTable(t *testing.T) {
	table, err := os.ReadFile("../../testdata/marks.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []markExample
	if err := json.Unmarshal(table, &examples, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	if len(examples) < 40 {
		t.Fatalf("the table has only %d examples", len(examples))
	}
	for i, e := range examples {
		row := ranking.Row{Mark: e.Mark, Mark2: e.Mark2, Diff: e.Diff, IRM: e.IRM, Out: e.Out}
		text, gap := row.Text(&e.Format)
		if text != e.Text || gap != e.Gap {
			t.Errorf("example %d is written %q, gap %q; want %q, %q", i, text, gap, e.Text, e.Gap)
		}
	}
}
