package e2e

import (
	"fmt"
	"testing"

	"laurel/score"
)

// season posts a season of matches and races that are corrected long after: appeals,
// replays, medals that are taken years later. It returns a stream that names all of it.
func (g *group) season(rounds int) *stream {
	t := g.t
	t.Helper()
	const competition = "S26"
	s := &stream{name: "season", medalsOf: competition}
	s.truth.Source, s.truth.Contests = "bard/season", map[string]truthOfContest{}
	posted := 0
	send := func(kind, contest, year, data string) string {
		t.Helper()
		posted++
		id := fmt.Sprint("e", posted)
		list := g.running()
		apply(t, list[posted%len(list)], fmt.Sprintf(
			`{"id":%q,"source":%q,"seq":%d,"type":%q,"time":"%s-06-21T10:00:00+02:00","contest_id":%q,"data":%s}`,
			id, s.truth.Source, posted, kind, year, contest, data))
		return id
	}
	void := func(contest, year, id string) string {
		t.Helper()
		return send("event.void", contest, year, `{"voids":"`+id+`","reason":"upheld on appeal"}`)
	}
	for i := range rounds {
		match, race := fmt.Sprintf("%s/MATCH-%d", competition, i), fmt.Sprintf("%s/RACE-%d", competition, i)
		s.truth.Contests[match], s.truth.Contests[race] = truthOfContest{}, truthOfContest{}
		send("contest.define", match, "2012", `{"kind":"head_to_head","sport":"football","tiebreak_periods":["PSO"],`+
			`"competitors":[{"code":"A","organisation":"OA","order":1},{"code":"B","organisation":"OB","order":2}]}`)
		send("contest.status", match, "2012", `{`+goesOn+`,"period":"H1"}`)
		goal := send("score.play", match, "2012", `{"competitor":"A","delta":1,"clock":"12'"}`)
		send("contest.status", match, "2012", `{"schedule_status":"POSTPONED"}`)
		reset := send("contest.reset", match, "2012", `{"reason":"floodlights"}`)
		send("contest.status", match, "2012", `{`+goesOn+`,"period":"H1"}`)
		send("score.play", match, "2012", `{"competitor":"B","delta":2,"period":"H2"}`)
		send("contest.status", match, "2012", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
		send("medal.award", match, "2012", fmt.Sprintf(`{"award_id":"m%d","medal":"GOLD","organisation":"OB"}`, i))
		decided := send("contest.decide", match, "2013", `{"winner":"A","decision":"DISQUALIFIED","reason":"a forged passport"}`)
		send("medal.revoke", match, "2016", fmt.Sprintf(`{"award_id":"m%d","reason":"doping"}`, i))
		gold := send("medal.award", match, "2024", fmt.Sprintf(`{"award_id":"m%d-2","medal":"GOLD","organisation":"OA"}`, i))

		send("contest.define", race, "2012", `{"kind":"ranked","sport":"run","result_type":"TIME","unit":"s","splits":["half","finish"]}`)
		send("contest.status", race, "2012", `{`+goesOn+`}`)
		for n := range 12 {
			send("result.set", race, "2012", fmt.Sprintf(`{"competitor":"r%d","split":"half","mark":%d.5}`, n, 60+n%5))
		}
		falseStart := send("contest.reset", race, "2012", `{"reason":"a false start"}`)
		send("contest.status", race, "2012", `{`+goesOn+`}`)
		for n := range 12 {
			send("result.set", race, "2012", fmt.Sprintf(`{"competitor":"r%d","split":"finish","mark":%d}`, n, 120+n))
		}
		send("contest.status", race, "2012", `{"schedule_status":"FINISHED","result_status":"OFFICIAL"}`)
		dsq := send("result.set", race, "2020", `{"competitor":"r0","split":"finish","irm":"DSQ","reason":"doping"}`)
		switch i % 3 {
		case 0:
			void(match, "2021", void(match, "2020", reset))
			void(race, "2022", dsq)
		case 1:
			void(match, "2020", decided)
			void(match, "2021", goal)
			void(race, "2022", falseStart)
		case 2:
			void(match, "2020", reset)
			send("contest.status", match, "2021", `{"schedule_status":"RUNNING","reason":"the last minute is played again"}`)
			void(race, "2022", void(race, "2021", falseStart))
		}
		void(match, "2026", void(match, "2025", gold))
	}
	s.truth.Events = uint64(posted)
	return s
}

func TestASeasonOfCorrectionsIsTheSameAtEachFrontendAndAfterASnapshot(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3, soonSnapshots)
	late := g.follower()
	late.Kill()
	season := g.season(3)
	all := []*stream{season}
	before := g.master().answers(all)
	for _, f := range g.running() {
		before.expect(f, all)
	}
	late.start().waitReady()
	g.expectRevision(season.truth.Events)
	before.expectEverywhere(g, all)
	for id := range season.truth.Contests {
		if r := decode[score.Record](t, get(t, late.url+"/v1/scores/"+id)); r.ContestID != id {
			t.Errorf("%s has no %s", late.id, id)
		}
	}
}
