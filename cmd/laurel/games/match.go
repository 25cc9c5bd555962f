package games

import (
	"cmp"
	"fmt"
	"time"

	"laurel/score"
)

// matches is a sport in which two nations meet: two semi-finals, then a match for bronze and one for gold.
type matches struct {
	unit     string // first part of the contests' ids
	about    score.ContestDefine
	grounds  []string
	medalGap time.Duration // from the match for bronze to the one for gold
	play     func(m *match)
}

var curling = matches{
	unit: "CUR-X",
	about: score.ContestDefine{Kind: score.HeadToHead, Sport: "stone-curling", Discipline: "CUR", Event: "Mixed teams", Gender: "X",
		ResultType: "POINTS", Unit: "stones", Sort: "desc"},
	grounds:  []string{"Frozen ford, sheet I", "Frozen ford, sheet II"},
	medalGap: 3 * time.Hour,
	play:     (*match).curl,
}

var boarChase = matches{
	unit: "BOA-M",
	about: score.ContestDefine{Kind: score.HeadToHead, Sport: "boar-chase", Discipline: "BOA", Event: "Men's fours", Gender: "M",
		ResultType: "POINTS", Unit: "boars", Sort: "desc", TiebreakPeriods: []string{spears}},
	grounds:  []string{"West wood", "East wood"},
	medalGap: 90 * time.Minute,
	play:     (*match).chase,
}

// tournament composes the four contests of a sport.
func (e *edition) tournament(sport matches, semifinals, medals time.Time) {
	draw := shuffled(e, nations)
	semi := [2]*match{
		e.newMatch(sport, 0, "SFNL-01", semifinals, draw[0], draw[1]),
		e.newMatch(sport, 1, "SFNL-02", semifinals.Add(10*time.Minute), draw[2], draw[3]),
	}
	bronze := e.newMatch(sport, 0, "BRNZ-01", medals)
	gold := e.newMatch(sport, 1, "GOLD-01", medals.Add(sport.medalGap))

	var winners, losers []nation
	for _, m := range semi {
		winner, loser := m.hold(sport)
		winners, losers = append(winners, winner), append(losers, loser)
	}
	bronze.meet(losers)
	third, _ := bronze.hold(sport)
	bronze.award(score.Bronze, third.code, third.name)
	gold.meet(winners)
	first, second := gold.hold(sport)
	gold.award(score.Gold, first.code, first.name)
	gold.award(score.Silver, second.code, second.name)
}

// match is a contest of two nations.
type match struct {
	*contest
	sides    []nation
	totals   [2]score.Decimal
	tiebreak [2]score.Decimal
}

// newMatch defines a match; whose it is may come later.
func (e *edition) newMatch(sport matches, ground int, unit string, start time.Time, sides ...nation) *match {
	about := sport.about
	about.StartTime, about.Venue = start, sport.grounds[ground]
	switch unit {
	case "GOLD-01":
		about.Phase, about.MedalEvent = "Final", 1
	case "BRNZ-01":
		about.Phase, about.MedalEvent = "Match for bronze", 3
	default:
		about.Phase = "Semi-final"
	}
	about.Title = about.Phase
	m := &match{contest: e.newContest(sport.unit+"-"+unit, ofMatches, about)}
	m.enter(sides)
	m.define()
	m.now = start.Add(-15 * time.Minute)
	return m
}

// meet defines the match anew once it is known whose it is.
func (m *match) meet(sides []nation) {
	start := m.now
	m.now = start.Add(-m.between(30*time.Minute, 50*time.Minute))
	m.enter(sides)
	m.define()
	m.now = start
}

func (m *match) enter(sides []nation) {
	m.sides = sides
	for i, n := range sides {
		m.about.Competitors = append(m.about.Competitors, score.Entrant{Code: n.code, Name: n.name, Organisation: n.code, Type: "T", Order: i + 1})
	}
	if len(sides) == 2 {
		m.about.Title = sides[0].code + " vs " + sides[1].code
	}
}

// hold plays the match and says who won.
func (m *match) hold(sport matches) (winner, loser nation) {
	sport.play(m)
	m.end()
	if cmp.Or(cmp.Compare(m.totals[0], m.totals[1]), cmp.Compare(m.tiebreak[0], m.tiebreak[1])) > 0 {
		return m.sides[0], m.sides[1]
	}
	return m.sides[1], m.sides[0]
}

