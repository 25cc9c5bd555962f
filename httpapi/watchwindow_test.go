package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cache"
	"laurel/httpapi/question"
	"laurel/httpapi/watch"
	"laurel/score"
	"laurel/score/ranking"
)

// newRaceGroup returns a group with the leaderboards of a race, and the URL of its frontend.
func newRaceGroup(t *testing.T) (*testMember, string) {
	t.Helper()
	g, _, url := newWatchedGroup(t)
	return &g.testMember, url
}

func TestWatchedWindowHasTheRowsOfGET(t *testing.T) {
	g, url := newRaceGroup(t)
	page, _, err := g.store.Board(t.Context(), race, &ranking.Query{Around: "31", Category: "W", Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	row := page.Rows[0].AppendJSON(nil)
	all := readUntil(t, url+"/v1/watch?leaderboard="+race+"&around=31&category=W&limit=3",
		"event: snapshot", `"leaderboards":[{`, "\nid: fake-")
	window := `{"contest_id":"OG50BC/MAR","split":"finish","category":"W","around":"31",` +
		`"total":2,"result_type":"TIME","unit":"s","sort":"asc","revision":11,"order":["31","42"],"rows":[` + string(row) + `,`
	for _, want := range []string{`"scores":[]`, window} {
		if !strings.Contains(all, want) {
			t.Errorf("got\n%s\nwant %s in it", all, want)
		}
	}
	readUntil(t, url+"/v1/watch?leaderboard="+race+"&leaderboard=OG/none&contest=OG/1&limit=1&split=10%20km",
		`"order":["2888"]`,
		`{"contest_id":"OG/none","split":"","total":0,"revision":13,"order":[],"rows":[]}`,
		`"contest_id":"OG/1"`)
	readUntil(t, url+"/v1/watch?leaderboard="+race+"&around=nobody",
		`"total":5,"result_type":"TIME","unit":"s","sort":"asc","revision":11,"order":[],"rows":[]`)
	readUntil(t, url+"/v1/watch?leaderboard="+race+"&last_event_id=fake-0",
		"event: leaderboard\ndata: {\"contest_id\"", `"order":["2888","31","42","7","99"]`, "\nid: fake-")
}

func TestInvalidWindowIsRefused(t *testing.T) {
	_, url := newRaceGroup(t)
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, fmt.Sprintf("leaderboard=a/%d", i))
	}
	for query, word := range map[string]string{
		"leaderboard=OG//1":                        "segments of letters",
		"leaderboard=" + race + "&split=20%20km":   "10 km, finish",
		"leaderboard=" + race + "&limit=101":       "1 to 100",
		"leaderboard=" + race + "&limit=0":         "1 to 100",
		"leaderboard=" + race + "&split=a&split=b": "want it once",
		"leaderboard=" + race + "&after=0,2888":    "unknown parameter",
		"around=31":                                "without a leaderboard",
		"leaderboard=" + race + "&around=" + strings.Repeat("x", question.MaxFilter+1): "names have at most",
		strings.Join(eleven, "&"): "at most 10",
	} {
		answer, err := http.Get(url + "/v1/watch?" + query)
		if err != nil {
			t.Fatal(err)
		}
		var problem score.Problem
		if err := json.UnmarshalRead(answer.Body, &problem); err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(problem.Detail, word) {
			t.Errorf("%.60s gives %s %q; want 400 and %q", query, answer.Status, problem.Detail, word)
		}
	}
}

// storeOf returns the store of a fake group as the hub reads it.
func storeOf(g groupMember) watchStore {
	return watchStore{&API{group: groupOf(g)}, new(sectionNumbers)}
}

// changingGroup is a group whose leaderboard changes between its first two reads.
type changingGroup struct {
	*testMember
	reads int
}

func (g *changingGroup) Board(ctx context.Context, contestID string, q *ranking.Query) (p ranking.Leaderboard,
	revision uint64, how string, err error) {
	if g.reads++; g.reads == 2 {
		g.store.setMark("12", 9000)
	}
	p, revision, err = g.store.Board(ctx, contestID, q)
	return p, revision, cache.Hit, err
}

func TestWindowIsReadAgainIfItsCompetitorGetsAMarkMeanwhile(t *testing.T) {
	g := &changingGroup{testMember: &testMember{id: "f1", store: newStore(t)}}
	s := storeOf(g)
	p, revision, err := s.Board(context.Background(), &watch.Window{ContestID: race, Around: "12", Limit: 3})
	if err != nil || revision != lastRevision+1 || p.Total != 6 || len(p.Rows) != 3 {
		t.Errorf("got %+v at %d, %v; want the window around 12", p, revision, err)
	}
}

func TestWindowWithoutItsCompetitorHasTheRevisionOfTheSearch(t *testing.T) {
	g := &testMember{id: "f1", store: newStore(t)}
	g.mode.Store(score.Pull)
	var before *cache.Entry // the cached answer for the window around 12
	g.pull = func(key string) (*cache.Entry, string, time.Duration, error) {
		body, revision, err := g.store.answer(key)
		e := &cache.Entry{Body: body, Revision: revision}
		switch {
		case !strings.Contains(key, "around="):
		case before == nil:
			before = e
			g.store.setMark("12", 9000)
		default:
			e = before
		}
		return e, cache.Hit, 0, err
	}
	s := storeOf(g)
	p, revision, err := s.Board(context.Background(), &watch.Window{ContestID: race, Around: "12", Limit: 3})
	if err != nil || len(p.Rows) != 0 || revision != raceRevision {
		t.Errorf("got %+v at %d, %v; want no rows from, before the mark of 12", p, revision, err)
	}
}

func TestInPullModeAWindowIsTheMastersAnswer(t *testing.T) {
	g := &testMember{id: "f1", store: newStore(t)}
	g.mode.Store(score.Pull)
	g.pull = func(key string) (*cache.Entry, string, time.Duration, error) {
		body, revision, err := g.store.answer(key)
		return &cache.Entry{Body: body, Revision: revision}, cache.Hit, 0, err
	}
	s := storeOf(g)
	for _, w := range []watch.Window{{ContestID: race, Limit: 10},
		{ContestID: race, Split: "10 km", Category: "M", Around: "7", Limit: 1}} {
		p, revision, err := s.Board(context.Background(), &w)
		q := ranking.Query{Split: w.Split, Category: w.Category, Around: w.Around, Limit: w.Limit}
		want, at, _ := g.store.Board(t.Context(), race, &q)
		if got, wants := string(p.AppendJSON(nil)), string(want.AppendJSON(nil)); err != nil || revision != at ||
			got != wants {
			t.Errorf("%+v: got\n%s at %d, %v; want\n%s", w, got, revision, err, wants)
		}
	}
	if p, _, err := s.Board(context.Background(), &watch.Window{ContestID: race, Around: "12", Limit: 3}); err != nil ||
		p.Total != 5 || len(p.Rows) != 0 {
		t.Errorf("around a competitor without a mark: got %+v, %v", p, err)
	}
	if p, _, err := s.Board(context.Background(), &watch.Window{ContestID: "OG/none", Limit: 3}); err != nil ||
		p.Total != 0 || len(p.Rows) != 0 {
		t.Errorf("without a leaderboard: got %+v, %v", p, err)
	}
	if _, _, err := s.Board(context.Background(), &watch.Window{ContestID: race, Split: "none",
		Limit: 3}); !errors.As(err, new(*score.Problem)) {
		t.Errorf("unknown split: got %v", err)
	}
}
