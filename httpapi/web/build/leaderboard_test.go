package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const (
	race     = "OG50BC/MAR-X-FNL-02"
	raceView = "/#/contest/" + race
)

// defineRace defines and starts a race without a start list.
func defineRace(contest string) []string {
	const define = `{"type":"contest.define","contest_id":%q,"data":{"kind":"ranked","sport":"marathon",` +
		`"title":"Marathon of two camps","result_type":"TIME","unit":"s","sort":"asc","splits":["10k","20k","finish"]}}`
	const start = `{"type":"contest.status","contest_id":%q,` +
		`"data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`
	return []string{fmt.Sprintf(define, contest), fmt.Sprintf(start, contest)}
}

// setMark sets a mark or an IRM. Competitors whose code ends with F are in category F.
func setMark(contest, split, competitor, mark string) string {
	category := "M"
	if strings.HasSuffix(competitor, "F") {
		category = "F"
	}
	what := `"mark":` + mark
	if mark >= "A" {
		what = fmt.Sprintf(`"irm":%q`, mark)
	}
	const event = `{"type":"result.set","contest_id":%q,` +
		`"data":{"competitor":%q,"split":%q,"category":%q,"organisation":"GAU",%s}}`
	return fmt.Sprintf(event, contest, competitor, split, category, what)
}

// finishers returns marks of n competitors at the finish: 1 after 101 s, 2 after 102 s and so on.
func finishers(n int) (events []string) {
	for i := range n {
		events = append(events, setMark(race, "finish", fmt.Sprint(i+1), fmt.Sprint(101+i)))
	}
	return events
}

// row is the text of a competitor's row, and order the competitors in their order.
func row(competitor string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('.ranking tbody tr')].find(
		(r) => r.querySelector('.name')?.textContent === %q)?.innerText.split(/\s+/).join(' ')`, competitor)
}

const order = `[...document.querySelectorAll('.ranking tbody .name')].map((e) => e.textContent).join()`

// streamed is true if the stream carries a window, as counted by countBoards.
const streamed = `window.boards > 0`

const countBoards = `window.boards = 0; window.EventSource = class extends EventSource {
	constructor(url) {
		super(url)
		this.addEventListener('leaderboard', () => { window.boards++ })
		this.addEventListener('snapshot', (e) => { window.boards += JSON.parse(e.data).leaderboards?.length ?? 0 })
	}
};`

func TestNewMarkMovesItsRowOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(12)...)
	b := newTab(t, desktop, nil)
	b.before(countBoards + countFlashes)
	b.open(s.URL(0) + raceView).live()
	b.until("the first ten", order+` === '1,2,3,4,5,6,7,8,9,10'`)
	b.until("the window in the stream", streamed)
	// On a busy machine it may take another mark, as in TestChangeFlashesOnce.
	marks := 0
	for more := true; more && marks < 5; more = !b.flashesSoon() {
		marks++
		s.Post(setMark(race, "finish", "12", fmt.Sprintf("101.%d", 10-marks)))
		b.until("12 in second place", order+` === '1,12,2,3,4,5,6,7,8,9' && `+
			row("12")+fmt.Sprintf(`.includes('1:41.%d')`, 10-marks))
	}
	b.until("a flash", `window.flashes > 0`)
	b.until("the end of the flash", `!document.querySelector('.ranking .flash-a, .ranking .flash-b')`)
	if n := eval[int](b, `window.flashes`); n > marks {
		t.Errorf("got %d flashes for a row that %d marks moved", n, marks)
	}
	b.do(`[...document.querySelectorAll('.ranking .name')].find((e) => e.textContent === '8').focus()`)
	s.Post(setMark(race, "finish", "8", "100"))
	b.until("8 in first place, still focused", order+`.startsWith('8,1,') && document.activeElement.textContent === '8'`)
	eventually(t, "one stream", func() bool { return s.Watchers(0) == 1 })
}

func TestTiesAndUnrankedCompetitorsAreShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	for _, m := range [][2]string{{"7", "100"}, {"8", "101.5"}, {"9", "101.5"}, {"10", "3700"}, {"11", "DNF"}} {
		s.Post(setMark(race, "finish", m[0], m[1]))
	}
	b := newTab(t, phone, nil).open(s.URL(0) + raceView).live()
	for competitor, want := range map[string]string{
		"7":  "1 7 GAU · M 1:40",
		"8":  "=2 8 GAU · M 1:41.5 +1.5",
		"9":  "=2 9 GAU · M 1:41.5 +1.5",
		"10": "4 10 GAU · M 1:01:40 +1:00:00",
		"11": "11 GAU · M DNF",
	} {
		b.until(want, fmt.Sprintf(`%s.trim() === %q`, row(competitor), want))
	}
	if got := eval[string](b, order); got != "7,8,9,10,11" {
		t.Errorf("the order is %s", got)
	}
}

// clickMore clicks the button below the rows whose text includes the given one.
func clickMore(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('.standing .more button')].find(
		(e) => e.textContent.includes(%q)).click()`, text)
}

