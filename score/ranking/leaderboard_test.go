package ranking

import (
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score/mark"
)

func TestALeaderboardIsWrittenAsByTheGeneralEncoder(t *testing.T) {
	value, mark2, diff := mark.Points(9), mark.Points(-2), mark.Decimal(5)
	full := Row{Competitor: "1\u2028", Name: "Ann \"A\"", Organisation: "GAU", Categories: NewCategories("M", "M40"),
		Mark: &value, Mark2: &mark2, Out: "DNF", Rank: 2, RankEqual: true, Diff: &diff}
	for _, l := range []Leaderboard{
		{Rows: []Row{}},
		{ContestID: "G/1", Split: "finish", Category: "M", Total: 2, Categories: []string{"M", "M40"}, Next: "9,1",
			Format: mark.Format{ResultType: "TIME", Unit: "s", Unit2: "s", Sort: "asc", Precision: new(0)},
			Rows:   []Row{full, {Competitor: "2", IRM: "DSQ"}}},
	} {
		want, err := json.Marshal(&l)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(l.AppendJSON(nil)); got != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
