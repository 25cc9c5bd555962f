package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"laurel/client"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

const (
	marathon = "BOS-2013/OPEN"
	halfway  = 8000 // the rank of a competitor in the middle of 16,000
)

func TestMarathonIsShownDuringTheRaceAndAfterwards(t *testing.T) {
	if os.Getenv("LAUREL_CI") != "full" {
		t.Skip("takes a minute; set LAUREL_CI=full")
	}
	events, finish := readMarathon(t)
	s := newSite(t, 3)
	top, ok := finish.Page(&ranking.Query{Limit: halfway})
	if !ok || len(top.Rows) < halfway {
		t.Fatalf("got %d rows at the finish, want %d", len(top.Rows), halfway)
	}
	bib := top.Rows[halfway-1].Competitor
	b := newTab(t, desktop, nil).open(s.URL(1) + "/#/contest/" + marathon).live()
	onPhone := newTab(t, phone, nil).open(s.URL(2) + "/#/contest/" + marathon + "?split=finish&around=" + bib).live()
	posted := make(chan error, 1)
	go func() { posted <- stream(t.Context(), s.URL(0), events) }()
	b.until("the live race", `document.querySelectorAll('.ranking tbody tr[aria-rowindex]').length === 10 &&
		document.querySelector('.state.live')`)
	if err := <-posted; err != nil {
		t.Fatal(err)
	}
	b.until("the first ten at the finish", showsRows(top.Rows[:10]))
	around, _ := finish.Page(&ranking.Query{Limit: 11, Around: bib})
	onPhone.until("the followed competitor and the neighbours", showsRows(around.Rows))
	women, _ := finish.Page(&ranking.Query{Limit: 10, Category: "F"})
	// By URL: the page learns the categories from the marks that it receives, and at this
	// speed those may all be of one category.
	b.do(`location.replace('#/contest/` + marathon + `?category=F')`)
	b.until("the women", showsRows(women.Rows))
	b.do(`document.getElementById('bib').focus()`)
	b.press(women.Rows[9].Competitor)
	b.press(kb.Enter)
	b.until("the tenth woman among her neighbours",
		`document.querySelector('.following')?.innerText.includes('10 of ') && document.querySelector('.ranking .followed')`)
	eventually(t, "two streams for two pages", func() bool { return s.Watchers(0)+s.Watchers(1)+s.Watchers(2) == 2 })
}

// stream posts events in order through one stream.
func stream(ctx context.Context, url string, events []score.Event) error {
	c, err := client.New([]string{url}, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	out := c.Stream(ctx, client.StreamOptions{})
	for i := range events {
		if err := out.Send(&events[i]); err != nil {
			return err
		}
	}
	return out.Close()
}

// showsRows is true if the leaderboard has exactly these competitors and ranks.
func showsRows(rows []ranking.Row) string {
	var competitors, ranks []string
	for _, r := range rows {
		rank := fmt.Sprint(r.Rank)
		if r.RankEqual {
			rank = "=" + rank
		}
		competitors, ranks = append(competitors, r.Competitor), append(ranks, rank)
	}
	return fmt.Sprintf(`%s === %q && [...document.querySelectorAll('.ranking tbody .rank')].map((e) => e.textContent).join() === %q`,
		order, strings.Join(competitors, ","), strings.Join(ranks, ","))
}

// readMarathon returns the events of the marathon and the final leaderboard of its finish.
func readMarathon(t testing.TB) (events []score.Event, board *ranking.Board) {
	t.Helper()
	dir := os.Getenv("LAUREL_GAMES")
	if dir == "" {
		dir = "../../../../shared/data"
	}
	f, err := os.Open(filepath.Join(dir, "marathon", "events.ndjson.gz"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no marathon data; set LAUREL_GAMES to its directory: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	board = ranking.New(ranking.Direction{Lower: true})
	for lines := bufio.NewScanner(z); lines.Scan(); {
		e, p := score.Decode(lines.Bytes())
		if p != nil {
			t.Fatal(p)
		}
		events = append(events, e)
		d, ok := e.Data.(*score.ResultSet)
		if !ok || e.ContestID != marathon || d.Split != "finish" {
			continue
		}
		definition := fold.Definition{ResultType: "TIME", Unit: "min"}
		m, p := definition.Mark(d)
		if p != nil {
			t.Fatal(p)
		}
		board.Set(m)
	}
	return events, board
}