func TestFoundBibIsShownAmongItsNeighboursAndFollowed(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(60)...)
	b := newTab(t, phone, nil)
	b.before(countBoards)
	b.open(s.URL(0) + raceView).live()
	b.until("the first ten", order+` === '1,2,3,4,5,6,7,8,9,10'`)
	b.until("the window in the stream", streamed)
	b.do(`window.boards = 0`)
	b.press("b")
	b.until("the search field", `document.activeElement.id === 'bib'`)
	b.press("50")
	b.press(kb.Enter)
	b.until("its neighbours", order+` === '45,46,47,48,49,50,51,52,53,54,55'`)
	b.until("its rank", `document.querySelector('.following')?.innerText.includes('50 is 50 of 60 at finish') &&
		document.querySelector('.ranking [aria-current]').innerText.includes('50')`)
	address := eval[string](b, `location.href`)
	if !strings.HasSuffix(address, raceView+"?around=50") {
		t.Errorf("the URL %s does not name the followed competitor", address)
	}
	b.until("the window around 50 in the stream", streamed)
	s.Post(setMark(race, "finish", "61", "100"))
	b.until("50 with the same neighbours, one rank lower", order+` === '45,46,47,48,49,50,51,52,53,54,55' &&
		document.querySelector('.following').innerText.includes('50 is 51 of 61')`)
	b.until("the announcement", hasAnnounced("50: rank 51"))
	other := newTab(t, desktop, nil).open(address).live()
	other.until("the same from the URL", order+` === '45,46,47,48,49,50,51,52,53,54,55'`)
	other.do(clickMore("around"))
	other.until("more neighbours", order+`.startsWith('20,21,')`)
	b.do(`document.querySelector('.following a').click()`)
	b.until("the top again", order+` === '61,1,2,3,4,5,6,7,8,9'`)
}

func TestCompetitorWithoutAMarkIsFollowedUntilItComes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(20)...)
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView + "?around=77").live()
	b.until("that there is no mark",
		`document.querySelector('.following')?.innerText.includes('77 has no mark at finish yet')`)
	s.Post(setMark(race, "finish", "77", "110.5"))
	b.until("the mark", `document.querySelector('.ranking .followed')?.innerText.includes('1:50.5')`)
}

// maxRows bounds the rows in the document, however long the leaderboard is.
const maxRows = 300

func TestThousandRowsScrollWithBoundedNodes(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	for list := range slices.Chunk(finishers(1000), 200) {
		s.Post(list...)
	}
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("the first ten", order+` === '1,2,3,4,5,6,7,8,9,10'`)
	b.do(clickMore("more of 1,000"))
	b.until("more rows", row("20"))
	b.until("the last one", `(() => {
		const rows = document.querySelector('.rows')
		window.maxRows = Math.max(window.maxRows ?? 0, document.querySelectorAll('.ranking tr').length)
		rows.scrollBy(0, 1500)
		return `+row("1000")+`
	})()`)
	if n := eval[int](b, `window.maxRows`); n > maxRows {
		t.Errorf("got %d rows in the document, want at most %d", n, maxRows)
	}
	if got, want := eval[string](b, row("1000")), "1000 1000 GAU · M 18:20 +16:39"; got != want {
		t.Errorf("the last row is %q, want %q", got, want)
	}
	b.do(`document.querySelector('.rows').scrollTo(0, 0)`)
	b.until("the first again", row("1")+`?.startsWith('1 1 ')`)
	s.Post(setMark(race, "finish", "500", "100"), setMark(race, "finish", "30", "131.5"))
	b.until("a mark outside the window, and the leader in the first row",
		row("30")+` === '32 30 GAU · M 2:11.5 +31.5' && `+row("500")+`.startsWith('1 500 ')`)
}

