package question

import (
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

func TestPeriodsAreInTheOrderOfPlay(t *testing.T) {
	for _, test := range []struct{ competitors, want string }{
		{"END2 END3 END4 END5|END1 END6", "END1 END2 END3 END4 END5 END6"},
		{"END10 END2|END9", "END2 END9 END10"},
		{"H1 H2|H2", "H1 H2"},
		{"ET1|H1 H2 ET2", "H1 H2 ET1 ET2"},
		{"OT|Q1 Q2 Q3 Q4", "Q1 Q2 Q3 Q4 OT"},
		{"SHORT FREE|FREE", "SHORT FREE"},
		{"SPEARS|", "SPEARS"},
		{"|", ""},
	} {
		rec := &score.Record{}
		for list := range strings.SplitSeq(test.competitors, "|") {
			var c score.Standing
			for _, code := range strings.Fields(list) {
				c.Periods = append(c.Periods, score.Total{Code: code})
			}
			rec.Competitors = append(rec.Competitors, c)
		}
		if got := periodsOf(rec); !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%s: got %v, want %s", test.competitors, got, test.want)
		}
	}
}
