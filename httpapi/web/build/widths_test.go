package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// layoutFaults names the elements of the selector whose text is cut or outside of its card,
// those that lie over each other, and a page that is wider than the screen.
const layoutFaults = `(selector) => {
	const faults = []
	const of = (e) => {
		const range = document.createRange()
		range.selectNodeContents(e)
		return range.getBoundingClientRect()
	}
	const name = (e) => e.className + ' "' + e.textContent + '"'
	const shown = [...document.querySelectorAll(selector)].filter((e) => e.textContent.trim() && e.offsetParent)
	const boxes = shown.map(of)
	shown.forEach((e, i) => {
		const box = boxes[i], card = e.closest('.card, .board').getBoundingClientRect()
		if (box.left < card.left - 0.5 || box.right > card.right + 0.5) faults.push(name(e) + ' is outside of its card')
		for (let at = e; at && !at.matches('.card, .board'); at = at.parentElement) {
			if (getComputedStyle(at).overflowX === 'visible') continue
			const clip = at.getBoundingClientRect()
			if (box.left < clip.left - 0.5 || box.right > clip.right + 0.5) faults.push(name(e) + ' is cut')
		}
		for (let j = 0; j < i; j++) {
			const other = boxes[j]
			if (shown[j].contains(e) || e.contains(shown[j])) continue
			if (box.left < other.right - 0.5 && other.left < box.right - 0.5 &&
				box.top < other.bottom - 0.5 && other.top < box.bottom - 0.5)
				faults.push(name(e) + ' lies over ' + name(shown[j]))
		}
	})
	if (document.documentElement.scrollWidth > innerWidth) faults.push('the page scrolls sideways')
	return faults.slice(0, 5).join('; ')
}`

func (b *tab) noLayoutFaults(where, selector string) {
	b.t.Helper()
	if got := eval[string](b, fmt.Sprintf(`(%s)(%q)`, layoutFaults, selector)); got != "" {
		b.t.Errorf("%s: %s", where, got)
	}
}

// screens returns the widths of screens, from the narrowest phone on.
func screens() []int64 {
	if os.Getenv("LAUREL_CI") == "full" {
		return []int64{320, 360, 390, 430, 480, 560, 640, 768, 960, 1024, 1280, 1440}
	}
	return []int64{320, 390, 768, 1280}
}

// scores are scores of one to nine characters.
var scores = []string{"7", "24", "108", "97.5", "12345", "498.12", "1234567", "1234.567", "12345.678", "-1234.56"}

func TestScoresOfAnyLengthFitOnAnyScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	for i, points := range scores {
		id := fmt.Sprintf("D25/S%d", i)
		s.Post(
			fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"esports",`+
				`"title":"Alpha Squad vs Wolverhampton Wanderers","phase":"Semi-final","competitors":[`+
				`{"code":"ALP","name":"Alpha Squad","order":1},{"code":"WOL","name":"Wolverhampton Wanderers","order":2}]}}`, id),
			fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING",`+
				`"result_status":"LIVE","period":"Second half of extra time","clock":"118:22"}}`, id),
			fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":"ALP","delta":%s,"period":"R1"}}`, id, points),
			fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":"WOL","delta":%s,"period":"R1"}}`,
				id, scores[len(scores)-1-i]),
		)
	}
	for _, width := range screens() {
		b := newTab(t, device{width: width, height: 780}, nil).open(s.URL(0)).live()
		b.until("the list", fmt.Sprintf(`document.querySelectorAll('.contests tbody tr').length === %d`, len(scores)))
		b.noLayoutFaults(fmt.Sprintf("the list at %d pixels", width),
			".contests .side .value, .contests .state, .contests .when .at")
		for i := range scores {
			show(b, fmt.Sprintf("#/contest/D25/S%d", i), `document.querySelectorAll('.board-score').length === 2 &&
				document.querySelectorAll('.timeline tbody tr').length === 4`)
			b.noLayoutFaults(fmt.Sprintf("%s at %d pixels", scores[i], width),
				".board-score, .board-name, .board-between .state, .board-between .at")
			b.noBrokenWords(fmt.Sprintf("%s at %d pixels", scores[i], width), ".board-name bdi")
		}
		b.close()
	}
}

