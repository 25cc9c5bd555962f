package main

import "testing"

// georgia is true if the medal table names GEO as its own competition does.
const georgia = `document.querySelector('.medals tbody').innerText.includes('Georgia') &&
	!document.querySelector('.medals tbody').innerText.includes('Georgetown')`

func TestANameOfATeamIsNotShownInAnotherCompetition(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	for _, c := range [][2]string{{"D09A", "Georgia"}, {"D09B", "Georgetown"}} {
		s.Post(`{"type":"contest.define","contest_id":"` + c[0] + `/1","data":{"kind":"head_to_head","sport":"football",` +
			`"competitors":[{"code":"GEO","name":"` + c[1] + `","organisation":"GEO"}]}}`)
		s.Post(`{"type":"medal.award","contest_id":"` + c[0] + `/1",` +
			`"data":{"award_id":"g","medal":"GOLD","organisation":"GEO"}}`)
	}
	for _, tab := range []*tab{newTab(t, desktop, nil), newTab(t, phone, nil)} {
		b := tab.open(s.URL(0) + "/#/medals/D09A").live()
		b.until("the name by the team", georgia)
	}
	s.Post(`{"type":"competition.define","contest_id":"D09B","data":{"organisations":[{"code":"GEO","name":"Town"}]}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + "/#/medals/D09B").live()
	b.until("the name by the competition", `document.querySelector('.medals tbody').innerText.includes('Town')`)
	b.do(`location.hash = '#/medals/D09A'`)
	b.until("the name by the team", georgia)
}

func TestADefinitionAfterThePlaysIsACorrectionOnThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch(match)...)
	s.Post(play(match, "GAU", 2), play(match, "ROM", 1))
	s.Post(`{"type":"contest.status","contest_id":"` + match + `",` +
		`"data":{"schedule_status":"FINISHED","result_status":"OFFICIAL"}}`)
	b := newTab(t, desktop, nil).open(s.URL(0) + matchView).live()
	b.until("the winner", `document.querySelector('.board-side.winner .board-name').textContent.includes('Gaul')`)
	s.Post(`{"type":"contest.define","contest_id":"` + match + `","data":{"sort":"asc","reason":"it is golf"}}`)
	b.until("the other winner", `document.querySelector('.board-side.winner .board-name').textContent.includes('Rome')`)
	b.until("the badge of the contest", `document.querySelector('.headline .badge.corrected')`)
	b.until("the event with the reason", corrected(".timeline tr", "it is golf"))
	s.Post(`{"type":"competitor.define","contest_id":"` + match + `","data":{"competitor":"GAU","name":"Gallia"}}`)
	b.until("the new name", `document.querySelector('.board').innerText.includes('Gallia')`)
	b.until("the event", `document.querySelector('.timeline').innerText.includes('Competes: Gallia')`)
	// A page that has not seen the timeline knows it, too.
	late := newTab(t, phone, nil).open(s.URL(0) + "/").live()
	late.until("the badge in the list", `document.querySelector('.contests .badge.corrected')`)
}

func TestADefinitionOfSomethingElseKeepsTheSplitsOnThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(3)...)
	const splits = `document.querySelectorAll('.splits [role=tab]').length`
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("the splits", splits+` === 3`)
	s.Post(`{"type":"contest.define","contest_id":"` + race + `","data":{"title":"Marathon in the rain"}}`)
	b.until("the new title", `document.querySelector('h1').textContent === 'Marathon in the rain'`)
	b.until("the event", `document.querySelectorAll('.timeline tr.contest-define').length === 2`)
	b.until("the splits as before", splits+` === 3`)
	s.Post(`{"type":"contest.define","contest_id":"` + race + `","data":{"splits":null,"reason":"one lap only"}}`)
	b.until("no splits", splits+` === 0`)
}
