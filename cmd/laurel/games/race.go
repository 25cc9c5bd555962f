package games

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"laurel/score"
)

// ranking is a sport in which many go for the best mark, and the three best get medals.
type ranking struct {
	unit     string
	about    score.ContestDefine
	enter    func(r *race)
	play     func(r *race)
	mayCheat bool
}

var menhirThrow = ranking{
	unit: "MEN-X-FNL",
	about: score.ContestDefine{Kind: score.Ranked, Sport: "menhir-throw", Title: "Menhir throw", Discipline: "MEN", Event: "Open", Gender: "X",
		Venue: "Carnac", ResultType: "DISTANCE", Unit: "m", Sort: "desc"},
	enter: (*race).enterPairs,
	play:  (*race).throw,
}

var skating = ranking{
	unit: "SKA-X-FNL",
	about: score.ContestDefine{Kind: score.Ranked, Sport: "stone-skating", Title: "Stone skating", Discipline: "SKA", Event: "Open", Gender: "X",
		Venue: "Mill pond", ResultType: "POINTS", Unit: "points", Sort: "desc", Splits: []string{"short", "free"}},
	enter: (*race).enterPairs,
	play:  (*race).skate,
}

var marathon = ranking{
	unit: "MAR-X-FNL",
	about: score.ContestDefine{Kind: score.Ranked, Sport: "marathon", Title: "Marathon", Discipline: "MAR", Event: "Open", Gender: "X",
		Venue: "Twice around the camp of Aquarium", ResultType: "TIME", Unit: "s", Sort: "asc", Splits: []string{"10k", "20k", "30k", "40k", finish}},
	enter:    (*race).enterCrowd,
	play:     (*race).run,
	mayCheat: true,
}

var relay = ranking{
	unit: "REL-X-FNL",
	about: score.ContestDefine{Kind: score.Ranked, Sport: "relay-of-pots", Title: "Relay of pots, 4 x one stadium", Discipline: "REL", Event: "Mixed teams", Gender: "X",
		Venue: "Arena", ResultType: "TIME", Unit: "s", Sort: "asc", Splits: []string{"leg1", "leg2", "leg3", finish}},
	enter: (*race).enterTeams,
	play:  (*race).carry,
}

const finish = "finish"

// race is a ranked contest.
type race struct {
	*contest
	field   []runner
	results []score.Mark      // at the final split
	last    map[string]*verse // each competitor's last mark; looked up, never gone through
	awarded []award           // what holds
}

type runner struct{ name, organisation, category string }

type award struct{ id, medal, organisation, competitor string }

// hold composes a race and its medals.
func (e *edition) hold(sport ranking, start time.Time) {
	about := sport.about
	about.Phase, about.MedalEvent, about.StartTime = "Final", 1, start
	r := &race{contest: e.newContest(sport.unit, ofRaces, about), last: make(map[string]*verse)}
	sport.enter(r)
	r.define()
	r.now = start.Add(-15 * time.Minute)
	sport.play(r)
	r.end()
	r.giveMedals()
	if sport.mayCheat && r.chance(60) {
		r.findPotion()
	}
}

// athletes enters n of each nation, and of the neutral villages who wants to.
func (r *race) athletes(n int) {
	for _, from := range append(slices.Clone(nations), neutrals) {
		names := shuffled(r.edition, from.athletes)
		for _, name := range names[:min(n, len(names))] {
			category := "M"
			if strings.HasSuffix(name, "a") {
				category = "F"
			}
			r.field = append(r.field, runner{name, from.code, category})
		}
	}
	r.field = shuffled(r.edition, r.field)
}

// list puts the field on the start list: then only they can score.
func (r *race) list(kind string) {
	for i, f := range r.field {
		r.about.Competitors = append(r.about.Competitors, score.Entrant{Code: f.name, Name: f.name, Organisation: f.organisation, Type: kind, Order: i + 1})
	}
}

