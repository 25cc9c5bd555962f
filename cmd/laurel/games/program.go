package games

import (
	"fmt"
	"time"

	"laurel/score"
)

// program holds the Games: two days, several contests at a time. Who meets in a final is known, and defined, when it is.
func (e *edition) program() {
	e.say(e.opening, ofMatches, score.TypeCompetitionDefine, e.id, &score.CompetitionDefine{
		Name: "Games of " + e.year, Neutral: []string{neutrals.code}})

	e.tournament(curling, e.at(1, 9, 0), e.at(2, 9, 30))
	e.tournament(boarChase, e.at(1, 14, 0), e.at(2, 14, 0))

	e.hold(menhirThrow, e.at(1, 9, 30))
	e.hold(skating, e.at(1, 15, 0))
	e.hold(marathon, e.at(2, 8, 0))
	e.hold(relay, e.at(2, 10, 30))
}

// at is a time of the given day, counted from 1.
func (e *edition) at(day, hour, minute int) time.Time {
	y, m, d := e.opening.Date()
	return time.Date(y, m, d+day-1, hour, minute, 0, 0, time.UTC)
}

// contest is one scored unit while it is composed, with a clock of its own that only goes on.
type contest struct {
	*edition
	id     string
	source string
	now    time.Time
	about  score.ContestDefine
	awards int
}

// newContest is a contest that can be defined now, on the morning of the first day.
func (e *edition) newContest(unit, source string, about score.ContestDefine) *contest {
	about.Competition, about.CompetitionName = e.id, "Games of "+e.year
	c := &contest{edition: e, id: e.id + "/" + unit, source: source, now: e.opening, about: about}
	c.wait(time.Minute, 20*time.Minute)
	return c
}

func (c *contest) wait(least, most time.Duration) { c.now = c.now.Add(c.between(least, most)) }

func (c *contest) post(t score.Type, d score.Data) *verse { return c.say(c.now, c.source, t, c.id, d) }

func (c *contest) define() {
	about := c.about
	c.post(score.TypeContestDefine, &about)
}

func (c *contest) move(schedule, result, period string) {
	c.post(score.TypeContestStatus, &score.ContestStatus{ScheduleStatus: schedule, ResultStatus: result, Period: period})
}

// start takes the contest from the start list to the first play. Now and then it rains.
func (c *contest) start(period string) {
	c.move("GETTING_READY", "", "")
	if c.chance(8) {
		c.wait(5*time.Minute, 10*time.Minute)
		c.move("DELAYED", "", "")
		c.wait(20*time.Minute, 40*time.Minute)
	}
	c.now = c.now.Add(15 * time.Minute)
	c.move(score.Running, "LIVE", period)
}

// end makes the result official, a while after it is known.
func (c *contest) end() {
	c.wait(10*time.Second, time.Minute)
	c.move(score.Finished, "UNOFFICIAL", "")
	if c.chance(25) {
		c.wait(time.Minute, 3*time.Minute)
		c.post(score.TypeAlert, &score.Alert{Text: pick(c.edition, omens)})
	}
	c.wait(4*time.Minute, 9*time.Minute)
	c.move("", score.Official, "")
}

// award gives a medal and returns the award's id, which is never used again.
func (c *contest) award(medal, organisation, competitor string) string {
	c.awards++
	id := fmt.Sprintf("%s#%s-%d", c.id, medal, c.awards)
	c.wait(20*time.Second, 90*time.Second)
	c.post(score.TypeMedalAward, &score.MedalAward{AwardID: id, Medal: medal, Organisation: organisation, Competitor: competitor,
		Sport: c.about.Sport, Event: c.about.Event})
	return id
}