// hiddenNames names the competitors of which less than a few letters can be seen, in the
// elements of the selector.
const hiddenNames = `(selector) => [...document.querySelectorAll(selector)].filter((e) => {
	const range = document.createRange()
	range.selectNodeContents(e)
	const clip = e.closest('.card').getBoundingClientRect()
	const box = e.getBoundingClientRect()
	return Math.min(box.right, clip.right) - box.left < Math.min(range.getBoundingClientRect().width, 44) - 0.5
}).map((e) => e.textContent).slice(0, 5).join('; ')`

func (b *tab) noHiddenNames(where, selector string) {
	b.t.Helper()
	if got := eval[string](b, fmt.Sprintf(`(%s)(%q)`, hiddenNames, selector)); got != "" {
		b.t.Errorf("%s: nothing can be read of the names of %s", where, got)
	}
}

// defineEventing returns the events of a race with two marks, as wide as they can be.
func defineEventing(id string, marks ...string) []string {
	events := []string{
		fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"ranked","sport":"equestrian",`+
			`"title":"Eventing","result_type":"POINTS","unit":"Strafpunktesammelstelleneinheit","sort":"asc","unit2":"s","sort2":"asc"}}`, id),
		fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`, id),
	}
	for i, mark := range marks {
		one, two, _ := strings.Cut(mark, "/")
		events = append(events, fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":{"competitor":"Rider %d",`+
			`"split":"finish","mark":%s,"mark2":%s,"organisation":"GAU","reason":"read again"}}`, id, i+1, one, two))
	}
	return events
}

func TestALongScoreHidesNoNameOnAnyScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch("D25/M")...)
	s.Post(play("D25/M", "GAU", 3))
	s.Post(defineEventing("D25/E", `28.5/"1:12:13.125"`, `28.5/"1:12:14.5"`, `128/61.5`)...)
	s.Post(defineEventing("D25/H", `99999999999.125/999999999999.125`, `999999999999.999/1`)...)
	for i, points := range scores {
		id := fmt.Sprintf("D25/S%d", i)
		s.Post(defineMatch(id)...)
		s.Post(play(id, "GAU", 1), strings.Replace(play(id, "ROM", 1), `"delta":1`, `"delta":`+points, 1))
	}
	for _, width := range screens() {
		for _, noScript := range []bool{true, false} {
			b := newTab(t, device{width: width, height: 780, noScript: noScript}, nil).open(s.URL(0))
			b.until("the list", fmt.Sprintf(`document.querySelectorAll('.contests tbody tr').length === %d`, len(scores)+3))
			where := fmt.Sprintf("the list at %d pixels", width)
			b.noHiddenNames(where, ".contests .name bdi")
			b.noLayoutFaults(where, ".contests .side .value, .contests .state, .contests .when .at")
			if !noScript {
				for _, id := range []string{"D25/E", "D25/H"} {
					show(b, "#/contest/"+id, `document.querySelectorAll('.ranking tbody tr').length > 1 &&
						document.querySelectorAll('.timeline tbody tr').length > 3`)
					where := fmt.Sprintf("%s at %d pixels", id, width)
					b.noHiddenNames(where, ".ranking .name bdi")
					b.noLayoutFaults(where, ".ranking .total, .ranking .rank, .ranking thead .n, .timeline .n, .timeline time, .timeline .why")
				}
			}
			b.close()
		}
	}
}

func TestATimelineFitsOnAnyScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineMatch("D25/T")...)
	s.Post(
		`{"type":"score.play","contest_id":"D25/T","id":"a","data":{"competitor":"GAU","delta":1234567.125,"period":"Extra time 2",`+
			`"clock":"118:22","action":"GOAL","athlete":"Wolverhampton-Gunzenhausen","result":{"GAU":1234567.125,"ROM":0}}}`,
		`{"type":"score.play","contest_id":"D25/T","data":{"competitor":"ROM","delta":1}}`,
		`{"type":"event.void","contest_id":"D25/T","data":{"voids":"a","reason":"offside"}}`,
	)
	for _, width := range screens() {
		b := newTab(t, device{width: width, height: 780}, nil).open(s.URL(0) + "/" + "#/contest/D25/T").live()
		b.until("the timeline", `document.querySelectorAll('.timeline tbody tr').length === 5`)
		b.noLayoutFaults(fmt.Sprintf("the timeline at %d pixels", width),
			".timeline .n, .timeline time, .timeline .day, .timeline .at, .timeline .why, .timeline .badge")
		b.close()
	}
}