// add scores for one side and says what stands then.
func (m *match) add(side int, delta score.Decimal, play score.ScorePlay) *verse {
	standing := &m.totals
	if play.Period == spears {
		standing = &m.tiebreak
	}
	standing[side] += delta
	play.Competitor, play.Delta = m.sides[side].code, &delta
	play.Result = totals(m.sides[0].code, standing[0], m.sides[1].code, standing[1])
	return m.post(score.TypeScorePlay, &play)
}

const ends = 6

// curl plays six ends with a break after the third, then ends until one side is ahead.
func (m *match) curl() {
	m.start("END1")
	for end := 1; end <= ends || m.totals[0] == m.totals[1]; end++ {
		period := fmt.Sprintf("END%d", end)
		if end > 1 {
			m.move("", "", period)
		}
		m.wait(9*time.Minute, 14*time.Minute)
		side, stones := m.rnd.IntN(2), m.stones()
		play := score.ScorePlay{Period: period, Action: "END"}
		if stones == 0 {
			play.Comment = "a blank end"
		}
		m.add(side, stones, play)
		if end == ends/2 {
			m.wait(10*time.Second, 40*time.Second)
			m.move("SCHEDULED_BREAK", "INTERMEDIATE", "")
			m.wait(7*time.Minute, 9*time.Minute)
			m.move(score.Running, "LIVE", "")
		}
		m.wait(30*time.Second, 90*time.Second)
	}
}

// stones is what an end brings: mostly one or two.
func (m *match) stones() score.Decimal {
	return score.Points(pick(m.edition, []int64{0, 1, 1, 1, 1, 2, 2, 2, 3, 4}))
}

// spears is the period that decides a drawn chase: throws at a shield, counted apart.
const spears = "SPEARS"

// chase plays two halves, and a draw is decided with spears.
func (m *match) chase() {
	m.start("H1")
	m.half("H1", 0)
	m.move("SCHEDULED_BREAK", "INTERMEDIATE", "")
	if m.chance(30) {
		m.wait(time.Minute, 3*time.Minute)
		m.boar("H1", "30:00", "reported late")
	}
	m.wait(8*time.Minute, 12*time.Minute)
	m.move(score.Running, "LIVE", "H2")
	m.half("H2", 30*time.Minute)
	if m.totals[0] == m.totals[1] {
		m.wait(2*time.Minute, 4*time.Minute)
		m.throwSpears()
	}
}

const halfTime = 30 * time.Minute

// half plays for half an hour. The clock counts on from what was played before.
func (m *match) half(period string, played time.Duration) {
	begin := m.now
	for {
		m.wait(2*time.Minute, 12*time.Minute)
		if m.now.Sub(begin) >= halfTime {
			m.now = begin.Add(halfTime)
			return
		}
		goal := m.boar(period, clock(played+m.now.Sub(begin)), "")
		if m.chance(12) {
			m.wait(20*time.Second, 60*time.Second)
			m.takeBack(goal)
		}
	}
}

// boar is caught by either side.
func (m *match) boar(period, clock, comment string) *verse {
	side := m.rnd.IntN(2)
	return m.add(side, score.Points(1), score.ScorePlay{Period: period, Action: "BOAR", Clock: clock,
		Athlete: pick(m.edition, m.sides[side].athletes), StatsDelta: score.Totals{{Code: "boars", Value: score.Points(1)}}, Remark: score.Remark{Comment: comment}})
}

// takeBack voids a goal that should not have been given.
func (m *match) takeBack(goal *verse) {
	play := goal.event.Data.(*score.ScorePlay)
	for i, n := range m.sides {
		if n.code == play.Competitor {
			m.totals[i] -= *play.Delta
		}
	}
	m.post(score.TypeEventVoid, &score.EventVoid{Reason: pick(m.edition, notABoar)}).voids = goal
}

// throwSpears gives each side three throws in turn, then one each until they differ.
func (m *match) throwSpears() {
	m.move("", "", spears)
	for round := 1; round <= 3 || m.tiebreak[0] == m.tiebreak[1]; round++ {
		for side := range m.sides {
			m.wait(20*time.Second, 50*time.Second)
			hit, action := score.Points(0), "SPEAR_MISSED"
			if m.chance(65) {
				hit, action = score.Points(1), "SPEAR_HIT"
			}
			m.add(side, hit, score.ScorePlay{Period: spears, Action: action, Athlete: pick(m.edition, m.sides[side].athletes)})
		}
	}
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
