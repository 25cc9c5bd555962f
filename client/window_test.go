package client_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

func markEvent(competitor string, seconds int) score.Event {
	d := mark.Points(int64(seconds))
	return score.Event{Type: score.TypeResultSet, ContestID: race, Data: &score.ResultSet{
		Competitor: competitor, Split: "finish", Mark: new(mark.Number(d)),
	}}
}

// windowText returns a part of a leaderboard as text.
func windowText(t *testing.T, total int, rows []ranking.Row) string {
	t.Helper()
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", total, b)
}

func TestWatchedLeaderboardEqualsARequestedOneAtEachRevision(t *testing.T) {
	t.Parallel()
	g := testgroup.Start(t, 2)
	c := newClient(t, client.Options{}, g.URLs()...)
	bard := newClient(t, client.Options{}, g.URLs()...)
	post(t, bard, runners()...)
	part := client.BoardPart{Page: client.Page{Limit: 3, After: "1,x"}, Split: "finish", Around: "7"}
	a := startWatch(t, c, client.WatchOptions{Leaderboards: []string{race}, Part: part})
	first := a.await(t, client.UpdateSnapshot, 1)
	if len(first.Leaderboards) != 1 || first.Leaderboards[0].Around != "7" || len(first.Leaderboards[0].Rows) != 3 {
		t.Fatalf("got %+v", first)
	}
	part.After = ""
	want := map[uint64]string{}
	last := ""
	for i := range 200 {
		results, err := bard.Post(t.Context(), []score.Event{markEvent(fmt.Sprint(rand.N(30)), 7990+rand.N(20))})
		if err != nil {
			t.Fatal(err)
		}
		l, err := bard.Leaderboard(t.Context(), race, part)
		if err != nil {
			t.Fatal(err)
		}
		last = windowText(t, l.Total, l.Rows)
		want[results[0].Revision] = last
		if i%40 == 20 {
			g.Frontends[i/40%2].EndWatches()
		}
	}
	var updates []client.Update
	eventually(t, "the last window", func() bool {
		updates = a.updates(client.UpdateSnapshot, client.UpdateLeaderboard)
		w := updates[len(updates)-1].Leaderboards[0]
		return windowText(t, w.Total, w.Rows) == last
	})
	revision := first.Leaderboards[0].Revision
	for _, u := range updates[1:] {
		w := u.Leaderboards[0]
		if got := windowText(t, w.Total, w.Rows); got != want[w.Revision] {
			t.Fatalf("at revision %d the watch has\n%s\nwant\n%s", w.Revision, got, want[w.Revision])
		}
		if w.Revision <= revision {
			t.Fatalf("revision %d came after %d", w.Revision, revision)
		}
		revision = w.Revision
	}
	if len(a.updates(client.UpdateConnected)) < 2 {
		t.Error("the watch was never lost; the test shows nothing")
	}
}

func TestStreamThatOmitsARowIsDropped(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	post(t, c, runners()...)
	a := startWatch(t, c, client.WatchOptions{Leaderboards: []string{race}})
	a.await(t, client.UpdateSnapshot, 1)
	g.Frontends[0].InjectEvent("leaderboard", map[string]any{
		"contest_id": race, "split": "finish", "total": 5, "revision": 1000,
		"order": []string{"2888", "nobody"}, "rows": []string{},
	})
	if u := a.await(t, client.UpdateLost, 1); u.Err == nil {
		t.Errorf("got %+v", u)
	}
	post(t, c, markEvent("7", 1))
	u := a.await(t, client.UpdateLeaderboard, 1)
	if rows := u.Leaderboards[0].Rows; len(rows) != 4 || rows[0].Competitor != "7" {
		t.Errorf("afterwards the watch has %+v", rows)
	}
}
