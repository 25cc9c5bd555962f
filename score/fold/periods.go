package fold

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/quote"
)

// A period begins with the first event that counts in it, or with a contest.status that
// names it while the contest is RUNNING. A break, which is named in another status, does
// not begin.

// currentPeriod returns the period of a play that names none: the contest's, or in a break
// the last one that began.
func (c *Contest) currentPeriod() string {
	if n := len(c.Periods); n > 0 && c.ScheduleStatus != score.Running && !slices.Contains(c.Periods, c.Period) {
		return c.Periods[n-1]
	}
	return c.Period
}

// placeOf returns the index of a period in c.Periods, or the one that it gets if it
// begins now. That is the end, but a late report can be the first to name a period that
// is over: H1 is put before H2, and END4 between END3 and END6. A series may begin with
// any number and go on with lower ones, as holes and weights do.
func (c *Contest) placeOf(period string) (at int, begins bool) {
	if at = slices.Index(c.Periods, period); at >= 0 {
		return at, false
	}
	series, n := numbered(period)
	begun := false // the series, with a lower number
	for i, other := range c.Periods {
		switch s, m := numbered(other); {
		case s == "" || s != series || m == n:
		case m < n:
			begun = true
		case m == n+1 || begun:
			return i, true
		}
	}
	return len(c.Periods), true
}

// numbered returns the number of a period and the rest of its name, "" if it is not a
// number in a series. A name without a letter is none: numbers alone may be weights or
// boards.
func numbered(period string) (series string, n int) {
	const digits = "0123456789"
	end := strings.LastIndexAny(period, digits) + 1
	stem := strings.TrimRight(period[:end], digits)
	n, err := strconv.Atoi(period[len(stem):end])
	if err != nil || !strings.ContainsFunc(period, unicode.IsLetter) {
		return "", 0
	}
	return stem + "#" + period[end:], n
}

// isEarlier reports whether a play in a period is about a time before the present one.
func (c *Contest) isEarlier(period string) bool {
	at, begins := c.placeOf(period)
	present := slices.Index(c.Periods, c.Period)
	switch {
	case period == c.Period:
		return false
	case present >= 0:
		return at < present || begins && at == present
	case c.Period != "": // a break, after all periods that have begun
		return !begins || at < len(c.Periods)
	}
	return at < len(c.Periods)-1 || begins && at < len(c.Periods)
}

// noPeriod is the place of points that are in no period.
const noPeriod = -1

// begin adds a period to c.Periods unless it is there, and returns its place.
func (c *Contest) begin(period string) int {
	if period == "" {
		return noPeriod
	}
	at, begins := c.placeOf(period)
	if !begins {
		return at
	}
	c.Periods = slices.Insert(c.Periods, at, period)
	for i := range c.Competitors {
		if w := &c.Competitors[i]; at < len(w.Points) {
			w.Points = slices.Insert(w.Points, at, 0)
		}
	}
	return at
}

// pointsAt returns the points in the period at a place.
func (w *Competitor) pointsAt(at int) mark.Decimal {
	if at < len(w.Points) {
		return w.Points[at]
	}
	return 0
}

func (w *Competitor) setPoints(at int, points mark.Decimal) {
	if at == noPeriod {
		w.Adjustment = points
		return
	}
	for len(w.Points) <= at {
		w.Points = append(w.Points, 0)
	}
	w.Points[at] = points
}

// addPoints returns the points of a competitor in a period, or in none, after an event
// that adds some.
func (c *Contest) addPoints(w *Competitor, period string, delta mark.Decimal) (mark.Decimal, *score.Problem) {
	var points mark.Decimal
	if period == "" {
		points = w.Adjustment
	} else if at, begins := c.placeOf(period); !begins {
		points = w.pointsAt(at)
	}
	sum, ok := points.Add(delta)
	if !ok {
		return 0, invalid("data.period",
			"the points in %q would be more than a number can hold (%s)", quote.Clip(period), mark.MaxDecimal)
	}
	return sum, nil
}

// checkPeriod refuses an event with which a period would begin that is one too many, or
// that adds too many numbers: those of the period and some statistics.
func (c *Contest) checkPeriod(period string, stats int, mode Mode) *score.Problem {
	if _, begins := c.placeOf(period); begins && period != "" {
		if len(c.Periods) >= maxPlayed {
			return invalid("data.period",
				"%q is one too many: a contest has at most %d of them", quote.Clip(period), maxPlayed)
		}
		stats += len(c.Competitors)
	}
	return c.checkNumbers(stats, mode)
}

// isTiebreak reports whether a period is counted separately and decides only a tie.
func (c *Contest) isTiebreak(period string) bool {
	return slices.Contains(c.Definition.TiebreakPeriods, period)
}

// checkSum refuses a live score.set without a period by which the points of a
// competitor's periods would no longer add up to its total. adjustment is what would be
// in no period.
func (c *Contest) checkSum(w *Competitor, total, adjustment mark.Decimal) *score.Problem {
	if adjustment == 0 || adjustment == w.Adjustment {
		return nil
	}
	const most = 20
	var list []string
	for i, period := range c.Periods {
		if !c.isTiebreak(period) {
			list = append(list, fmt.Sprintf("%s %s", quote.Clip(period), w.pointsAt(i)))
		}
	}
	if len(list) == 0 {
		return nil
	}
	if more := len(list) - most; more > 0 {
		list = append(list[:most], fmt.Sprintf("and %d more", more))
	}
	return score.Problemf(score.TotalMismatch, "%q would have %s, but its periods add up to %s (%s); "+
		"give the period of the other %s, or adjustment: true if they are in none",
		quote.Clip(w.Code), total, total-adjustment, strings.Join(list, ", "), adjustment).At("data.period")
}

// sides returns the competitors in the order of the sides of the contest: by the order
// that their definition gives them, then as they are listed there.
func (c *Contest) sides() []side {
	list := make([]side, len(c.Competitors))
	for i := range c.Competitors {
		list[i].Competitor = &c.Competitors[i]
	}
	slices.SortStableFunc(list, func(a, b side) int {
		// An order of 0 is none, and comes last.
		return cmp.Compare(uint(a.Competitor.Order-1), uint(b.Competitor.Order-1))
	})
	for i := range list {
		list[i].place = i + 1
	}
	return list
}

// side is a competitor of a head_to_head contest with its place among the sides.
type side struct {
	*Competitor
	place int
}