func (r *race) enterPairs() {
	r.athletes(2)
	r.list("A")
}

// enterCrowd leaves the start list open: there a first mark makes a competitor.
func (r *race) enterCrowd() { r.athletes(3) }

func (r *race) enterTeams() {
	for _, n := range shuffled(r.edition, nations) {
		r.field = append(r.field, runner{name: n.code, organisation: n.code})
	}
	r.list("T")
}

// mark reports what a runner has reached.
func (r *race) mark(f runner, split string, value score.Decimal) {
	r.report(f, score.ResultSet{Split: split, Mark: &value})
}

// out reports why a runner has no mark in the end.
func (r *race) out(f runner, irm, reason string) {
	r.report(f, score.ResultSet{Split: r.about.FinalSplit(), IRM: irm, Remark: score.Remark{Comment: reason}})
}

func (r *race) report(f runner, set score.ResultSet) {
	set.Competitor, set.Organisation, set.Category = f.name, f.organisation, f.category
	r.last[f.name] = r.post(score.TypeResultSet, &set)
	if set.Split != r.about.FinalSplit() {
		return
	}
	m := score.Mark{Competitor: f.name, Organisation: f.organisation, IRM: set.IRM}
	if set.Mark != nil {
		m.Value = *set.Mark
	}
	r.forget(f.name)
	r.results = append(r.results, m)
}

func (r *race) forget(name string) {
	r.results = slices.DeleteFunc(r.results, func(m score.Mark) bool { return m.Competitor == name })
}

// throw gives everyone three throws. A throw that is no better than one before is not reported.
func (r *race) throw() {
	r.start("THROW1")
	best := make([]score.Decimal, len(r.field))
	for round := 1; round <= 3; round++ {
		if round > 1 {
			r.move("", "", fmt.Sprintf("THROW%d", round))
		}
		for i, f := range r.field {
			r.wait(70*time.Second, 3*time.Minute)
			foul := r.chance(15)
			length := 10 * score.Decimal(1180+r.rnd.IntN(620)) // whole centimetres
			switch {
			case !foul && length > best[i]:
				best[i] = length
				r.mark(f, finish, length)
			case round == 3 && best[i] == 0:
				r.out(f, "DNF", "never let go of the menhir")
			}
		}
	}
}

// skate is scored twice: after the short programme, and, as a sum, after the free one.
func (r *race) skate() {
	r.start("SHORT")
	short := make([]score.Decimal, len(r.field))
	for i, f := range r.field {
		r.wait(2*time.Minute, 4*time.Minute)
		short[i] = 10 * score.Decimal(4800+r.rnd.IntN(3600))
		r.mark(f, "short", short[i])
	}
	r.move("SCHEDULED_BREAK", "INTERMEDIATE", "")
	r.wait(14*time.Minute, 16*time.Minute)
	r.move(score.Running, "LIVE", "FREE")
	for i, f := range r.field {
		r.wait(2*time.Minute, 5*time.Minute)
		if r.chance(6) {
			r.out(f, "DNF", "the stone sank")
			continue
		}
		r.mark(f, "free", short[i]+10*score.Decimal(9000+r.rnd.IntN(7000)))
	}
}

// passing is a runner at a split.
type passing struct {
	runner runner
	split  string
	time   score.Decimal // since the start, in seconds
}

// pass reports the passings as they happen.
func (r *race) pass(list []passing) {
	start := r.now
	slices.SortStableFunc(list, func(a, b passing) int { return cmp.Compare(a.time, b.time) })
	for _, p := range list {
		r.now = start.Add(time.Duration(p.time) * time.Millisecond).Truncate(time.Second)
		r.mark(p.runner, p.split, p.time)
	}
}

