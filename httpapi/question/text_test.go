package question

import (
	"bytes"
	"testing"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
)

// shootOut is a match in which the second side leads.
func shootOut() score.Record {
	a, b := mark.Points(3), mark.Points(3)
	points := func(h1, h2 int64) score.Totals {
		return score.Totals{{Code: "H1", Value: mark.Points(h1)}, {Code: "H2", Value: mark.Points(h2)}}
	}
	return score.Record{
		ContestID: "G/1", Title: "Gaul - Rome", Kind: score.HeadToHead, ScheduleStatus: "FINISHED", ResultStatus: "OFFICIAL",
		Periods: []string{"H1", "H2"}, TiebreakPeriods: []string{"PSO"}, Period: "PSO",
		Competitors: []score.Standing{
			{Code: "ROM", Order: 2, Rank: 1, Result: &b, Periods: points(0, 3), Tiebreak: mark.Points(1)},
			{Code: "GAU", Order: 1, Rank: 2, Result: &a, Periods: points(2, 0), Adjustment: mark.Points(1)},
		},
		Winner: "ROM", Decision: "SHOOT_OUT", Corrected: true,
	}
}

func TestTheTextOfAContestHasItsSidesPeriodsAndHowItWasDecided(t *testing.T) {
	rec := shootOut()
	var b bytes.Buffer
	scoreText(&b, &rec)
	want := "G/1  Gaul - Rome\nFINISHED  OFFICIAL  CORRECTED  PSO\nwinner: ROM\ndecision: SHOOT_OUT\n\n" +
		"RANK  CODE  NAME  ORG  RESULT  H1  H2  ADJUSTMENT  TIEBREAK\n" +
		"2     GAU              3       2   0   1           0\n" +
		"1     ROM              3       0   3   0           1\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	scoresText(&b, &ScorePage{Scores: []score.Record{rec}})
	want = "CONTEST  TITLE        STATUS    RESULT              PERIOD  WINNER          SCORE\n" +
		"G/1      Gaul - Rome  FINISHED  OFFICIAL CORRECTED  PSO     ROM, SHOOT_OUT  GAU 3 (0), ROM 3 (1)\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTheTextOfAMedalTableHasTheNamesOfItsCompetition(t *testing.T) {
	rows := []medal.Row{{Organisation: "GAU", Name: "Gaul", Gold: 1, Total: 1, Rank: 1}}
	var b bytes.Buffer
	medalsText(&b, rows, []medal.Row{{Organisation: "AIN"}})
	want := "RANK  ORGANISATION  NAME  GOLD  SILVER  BRONZE  TOTAL\n" +
		"1     GAU           Gaul  1     0       0       1\n" +
		"-     AIN                 0     0       0       0\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