func TestMedalsFitBesideAnyNameOnAnyScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	long := strings.Repeat("Liechtenstein", 6)
	for i, organisation := range []string{"LIE", "GAU", long} {
		s.Post(fmt.Sprintf(`{"type":"medal.award","contest_id":"D25/1","data":{"award_id":"%d","medal":"GOLD","organisation":%q}}`,
			i, organisation))
	}
	s.Post(fmt.Sprintf(`{"type":"competition.define","contest_id":"D25","data":{"name":%q,"organisations":[`+
		`{"code":"LIE","name":"Liechtenstein"},{"code":%[1]q,"name":%[1]q}]}}`, long))
	for _, width := range screens() {
		for _, hash := range []string{"#/", "#/medals"} {
			b := newTab(t, device{width: width, height: 780}, nil).open(s.URL(0) + "/" + hash).live()
			b.until("the table", `document.querySelectorAll('.medals tbody tr').length === 3`)
			b.noLayoutFaults(fmt.Sprintf("%s at %d pixels", hash, width), ".medals .n .value, .medals .rank, .medals .org, .medals .name")
			b.close()
		}
	}
}

func TestANameFromRightToLeftIsCutAtItsEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	name := strings.Repeat("الاتحاد الرياضي ", 8)
	s.Post(fmt.Sprintf(`{"type":"contest.define","contest_id":"D17/R","data":{"kind":"head_to_head","sport":"football","title":"t",`+
		`"competitors":[{"code":"A","name":%q,"order":1},{"code":"B","name":"Rome","order":2}]}}`, name))
	b := newTab(t, phone, nil).open(s.URL(0)).live()
	b.until("the beginning of the name at the right, within its box", `(() => {
		const e = document.querySelector('.contests .name bdi')
		const range = document.createRange()
		range.setStart(e.firstChild, 0)
		range.setEnd(e.firstChild, 1)
		const first = range.getBoundingClientRect(), box = e.getBoundingClientRect()
		return box.width > 40 && first.right <= box.right + 0.5 && first.left >= box.left
	})()`)
}

// noBrokenWords fails the test if a word of an element is on two lines.
func (b *tab) noBrokenWords(where, selector string) {
	b.t.Helper()
	broken := eval[string](b, fmt.Sprintf(`[...document.querySelectorAll(%q)].flatMap((e) => {
		const text = e.firstChild, faults = []
		for (const word of text.data.matchAll(/[^\s-]+/g)) {
			const range = document.createRange()
			range.setStart(text, word.index)
			range.setEnd(text, word.index + word[0].length)
			if (range.getClientRects().length > 1) faults.push(word[0])
		}
		return faults
	}).join()`, selector))
	if broken != "" {
		b.t.Errorf("%s: %s is broken", where, broken)
	}
}

func TestNamesBesideALongPeriodAreInWords(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	define := func(id, one, two, period, clock string) {
		s.Post(
			fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"head_to_head","sport":"football",`+
				`"title":"%s vs %s","competitors":[{"code":"AAA","name":%[2]q,"order":1},{"code":"BBB","name":%[3]q,"order":2}]}}`,
				id, one, two),
			fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING","result_status":"LIVE",`+
				`"period":%q,"clock":%q}}`, id, period, clock),
			fmt.Sprintf(`{"type":"score.play","contest_id":%q,"data":{"competitor":"AAA","delta":2}}`, id),
		)
	}
	define("D31/A", "Gaul", "Rome", "Second half of extra time", "118:22")
	define("D31/B", "Borussia Mönchengladbach", "Wolverhampton Wanderers", "2nd half", "90+3:21")
	define("D31/C", "Weißenburg-Gunzenhausen", "Llanfairpwllgwyngyll", "Penaltyshootingwithoutablankin", "1")
	for _, width := range screens() {
		b := newTab(t, device{width: width, height: 780}, nil).open(s.URL(0)).live()
		for _, id := range []string{"D31/A", "D31/B", "D31/C"} {
			where := fmt.Sprintf("%s at %d pixels", id, width)
			show(b, "#/contest/"+id, `document.querySelectorAll('.board-score').length === 2 &&
				document.querySelectorAll('.timeline tbody tr').length === 3`)
			b.noBrokenWords(where, ".board-name bdi")
			b.noLayoutFaults(where, ".board-score, .board-name, .board-between .state, .board-between .at")
		}
		b.close()
	}
}