// run is 42 kilometres and a bit. Who gives up is seen to have done so when everybody else is there.
func (r *race) run() {
	r.start("")
	var passings []passing
	var lost []runner
	for _, f := range r.field {
		pace := 190 + r.rnd.IntN(70) // seconds a kilometre
		gone := score.Decimal(0)
		stops := len(r.about.Splits)
		if r.chance(12) {
			stops = r.rnd.IntN(stops)
			lost = append(lost, f)
		}
		for i, split := range r.about.Splits[:stops] {
			metres := 10_000
			if i == len(r.about.Splits)-1 {
				metres = 2_195
			}
			// Everyone tires, some more than others; to a tenth of a second.
			gone += score.Decimal(metres*(pace+r.rnd.IntN(4+6*i))/100+r.rnd.IntN(100)) * 100
			passings = append(passings, passing{f, split, gone})
		}
	}
	r.pass(passings)
	for _, f := range lost {
		r.wait(3*time.Minute, 8*time.Minute)
		r.out(f, "DNF", pick(r.edition, gaveUp))
	}
}

// carry is four legs with a full pot.
func (r *race) carry() {
	r.start("")
	var passings []passing
	for _, f := range r.field {
		gone := score.Decimal(0)
		for _, split := range r.about.Splits {
			gone += 10 * score.Decimal(4500+r.rnd.IntN(900))
			passings = append(passings, passing{f, split, gone})
		}
	}
	r.pass(passings)
	for _, f := range r.field {
		if r.chance(8) {
			r.wait(20*time.Second, time.Minute)
			r.out(f, "DSQ", "the pot was empty")
		}
	}
}

// ranked is the final results, best first, those without a mark behind.
func (r *race) ranked() []score.Mark {
	list := slices.Clone(r.results)
	slices.SortStableFunc(list, func(a, b score.Mark) int {
		value := cmp.Compare(b.Value, a.Value)
		if r.about.LeastIsBest() {
			value = -value
		}
		return cmp.Or(cmp.Compare(min(len(a.IRM), 1), min(len(b.IRM), 1)), value)
	})
	return list
}

// giveMedals makes the medals fit the results: it revokes what no longer holds and awards what is missing, bronze first.
func (r *race) giveMedals() {
	var due []award
	list := r.ranked()
	for i, rank := range score.Ranks(list) {
		if 1 <= rank && rank <= 3 {
			medal := [...]string{score.Gold, score.Silver, score.Bronze}[rank-1]
			due = append(due, award{medal: medal, organisation: list[i].Organisation, competitor: list[i].Competitor})
		}
	}
	holds := func(list []award, a award) bool {
		return slices.ContainsFunc(list, func(b award) bool { return a.medal == b.medal && a.competitor == b.competitor })
	}
	r.awarded = slices.DeleteFunc(r.awarded, func(a award) bool {
		if holds(due, a) {
			return false
		}
		r.wait(20*time.Second, 60*time.Second)
		r.post(score.TypeMedalRevoke, &score.MedalRevoke{AwardID: a.id, Reason: "the result was corrected"})
		return true
	})
	for _, a := range slices.Backward(due) {
		if !holds(r.awarded, a) {
			a.id = r.award(a.medal, a.organisation, a.competitor)
			r.awarded = append(r.awarded, a)
		}
	}
}

// findPotion is the scandal: one of the three best had drunk something. The mark goes, and the medals are given anew.
func (r *race) findPotion() {
	if len(r.awarded) == 0 {
		return
	}
	cheat := pick(r.edition, r.awarded)
	r.wait(2*time.Hour, 4*time.Hour)
	r.post(score.TypeAlert, &score.Alert{Text: "A flask that smells of mistletoe lies at the 30 km mark."})
	r.move("", "PROTESTED", "")
	r.wait(20*time.Minute, 40*time.Minute)
	r.post(score.TypeEventVoid, &score.EventVoid{Reason: cheat.competitor + " had drunk magic potion"}).voids = r.last[cheat.competitor]
	r.forget(cheat.competitor)
	r.giveMedals()
	r.move("", score.Official, "")
}
