package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"laurel/score"
	"laurel/score/ranking"
)

const (
	marathon = "BOS-2013/OPEN"
	halfway  = 8000 // somebody in the middle of 16,000
)

// TestTheMarathonIsShownWhileItIsSungAndAfterwards looks at real frontends, with a real race.
func TestTheMarathonIsShownWhileItIsSungAndAfterwards(t *testing.T) {
	if os.Getenv("LAUREL_WEB_REAL") == "" {
		t.Skip("only with real frontends; set LAUREL_WEB_REAL")
	}
	file, finish := finishers(t)
	s := newSite(t, 3)
	top, ok := finish.Page(&ranking.Query{Limit: halfway})
	if !ok || len(top.Rows) < halfway {
		t.Fatalf("%d rows at the finish", len(top.Rows))
	}
	bib := top.Rows[halfway-1].Competitor
	b := newTab(t, desktop, nil).open(s.URL(1) + "/#/contest/" + marathon).live()
	phoned := newTab(t, phone, nil).open(s.URL(2) + "/#/contest/" + marathon + "?split=finish&around=" + bib).live()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	sung := make(chan error, 1)
	go func() {
		out, err := exec.Command(filepath.Join(dir, "bard"), "sing", "--to", s.URL(0), "--speed", "max", file).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("bard sing: %w\n%s", err, out)
		}
		sung <- err
	}()
	b.until("the race while it goes on", `document.querySelectorAll('.ranking tbody tr[aria-rowindex]').length === 10 && document.querySelector('.state.live')`)
	if err := <-sung; err != nil {
		t.Fatal(err)
	}
	b.until("the first ten at the finish", order+` === '`+codes(top.Rows[:10])+`' && `+ranks+` === '`+places(top.Rows[:10])+`'`)
	around, _ := finish.Page(&ranking.Query{Limit: 11, Around: bib})
	phoned.until("who was waited for, and the neighbours", order+` === '`+codes(around.Rows)+`' && `+ranks+` === '`+places(around.Rows)+`'`)
	women, _ := finish.Page(&ranking.Query{Limit: 10, Category: "F"})
	// By the address: which categories there are the page learns from the marks that it hears of, and at this speed those may all be of one.
	b.do(`location.replace('#/contest/' + '` + marathon + `' + '?category=F')`)
	b.until("the women", order+` === '`+codes(women.Rows)+`' && `+ranks+` === '`+places(women.Rows)+`'`)
	b.do(`document.getElementById('bib').focus()`)
	b.press(women.Rows[9].Competitor)
	b.press(kb.Enter)
	b.until("the tenth of them among her neighbours", `document.querySelector('.following')?.innerText.includes('10 of ') && document.querySelector('.ranking .followed')`)
	eventually(t, "two streams for two pages", func() bool { return s.Watchers(0)+s.Watchers(1)+s.Watchers(2) == 2 })
}

const ranks = `[...document.querySelectorAll('.ranking tbody .rank')].map((e) => e.textContent).join()`

func codes(rows []ranking.Row) string {
	var list []string
	for _, r := range rows {
		list = append(list, r.Competitor)
	}
	return strings.Join(list, ",")
}

func places(rows []ranking.Row) string {
	var list []string
	for _, r := range rows {
		list = append(list, map[bool]string{true: "="}[r.RankEqual]+fmt.Sprint(r.Rank))
	}
	return strings.Join(list, ",")
}

// finishers are the marks at the finish, as the stream has them in the end.
func finishers(t testing.TB) (file string, board *ranking.Board) {
	dir := os.Getenv("LAUREL_GAMES")
	if dir == "" {
		dir = "../../../../shared/data"
	}
	file = filepath.Join(dir, "marathon", "events.ndjson.gz")
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("the real marathon is not there: %v; set LAUREL_GAMES to its directory", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	board = ranking.New(true)
	for lines := bufio.NewScanner(z); lines.Scan(); {
		e, p := score.Decode(lines.Bytes())
		if p != nil {
			t.Fatal(p)
		}
		d, is := e.Data.(*score.ResultSet)
		if !is || e.ContestID != marathon || d.Split != "finish" {
			continue
		}
		m := score.Mark{Competitor: d.Competitor, IRM: d.IRM, Category: d.Category, Organisation: d.Organisation}
		if d.Mark != nil {
			m.Value = *d.Mark
		}
		board.Set(m)
	}
	return file, board
}