func TestChosenSplitAndCategoryAreKeptInTheURL(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	for _, m := range []string{"1", "2F", "3", "4F"} {
		s.Post(setMark(race, "10k", m, "1"+m[:1]))
	}
	s.Post(setMark(race, "20k", "4F", "30"))
	for i := range 12 {
		s.Post(setMark(race, "10k", fmt.Sprint(10+i), "40"))
	}
	b := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	b.until("the furthest split with a mark", order+` === '4F'`)
	b.until("that the finish has no mark", `[...document.querySelectorAll('.splits [role=tab]')].map(
		(e) => e.className + e.textContent).join() === 'any10k,any20k,noneFinish, no mark yet'`)
	b.do(`document.querySelector('.splits [aria-selected=true]').focus()`)
	b.press(kb.ArrowLeft)
	b.until("the previous split", order+`.startsWith('1,2F,3,4F,10') &&
		document.activeElement.textContent === '10k' && location.hash.endsWith('?split=10k')`)
	b.do(`{
		const select = document.querySelector('.category select')
		select.value = 'F'
		select.dispatchEvent(new Event('change', { bubbles: true }))
	}`)
	b.until("one category", order+` === '2F,4F' && location.hash.endsWith('?split=10k&category=F')`)
	s.Post(setMark(race, "10k", "5F", "11"))
	b.until("a mark of that category", order+` === '5F,2F,4F'`)
	b.open(s.URL(0) + raceView + "?split=nowhere").live()
	b.until("that there is no such split",
		`document.querySelector('.ranking').innerText.includes('There is no such split.')`)
}

func TestTabsWithDifferentBoardsShareOneStream(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(defineRace(race + "B")...)
	first := newTab(t, desktop, nil).open(s.URL(0) + raceView).live()
	second := newTab(t, desktop, first).open(s.URL(0) + raceView + "B").live()
	for i, mark := range []string{"9", "8", "7"} {
		runner := fmt.Sprint(i + 1)
		s.Post(setMark(race, "10k", runner, mark), setMark(race+"B", "10k", runner, mark))
		first.until("the mark", row(runner))
		second.until("the mark in the second tab", row(runner))
	}
	eventually(t, "one stream for two tabs", func() bool { return s.Watchers(0) == 1 })
}

func TestOtherCompetitionsAreUpToDateAfterALeaderboard(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(2)...)
	b := newTab(t, desktop, nil)
	b.before(countBoards)
	b.open(s.URL(0) + raceView).live()
	b.until("the window in the stream", streamed)
	s.Post(defineMatch("OTHER/MATCH-1")...) // of a competition that the stream does not cover
	b.until("the revision", `document.querySelector('[data-of=revision]').textContent === '6'`)
	b.do(`location.hash = '#/'`)
	b.until("the match", inList("OTHER/MATCH-1", 1)+` === '0'`)
}

func TestPagePollsALeaderboardThatNoStreamCarries(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.Post(defineRace(race)...)
	s.Post(finishers(3)...)
	b := newTab(t, desktop, nil)
	b.before(`window.EventSource = class extends EventSource {
		constructor(url) { super(url.includes('leaderboard=') ? '/v1/watch-of-an-older-frontend' : url) }
	}`)
	b.open(s.URL(0) + raceView).live()
	b.until("the board", order+` === '1,2,3'`)
	s.Post(setMark(race, "finish", "4", "90"))
	b.until("the new mark", order+` === '4,1,2,3'`)
	b.live()
}
