package score

import (
	"cmp"
	"slices"
	"time"
)

// Record is a contest as readers see it. Order, ranks and winner are derived from the
// Contest.
type Record struct {
	ContestID   string `json:"contest_id"`
	Competition string `json:"competition"`
	Sport       string `json:"sport"`
	Kind        string `json:"kind"`
	Title       string `json:"title"`
	Discipline  string `json:"discipline,omitzero"`
	Event       string `json:"event,omitzero"`
	Phase       string `json:"phase,omitzero"`
	Group       string `json:"group,omitzero"`
	Gender      string `json:"gender,omitzero"`
	Venue       string `json:"venue,omitzero"`
	MedalEvent  int    `json:"medal_event,omitzero"`
	Format
	// EventUnit and EventUnit2 are the units of marks in events, if they are not those of
	// the record.
	EventUnit      string    `json:"event_unit,omitzero"`
	EventUnit2     string    `json:"event_unit2,omitzero"`
	ScheduleStatus string    `json:"schedule_status"`
	ResultStatus   string    `json:"result_status"`
	Started        bool      `json:"started,omitzero"` // it has been RUNNING
	Period         string    `json:"period"`
	Periods        []string  `json:"periods,omitzero"` // if head_to_head: in the order in which they began
	Clock          string    `json:"clock"`
	StartTime      time.Time `json:"start_time,omitzero"`
	Split          string    `json:"split,omitzero"` // if ranked: where competitors are ranked
	// TiebreakPeriods are the tie-break periods that have begun. They are not among Periods.
	TiebreakPeriods []string   `json:"tiebreak_periods,omitzero"`
	Competitors     []Standing `json:"competitors"`
	Total           *int       `json:"total,omitzero"` // if ranked: with a mark there, or listed
	Winner          string     `json:"winner"`
	Decision        string     `json:"decision,omitzero"` // how it was won, or why nobody has won
	// Corrected means that another definition, after plays or marks, has changed the result.
	Corrected bool      `json:"corrected,omitzero"`
	Revision  uint64    `json:"revision"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Standing is one competitor in a Record. Rank is 0 without a result. Periods, Adjustment
// and Stats are for head_to_head contests.
type Standing struct {
	Code         string `json:"code"`
	Name         string `json:"name"`
	Organisation string `json:"organisation"`
	// Order is the place among the sides of a head_to_head contest, or that of the start
	// list of a ranked one.
	Order      int      `json:"order,omitzero"`
	Result     *Decimal `json:"result"` // null in a ranked contest without a mark
	Mark2      *Decimal `json:"mark2,omitzero"`
	IRM        string   `json:"irm,omitzero"`
	Out        string   `json:"out,omitzero"`        // the IRM at another split, beside a result
	Periods    Totals   `json:"periods"`             // the points in each of the contest's Periods
	Adjustment Decimal  `json:"adjustment,omitzero"` // the points of Result that are in none of them
	Tiebreak   Decimal  `json:"tiebreak"`
	Stats      Totals   `json:"stats"`
	Rank       int      `json:"rank,omitzero"`
	SortOrder  int      `json:"sort_order"`
}

// Record returns c as readers see it.
func (c *Contest) Record() Record {
	d := &c.Definition
	r := Record{
		ContestID:      c.ID,
		Competition:    CompetitionOf(c.ID),
		Sport:          d.Sport,
		Kind:           d.Kind,
		Title:          d.Title,
		Discipline:     d.Discipline,
		Event:          d.Event,
		Phase:          d.Phase,
		Group:          d.Group,
		Gender:         d.Gender,
		Venue:          d.Venue,
		MedalEvent:     d.MedalEvent,
		Format:         d.Format(),
		ScheduleStatus: c.ScheduleStatus,
		ResultStatus:   c.ResultStatus,
		Started:        c.Started,
		Period:         c.Period,
		Clock:          c.Clock,
		StartTime:      d.StartTime,
		Corrected:      c.Corrected > c.ResetRevision,
		Revision:       c.Revision,
		UpdatedAt:      c.UpdatedAt,
	}
	if r.Unit != d.Unit {
		r.EventUnit = d.Unit
	}
	if r.Unit2 != d.Unit2 {
		r.EventUnit2 = d.Unit2
	}
	if d.Kind == Ranked {
		total := max(c.Total, c.startListLen())
		r.Total, r.Split = &total, c.Split
		r.Competitors = c.rankedStandings()
	} else {
		r.Competitors = c.scoredStandings()
		r.Periods = []string{}
		for _, period := range c.Periods {
			if c.isTiebreak(period) {
				r.TiebreakPeriods = append(r.TiebreakPeriods, period)
			} else {
				r.Periods = append(r.Periods, period)
			}
		}
	}
	r.Winner, r.Decision = c.decided(r.Competitors)
	return r
}

// scoredStandings orders the competitors of a head_to_head contest by result, then by
// tie-break score, then in the order of sides.
func (c *Contest) scoredStandings() []Standing {
	lower := c.Definition.LowerIsBetter()
	better := func(a, b Decimal) int {
		if lower {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(b, a)
	}
	order := func(a, b side) int {
		if a.Scored != b.Scored && lower {
			if a.Scored {
				return -1
			}
			return 1
		}
		return cmp.Or(better(a.Result, b.Result), better(a.Tiebreak, b.Tiebreak))
	}
	list := c.sides()
	slices.SortStableFunc(list, order)
	standings := make([]Standing, len(list))
	for i, w := range list {
		rank := i + 1
		if i > 0 && order(list[i-1], w) == 0 {
			rank = standings[i-1].Rank
		}
		result := w.Result
		standings[i] = Standing{
			Code:         w.Code,
			Name:         w.Name,
			Organisation: w.Organisation,
			Order:        w.place,
			Result:       &result,
			Tiebreak:     w.Tiebreak,
			Stats:        w.Stats,
			Rank:         rank,
			SortOrder:    i + 1,
		}
		c.showPoints(&standings[i], w.Competitor)
	}
	return standings
}

// showPoints sets what a standing shows of the points in periods.
func (c *Contest) showPoints(s *Standing, w *Competitor) {
	s.Periods = make(Totals, 0, len(c.Periods))
	for i, period := range c.Periods {
		if !c.isTiebreak(period) {
			s.Periods = append(s.Periods, Total{period, w.pointsAt(i)})
			s.Adjustment = w.Adjustment
		}
	}
}

// MaxSides is the greatest number of competitors that are shown as sides.
const MaxSides = 4

// Sides returns the competitors as they are shown: up to MaxSides of a head_to_head
// contest in the order of sides, so that they do not change places with the lead, and
// otherwise the best first.
func (r *Record) Sides() []Standing {
	if r.Kind == Ranked || len(r.Competitors) > MaxSides {
		return r.Competitors
	}
	return slices.SortedStableFunc(slices.Values(r.Competitors), func(a, b Standing) int {
		return cmp.Compare(a.Order, b.Order)
	})
}

// TiebreakText returns the tie-break score of a competitor in brackets; "" before a
// tie-break period has begun.
func (r *Record) TiebreakText(s *Standing) string {
	if len(r.TiebreakPeriods) == 0 {
		return ""
	}
	return "(" + s.Tiebreak.String() + ")"
}

// rankedStandings returns the leaders with their ranks and, if there are fewer than
// MaxLeaders, other competitors in the order of the start list.
func (c *Contest) rankedStandings() []Standing {
	standings := make([]Standing, 0, MaxLeaders)
	marked := make(map[string]bool, MaxLeaders)
	ranks := Ranks(c.Leaders, c.Definition.Direction())
	for i, m := range c.Leaders {
		p := Standing{
			Code:         m.Competitor,
			Name:         m.Competitor,
			Organisation: m.Organisation,
			IRM:          m.Unplaced(),
			Rank:         ranks[i],
			SortOrder:    i + 1,
		}
		if p.IRM == "" {
			p.Result, p.Mark2, p.Out = &m.Value, m.Mark2, m.Out
		}
		if w := c.competitor(m.Competitor); w != nil {
			e := w.Known()
			p.Name, p.Organisation, p.Order = e.Name, cmp.Or(e.Organisation, m.Organisation), e.Order
		} else if m.Name != "" {
			p.Name = m.Name
		}
		marked[m.Competitor] = true
		standings = append(standings, p)
	}
	waiting := slices.Clone(c.Entrants)
	waiting = slices.DeleteFunc(waiting, func(e Entrant) bool { return c.competitor(e.Code) != nil })
	for i := range c.Competitors {
		waiting = append(waiting, c.Competitors[i].Known())
	}
	slices.SortFunc(waiting, Entrant.Compare)
	for _, w := range waiting {
		if len(standings) < MaxLeaders && !marked[w.Code] {
			standings = append(standings, Standing{
				Code:         w.Code,
				Name:         w.Name,
				Organisation: w.Organisation,
				Order:        w.Order,
				SortOrder:    len(standings) + 1,
			})
		}
	}
	return standings
}

// Ranks returns the ranks of marks in order, best first. Equal marks share a rank and the
// next one skips (1, 2, 2, 4). An IRM has no rank (0).
func Ranks(ordered []Mark, by Direction) []int {
	ranks := make([]int, len(ordered))
	var before Order
	for i := range ordered {
		order := by.Order(&ordered[i])
		equal := i > 0 && order == before
		switch before = order; {
		case !order.Placed():
		case equal:
			ranks[i] = ranks[i-1]
		default:
			ranks[i] = i + 1
		}
	}
	return ranks
}

// Filter selects contests for a list. Empty fields select all.
type Filter struct {
	Competition string
	Sport       string
	Status      string // a schedule_status or a result_status
	Competitor  string // code or organisation of a competitor
	// Section selects the contests of a section, and has the list in its order. It goes
	// with Competition and Find only.
	Section Section
	Find    string // words; see Searcher
}

// Matches reports whether f selects c. It does not know the competitors of a ranked
// contest without a start list, apart from the leaders; the store adds those.
func (f Filter) Matches(c *Contest) bool {
	return (f.Competition == "" || CompetitionOf(c.ID) == f.Competition) &&
		(f.Sport == "" || c.Definition.Sport == f.Sport) &&
		(f.Status == "" || c.ScheduleStatus == f.Status || c.ResultStatus == f.Status) &&
		(f.Competitor == "" || f.matchesCompetitor(c))
}

func (f Filter) matchesCompetitor(c *Contest) bool {
	is := func(e Entrant) bool { return e.Code == f.Competitor || e.Organisation == f.Competitor }
	return slices.ContainsFunc(c.Competitors, func(w Competitor) bool {
		return is(w.Known())
	}) || slices.ContainsFunc(c.Entrants, is) || slices.ContainsFunc(c.Leaders, func(m Mark) bool {
		return m.Competitor == f.Competitor || m.Organisation == f.Competitor
	})
}

// Leaderboard is a page of the marks at one split of a ranked contest, best first.
type Leaderboard struct {
	ContestID string `json:"contest_id"`
	Split     string `json:"split"`
	Category  string `json:"category,omitzero"` // "" for all
	Total     int    `json:"total"`             // rows of the whole leaderboard, with IRMs
	Format
	Categories []string         `json:"categories,omitzero"` // of all rows of the leaderboard
	Rows       []LeaderboardRow `json:"rows"`
	Next       string           `json:"next"` // parameter after of the next page; "" at the end
}

// LeaderboardRow is one competitor in a leaderboard. A competitor with an IRM has no
// mark, no rank and no difference, and is listed last.
type LeaderboardRow struct {
	Competitor   string     `json:"competitor"`
	Name         string     `json:"name,omitzero"` // from the contest's definition
	Organisation string     `json:"organisation,omitzero"`
	Categories   Categories `json:"categories,omitzero"`
	Mark         *Decimal   `json:"mark"`           // seconds if it is a time
	Mark2        *Decimal   `json:"mark2,omitzero"` // what orders equal marks
	IRM          string     `json:"irm,omitzero"`
	Out          string     `json:"out,omitzero"` // the IRM at another split, beside a mark
	Rank         int        `json:"rank,omitzero"`
	RankEqual    bool       `json:"rank_equal"` // another competitor has the same rank
	Diff         *Decimal   `json:"diff"`       // to the first, never negative
}
