package score

import (
	"cmp"
	"slices"
	"time"
)

// Record is a contest as readers see it: api.md's answer, with everything derived.
type Record struct {
	ContestID      string     `json:"contest_id"`
	Competition    string     `json:"competition"`
	Sport          string     `json:"sport"`
	Kind           string     `json:"kind"`
	Title          string     `json:"title"`
	Discipline     string     `json:"discipline,omitzero"`
	Event          string     `json:"event,omitzero"`
	Phase          string     `json:"phase,omitzero"`
	Group          string     `json:"group,omitzero"`
	Gender         string     `json:"gender,omitzero"`
	Venue          string     `json:"venue,omitzero"`
	MedalEvent     int        `json:"medal_event,omitzero"`
	ResultType     string     `json:"result_type,omitzero"`
	Unit           string     `json:"unit,omitzero"`
	ScheduleStatus string     `json:"schedule_status"`
	ResultStatus   string     `json:"result_status"`
	Period         string     `json:"period"`
	Clock          string     `json:"clock"`
	StartTime      time.Time  `json:"start_time,omitzero"`
	Split          string     `json:"split,omitzero"` // of a ranked contest: the one its competitors are ranked at
	Competitors    []Standing `json:"competitors"`
	Total          *int       `json:"total,omitzero"` // of a ranked contest: all that have a mark there, or are listed
	Winner         string     `json:"winner"`
	Revision       uint64     `json:"revision"`
	UpdatedAt      time.Time  `json:"updated_at"`
}

// Standing is a competitor in its place. Rank is 0 for one without a result. Periods and Stats belong to head_to_head contests.
type Standing struct {
	Code         string   `json:"code"`
	Name         string   `json:"name"`
	Organisation string   `json:"organisation"`
	Result       *Decimal `json:"result"` // null where a ranked contest has no mark
	IRM          string   `json:"irm,omitzero"`
	Periods      Totals   `json:"periods"`
	Tiebreak     Decimal  `json:"tiebreak"`
	Stats        Totals   `json:"stats"`
	Rank         int      `json:"rank,omitzero"`
	SortOrder    int      `json:"sort_order"`
}

// Record derives what readers see of c.
func (c *Contest) Record() Record {
	a := &c.Definition
	r := Record{
		ContestID: c.ID, Competition: CompetitionOf(c.ID), Sport: a.Sport, Kind: a.Kind, Title: a.Title, Discipline: a.Discipline, Event: a.Event,
		Phase: a.Phase, Group: a.Group, Gender: a.Gender, Venue: a.Venue, MedalEvent: a.MedalEvent, ResultType: a.ResultType, Unit: a.Unit,
		ScheduleStatus: c.ScheduleStatus, ResultStatus: c.ResultStatus, Period: c.Period, Clock: c.Clock, StartTime: a.StartTime,
		Revision: c.Revision, UpdatedAt: c.UpdatedAt,
	}
	if a.Kind == Ranked {
		total := max(c.Total, len(c.Competitors))
		r.Total, r.Split = &total, c.Split
		r.Competitors = c.rankedPlaces()
	} else {
		r.Competitors = c.scoredPlaces()
	}
	decided := c.ScheduleStatus == Finished && (a.Kind == HeadToHead || c.Split == a.FinalSplit())
	if p := r.Competitors; decided && len(p) > 0 && p[0].Rank == 1 && (len(p) == 1 || p[1].Rank != 1) {
		r.Winner = p[0].Code
	}
	return r
}

// scoredPlaces orders the competitors of a head_to_head contest by result, then by tie-break.
func (c *Contest) scoredPlaces() []Standing {
	least := c.Definition.LowerIsBetter()
	better := func(a, b Decimal) int {
		if least {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(b, a)
	}
	order := func(a, b *Competitor) int {
		if a.Scored != b.Scored && least {
			if a.Scored {
				return -1
			}
			return 1
		}
		return cmp.Or(better(a.Result, b.Result), better(a.Tiebreak, b.Tiebreak))
	}
	list := make([]*Competitor, len(c.Competitors))
	for i := range c.Competitors {
		list[i] = &c.Competitors[i]
	}
	slices.SortStableFunc(list, func(a, b *Competitor) int {
		return cmp.Or(order(a, b), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Code, b.Code))
	})
	places := make([]Standing, len(list))
	for i, w := range list {
		rank := i + 1
		if i > 0 && order(list[i-1], w) == 0 {
			rank = places[i-1].Rank
		}
		result := w.Result
		places[i] = Standing{Code: w.Code, Name: w.Name, Organisation: w.Organisation, Result: &result, Periods: w.Periods, Tiebreak: w.Tiebreak,
			Stats: w.Stats, Rank: rank, SortOrder: i + 1}
	}
	return places
}

// rankedPlaces are the leaders with their ranks, then, while fewer than ten have a mark, the others of the start list.
func (c *Contest) rankedPlaces() []Standing {
	places := make([]Standing, 0, leaders)
	marked := make(map[string]bool, leaders)
	ranks := Ranks(c.Leaders)
	for i, m := range c.Leaders {
		p := Standing{Code: m.Competitor, Name: m.Competitor, Organisation: m.Organisation, IRM: m.IRM, Rank: ranks[i], SortOrder: i + 1}
		if m.IRM == "" {
			p.Result = &m.Value
		}
		if e := c.competitor(m.Competitor); e != nil {
			p.Name, p.Organisation = e.Name, cmp.Or(e.Organisation, m.Organisation)
		}
		marked[m.Competitor] = true
		places = append(places, p)
	}
	waiting := slices.Clone(c.Competitors)
	slices.SortStableFunc(waiting, func(a, b Competitor) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Code, b.Code)) })
	for _, w := range waiting {
		if len(places) < leaders && !marked[w.Code] {
			places = append(places, Standing{Code: w.Code, Name: w.Name, Organisation: w.Organisation, SortOrder: len(places) + 1})
		}
	}
	return places
}

// Ranks gives the rank of each mark of a list that is in order, best first: equal marks share one, the next skips (1, 2, 2, 4), and an IRM has none (0).
func Ranks(ordered []Mark) []int {
	ranks := make([]int, len(ordered))
	for i, m := range ordered {
		switch {
		case m.IRM != "":
		case i > 0 && ordered[i-1].Value == m.Value && ordered[i-1].IRM == "":
			ranks[i] = ranks[i-1]
		default:
			ranks[i] = i + 1
		}
	}
	return ranks
}

// Filter chooses contests for a list. Empty members choose all.
type Filter struct {
	Competition string
	Sport       string
	Status      string // a schedule_status or a result_status
	Competitor  string // a competitor's code or its organisation
}

// Matches tells whether f chooses c. Whether a competitor has a mark in a ranked contest without a list it cannot see; the store adds that.
func (f Filter) Matches(c *Contest) bool {
	return (f.Competition == "" || CompetitionOf(c.ID) == f.Competition) &&
		(f.Sport == "" || c.Definition.Sport == f.Sport) &&
		(f.Status == "" || c.ScheduleStatus == f.Status || c.ResultStatus == f.Status) &&
		(f.Competitor == "" || slices.ContainsFunc(c.Competitors, func(w Competitor) bool { return w.Code == f.Competitor || w.Organisation == f.Competitor }) ||
			slices.ContainsFunc(c.Leaders, func(m Mark) bool { return m.Competitor == f.Competitor || m.Organisation == f.Competitor }))
}