// manyMore makes the page believe that each row is 999,990 places further down, of 1,000,000.
const manyMore = `{
	const parse = JSON.parse
	JSON.parse = (text) => parse(text, (_, v) => {
		if (v?.rank && v.competitor) v.rank += 999_990
		if (v?.order && v.total) v.total = 1_000_000
		if (v?.rows && v.total && 'next' in v) v.total = 1_000_000
		return v
	})
	Response.prototype.json = async function () { return JSON.parse(await this.text()) }
}`

func TestRanksUpToAMillionAndTheirMarksFitOnAnyScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	for i, marks := range []string{"7891.2 8891.25 8891.25", "36000.125 86399.999 359999.999", "9.79 9.8 9.8", "3 4 4"} {
		id := fmt.Sprintf("D25/R%d", i)
		s.Post(defineRace(id)...)
		for j, mark := range strings.Fields(marks) {
			s.Post(fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":{"competitor":"90%d","split":"finish",`+
				`"mark":%s,"organisation":"GAU","category":"W35"}}`, id, j, mark))
		}
		s.Post(setMark(id, "finish", "904", "DNF"))
	}
	for _, width := range screens() {
		for _, before := range []string{"", manyMore} {
			b := newTab(t, device{width: width, height: 780}, nil)
			if before != "" {
				b.before(before)
			}
			b.open(s.URL(0)).live()
			b.noLayoutFaults(fmt.Sprintf("the list at %d pixels", width), ".contests .side .value, .contests .state")
			for i := range 4 {
				show(b, fmt.Sprintf("#/contest/D25/R%d", i), `document.querySelectorAll('.timeline tbody tr').length === 6 &&
					document.querySelectorAll('.ranking tbody tr').length === 4`)
				if before != "" {
					b.until("the millionth", `document.querySelector('.ranking').innerText.includes('999992')`)
				}
				b.noLayoutFaults(fmt.Sprintf("race %d at %d pixels", i, width),
					".ranking td.rank, .ranking .total, .ranking .gap")
			}
			b.close()
		}
	}
}

func TestLongWordsMakeNoViewWiderThanTheScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	long := strings.Repeat("Donaudampfschifffahrt", 5)
	s.Post(
		fmt.Sprintf(`{"type":"contest.define","contest_id":"D25/L","data":{"kind":"head_to_head","sport":"boat","title":%q,`+
			`"event":%[1]q,"venue":%[1]q,"start_time":"2026-02-09T10:00:00+05:45","competitors":[{"code":"A","name":%[1]q,"order":1},`+
			`{"code":"B","name":%[1]q,"order":2}]}}`, long),
		`{"type":"contest.status","contest_id":"D25/L","data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"`+
			long[:32]+`"}}`,
		fmt.Sprintf(`{"type":"alert","contest_id":"D25/L","data":{"text":%q}}`, long),
	)
	for _, width := range []int64{320, 390, 768, 1440} {
		b := newTab(t, device{width: width, height: 780}, nil).open(s.URL(0)).live()
		for _, v := range []struct{ hash, rendered string }{
			{"#/", `document.querySelector('.contests tbody tr')`},
			{"#/contest/D25/L", `document.querySelectorAll('.timeline tbody tr').length === 3`},
		} {
			show(b, v.hash, v.rendered)
			if got := eval[int64](b, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s at %d pixels is %d pixels wide", v.hash, width, got)
			}
		}
		b.close()
	}
}
