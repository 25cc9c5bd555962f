package fold

import (
	"cmp"
	"slices"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// Record returns c as readers see it.
func (c *Contest) Record() score.Record {
	d := &c.Definition
	r := score.Record{
		ContestID:      c.ID,
		Competition:    score.CompetitionOf(c.ID),
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
	if d.Kind == score.Ranked {
		total := max(c.Total, c.startListLen())
		r.Total, r.Split = &total, c.Split
		r.Competitors = c.rankedStandings()
	} else {
		r.Competitors = c.scoredStandings()
		r.Periods = make([]string, 0, len(c.Periods))
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
func (c *Contest) scoredStandings() []score.Standing {
	lower := c.Definition.LowerIsBetter()
	better := func(a, b mark.Decimal) int {
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
	standings, results := make([]score.Standing, len(list)), make([]mark.Decimal, len(list))
	for i, w := range list {
		rank := i + 1
		if i > 0 && order(list[i-1], w) == 0 {
			rank = standings[i-1].Rank
		}
		results[i] = w.Result
		standings[i] = score.Standing{
			Code:         w.Code,
			Name:         w.Name,
			Organisation: w.Organisation,
			Order:        w.place,
			Result:       &results[i],
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
func (c *Contest) showPoints(s *score.Standing, w *Competitor) {
	s.Periods = make(score.Totals, 0, len(c.Periods))
	for i, period := range c.Periods {
		if !c.isTiebreak(period) {
			s.Periods = append(s.Periods, score.Total{Code: period, Value: w.pointsAt(i)})
			s.Adjustment = w.Adjustment
		}
	}
}

// rankedStandings returns the leaders with their ranks and, if there are fewer than
// MaxLeaders, other competitors in the order of the start list.
func (c *Contest) rankedStandings() []score.Standing {
	standings := make([]score.Standing, 0, MaxLeaders)
	ranks := ranking.Ranks(c.Leaders, c.Definition.Direction())
	for i, m := range c.Leaders {
		p := score.Standing{
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
		standings = append(standings, p)
	}
	if len(standings) == MaxLeaders {
		return standings
	}
	waiting := slices.Clone(c.Entrants)
	waiting = slices.DeleteFunc(waiting, func(e score.Entrant) bool { return c.competitor(e.Code) != nil })
	for i := range c.Competitors {
		waiting = append(waiting, c.Competitors[i].Known())
	}
	slices.SortFunc(waiting, score.Entrant.Compare)
	for _, w := range waiting {
		leads := func(m ranking.Mark) bool { return m.Competitor == w.Code }
		if len(standings) < MaxLeaders && !slices.ContainsFunc(c.Leaders, leads) {
			standings = append(standings, score.Standing{
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

// Matches reports whether a filter selects c. It does not know the competitors of a ranked
// contest without a start list, apart from the leaders; the store adds those.
func (c *Contest) Matches(f score.Filter) bool {
	return (f.Competition == "" || score.CompetitionOf(c.ID) == f.Competition) &&
		(f.Sport == "" || c.Definition.Sport == f.Sport) &&
		(f.Status == "" || c.ScheduleStatus == f.Status || c.ResultStatus == f.Status) &&
		(f.Competitor == "" || c.has(f.Competitor))
}

// has reports whether c has a competitor with a code or of an organisation.
func (c *Contest) has(name string) bool {
	is := func(e score.Entrant) bool { return e.Code == name || e.Organisation == name }
	return slices.ContainsFunc(c.Competitors, func(w Competitor) bool {
		return is(w.Known())
	}) || slices.ContainsFunc(c.Entrants, is) || slices.ContainsFunc(c.Leaders, func(m ranking.Mark) bool {
		return m.Competitor == name || m.Organisation == name
	})
}
