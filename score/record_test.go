package score_test

import (
	"testing"

	"laurel/score"
	"laurel/score/mark"
)

func TestASummaryHasTheResultsThatThereAre(t *testing.T) {
	points := func(n int64) *mark.Decimal { d := mark.Points(n); return &d }
	total := 30
	first, err := mark.ParseDecimal("7503.25")
	if err != nil {
		t.Fatal(err)
	}
	sides := []score.Standing{ // by rank, and not in the order of sides
		{Code: "ROM", Order: 2, Result: points(2), Tiebreak: mark.Points(3)},
		{Code: "GAU", Order: 1, Result: points(2)},
	}
	runners := []score.Standing{{Code: "7", Result: &first}, {Code: "9", Result: points(59)},
		{Code: "4", IRM: "DNF"}, {Code: "5", Result: &first}}
	race := mark.Format{ResultType: "TIME"}
	for _, c := range []struct {
		want string
		of   score.Record
	}{
		{"GAU 2 (0), ROM 2 (3)", score.Record{Kind: score.HeadToHead, ScheduleStatus: "FINISHED",
			TiebreakPeriods: []string{"PSO"}, Competitors: sides}},
		{"GAU 2, ROM 2", score.Record{Kind: score.HeadToHead, ScheduleStatus: "POSTPONED", Started: true, Competitors: sides}},
		{"GAU, ROM", score.Record{Kind: score.HeadToHead, ScheduleStatus: "SCHEDULED", Competitors: sides}},
		{"GAU, ROM", score.Record{Kind: score.HeadToHead, ScheduleStatus: "POSTPONED", Competitors: sides}},
		{"7 2:05:03.25, 9 59, 4 DNF, of 30", score.Record{Kind: score.Ranked, Format: race, Total: &total, Competitors: runners}},
		{"", score.Record{Kind: score.Ranked, Total: &total, Competitors: []score.Standing{{Code: "7"}}}},
	} {
		if got := c.of.Summary(); got != c.want {
			t.Errorf("%s: got %q; want %q", c.of.ScheduleStatus, got, c.want)
		}
	}
}
