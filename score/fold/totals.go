package fold

import (
	"slices"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/quote"
)

// set sets the number named code.
func set(t score.Totals, code string, v mark.Decimal) score.Totals {
	for i := range t {
		if t[i].Code == code {
			t[i].Value = v
			return t
		}
	}
	return append(t, score.Total{Code: code, Value: v})
}

// plus returns t with the numbers of delta added. field is the member of delta.
func plus(t score.Totals, field string, delta score.Totals) (score.Totals, *score.Problem) {
	if len(delta) == 0 {
		return t, nil
	}
	sum := slices.Clone(t)
	for _, n := range delta {
		old, _ := sum.Get(n.Code)
		total, ok := old.Add(n.Value)
		if !ok {
			return nil, invalid(field,
				"%q would be more than a number can hold (%s)", quote.Clip(n.Code), mark.MaxDecimal)
		}
		if sum = set(sum, n.Code, total); len(sum) > maxPlayed {
			return nil, invalid(field,
				"%q is one too many: a competitor has at most %d of them", quote.Clip(n.Code), maxPlayed)
		}
	}
	return sum, nil
}
