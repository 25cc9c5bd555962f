package question

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"laurel/score"
)

// periodsOf returns the names of a contest's periods in the order of play. Each competitor
// lists only the periods in which it scored, so periods that differ in their number are
// sorted by it (END2 before END10), and other periods by where competitors have them.
// format.ts does the same.
func periodsOf(rec *score.Record) []string {
	lists := make([]score.Totals, len(rec.Competitors))
	for i := range rec.Competitors {
		lists[i] = rec.Competitors[i].Periods
	}
	slices.SortStableFunc(lists, func(a, b score.Totals) int { return cmp.Compare(len(b), len(a)) })
	var names, stems []string
	position := map[string]int{} // by stem: the latest place at which a competitor has its first period
	for _, list := range lists {
		own := map[string]bool{}
		for i, t := range list {
			stem, _ := splitPeriod(t.Code)
			if !slices.Contains(names, t.Code) {
				names = append(names, t.Code)
			}
			if !slices.Contains(stems, stem) {
				stems = append(stems, stem)
			}
			if !own[stem] {
				own[stem] = true
				position[stem] = max(position[stem], i)
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		stemA, numberA := splitPeriod(a)
		stemB, numberB := splitPeriod(b)
		return cmp.Or(
			cmp.Compare(position[stemA], position[stemB]),
			cmp.Compare(slices.Index(stems, stemA), slices.Index(stems, stemB)),
			cmp.Compare(numberA, numberB),
		)
	})
	return names
}

// splitPeriod splits the number off the end of a period's name.
func splitPeriod(name string) (stem string, number int) {
	stem = strings.TrimRight(name, "0123456789")
	number, _ = strconv.Atoi(name[len(stem):])
	return stem, number
}
