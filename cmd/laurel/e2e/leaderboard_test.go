package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// markOf identifies a mark: a contest, a split of it, and a competitor.
type markOf struct{ contest, split, competitor string }

// sungMark is a mark that a bard posts as its event seq.
type sungMark struct {
	seq uint64
	score.ResultSet
}

// race is the marks of a stream, known before it is posted.
type race struct {
	source string
	marks  map[markOf][]sungMark // in order
	all    []markOf              // by the seq of the last mark of each
	least  map[markOf]uint64     // the seq of the last mark of each
}

func raceOf(t testing.TB, s *stream) *race {
	t.Helper()
	r := &race{source: s.truth.Source, marks: map[markOf][]sungMark{}, least: map[markOf]uint64{}}
	err := s.lines(func(line []byte) error {
		e, p := score.Decode(line)
		if p != nil {
			return p
		}
		if d, ok := e.Data.(*score.ResultSet); ok {
			of := markOf{e.ContestID, d.Split, d.Competitor}
			r.marks[of] = append(r.marks[of], sungMark{e.Seq, *d})
			r.least[of] = e.Seq
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.all = slices.SortedFunc(maps.Keys(r.least), func(a, b markOf) int { return cmp.Compare(r.least[a], r.least[b]) })
	return r
}

// boardClient reads leaderboards from all frontends, as a client that moves from one to
// the next. What it has seen must never disappear.
type boardClient struct {
	race   *race
	urls   []string
	rand   *rand.Rand
	newest map[string]uint64 // the revision of each contest's board
	totals map[string]int    // of each board
	asked  map[string]int    // how often each kind of question was answered
}

// run reads until stop is set. It returns an error for an answer that is not allowed.
func (c *boardClient) run(stop *atomic.Bool) error {
	for !stop.Load() {
		bard, err := ask("GET", c.url()+"/v1/bards/"+c.race.source, "")
		if err != nil { // a frontend closes a connection on which this busy process is slow
			c.asked["no answer"]++
			continue
		}
		var told score.Bard
		if bard.status == http.StatusOK {
			err = json.Unmarshal([]byte(bard.body), &told)
		}
		if err != nil {
			return err
		}
		// All marks up to this seq have been acknowledged.
		n, _ := slices.BinarySearchFunc(c.race.all, told.LastSeq+1,
			func(of markOf, seq uint64) int { return cmp.Compare(c.race.least[of], seq) })
		if n == 0 {
			continue
		}
		of := c.race.all[n-1-c.rand.IntN(min(n, 1+c.rand.IntN(n)))] // newer marks more often
		if err := c.one(of, told.LastSeq); err != nil {
			return fmt.Errorf("%s at %s, %s, after seq %d: %w", of.contest, of.split, of.competitor, told.LastSeq, err)
		}
	}
	return nil
}

func (c *boardClient) url() string { return c.urls[c.rand.IntN(len(c.urls))] }

// inSeconds returns a mark of the marathon, which is given in minutes.
func inSeconds(d *score.ResultSet) mark.Decimal {
	definition := fold.Definition{ResultType: "TIME", Unit: "min"}
	m, _ := definition.Mark(d)
	return m.Value
}

// one makes one read of the leaderboard of a posted mark.
func (c *boardClient) one(of markOf, seq uint64) error {
	marks := c.race.marks[of]
	last := marks[len(marks)-1]
	q := url.Values{"split": {of.split}, "limit": {strconv.Itoa(1 + c.rand.IntN(30))}}
	kind := []string{"around", "around", "first", "after", "category"}[c.rand.IntN(5)]
	switch kind {
	case "around":
		q.Set("around", of.competitor)
		if last.Category != "" && c.rand.IntN(2) == 0 {
			q.Set("category", last.Category)
		}
	case "after":
		if last.Mark == nil {
			return nil
		}
		q.Set("after", fmt.Sprintf("%d,%s", int64(inSeconds(&last.ResultSet)), of.competitor))
	case "category":
		q.Set("category", last.Category)
	}
	l, revision, err := c.board(of.contest, q)
	if err != nil || l == nil {
		return err
	}
	c.asked[kind]++
	if c.newest[of.contest] > revision {
		return fmt.Errorf("revision %d, after one that was of %d", revision, c.newest[of.contest])
	}
	c.newest[of.contest] = revision
	board := of.contest + " " + of.split + " " + q.Get("category")
	if c.totals[board] > l.Total {
		return fmt.Errorf("%d rows, after there were %d", l.Total, c.totals[board])
	}
	c.totals[board] = l.Total
	if err := consistent(l, kind == "first" || kind == "category"); err != nil {
		return fmt.Errorf("%s: %w\n%+v", q.Encode(), err, l)
	}
	i := slices.IndexFunc(l.Rows, func(r ranking.Row) bool { return r.Competitor == of.competitor })
	if kind != "around" {
		return nil
	}
	if i < 0 {
		return fmt.Errorf("%s: the mark is not there: %+v", q.Encode(), l)
	}
	for _, m := range marks {
		if r := &l.Rows[i]; m.seq >= c.race.least[of] && m.IRM == r.IRM && (m.Mark == nil) == (r.Mark == nil) &&
			(m.Mark == nil || inSeconds(&m.ResultSet) == *r.Mark) {
			return nil
		}
	}
	return fmt.Errorf("%s: the row is %+v; want the mark of seq %d", q.Encode(), l.Rows[i], c.race.least[of])
}

// board returns nil if the frontend answers 503 or not at all.
func (c *boardClient) board(contest string, q url.Values) (*ranking.Leaderboard, uint64, error) {
	a, err := ask("GET", c.url()+"/v1/leaderboard/"+contest+"?"+q.Encode(), "")
	switch {
	case err != nil:
		c.asked["no answer"]++
		return nil, 0, nil
	case a.status == http.StatusServiceUnavailable:
		c.asked["503"]++
		return nil, 0, nil
	case a.status != http.StatusOK || a.header.Get("Laurel-Mode") != "push":
		return nil, 0, fmt.Errorf("%s: %d %v %s", q.Encode(), a.status, a.header, a.body)
	}
	c.asked["by "+a.header.Get("Laurel-Cache")]++
	revision, err := strconv.ParseUint(a.header.Get("Laurel-Revision"), 10, 64)
	if err != nil {
		return nil, 0, err
	}
	l := new(ranking.Leaderboard)
	return l, revision, json.Unmarshal([]byte(a.body), l)
}

// consistent checks a page by itself: order, ranks and differences must follow from the
// marks. top is true for a page that begins with the first row.
func consistent(l *ranking.Leaderboard, top bool) error {
	rows := l.Rows
	if len(rows) > l.Total {
		return fmt.Errorf("%d rows of %d", len(rows), l.Total)
	}
	place := 0 // the rank of the last row with a rank of its own
	at := -1   // that row
	for i := range rows {
		r := &rows[i]
		if r.Mark == nil {
			if r.IRM == "" || r.Rank != 0 || r.RankEqual || r.Diff != nil {
				return fmt.Errorf("row %d has neither a mark nor only an IRM", i)
			}
			continue
		}
		if i > 0 && (rows[i-1].Mark == nil || *rows[i-1].Mark > *r.Mark || *rows[i-1].Mark == *r.Mark &&
			rows[i-1].Competitor >= r.Competitor) {
			return fmt.Errorf("row %d is out of order", i)
		}
		same := i > 0 && *rows[i-1].Mark == *r.Mark
		switch {
		case same && (r.Rank != rows[i-1].Rank || !r.RankEqual || !rows[i-1].RankEqual):
			return fmt.Errorf("row %d has the mark of the one before and not its rank", i)
		case !same && i > 0 && at >= 0 && r.Rank != place+i-at, top && i == 0 && r.Rank != 1:
			return fmt.Errorf("row %d has the rank %d", i, r.Rank)
		case !same && i > 0 && i+1 < len(rows) && rows[i+1].Mark != nil && r.RankEqual != (*rows[i+1].Mark == *r.Mark):
			return fmt.Errorf("row %d: rank_equal is %t", i, r.RankEqual)
		case *r.Mark-*r.Diff != *rows[0].Mark-*rows[0].Diff:
			return fmt.Errorf("row %d is %s behind another first than row 0", i, r.Diff)
		}
		if !same && (i > 0 || top || !r.RankEqual) {
			place, at = r.Rank, i
		}
	}
	return nil
}

func TestLeaderboardsAreCorrectAtEveryFrontendWhileAMarathonIsPosted(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	all := load(t, "marathon")
	if n := byForm[uint64](15_000, 0, 0); n > 0 {
		all = []*stream{all[0].head(t, n)}
	}
	r := raceOf(t, all[0])
	g := newGroup(t, 3)
	bards := g.startBards(all, atFullSpeed)
	eventually(t, "the bard posts", func() error {
		a, err := ask("GET", g.frontends[0].url+"/v1/bards/"+r.source, "")
		if err == nil && a.status != http.StatusOK {
			err = errors.New(a.body)
		}
		return err
	})
	var stop atomic.Bool
	var asking sync.WaitGroup
	clients := make([]*boardClient, 6)
	for i := range clients {
		c := &boardClient{race: r, rand: rand.New(rand.NewPCG(uint64(i), 1)), newest: map[string]uint64{},
			totals: map[string]int{}, asked: map[string]int{}}
		for _, f := range g.frontends {
			c.urls = append(c.urls, f.url)
		}
		if i < len(g.frontends) {
			c.urls = c.urls[i : i+1] // a client that stays at one frontend
		}
		clients[i] = c
		asking.Go(func() {
			if err := c.run(&stop); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	awaitBards(t, bards)
	stop.Store(true)
	asking.Wait()
	asked := map[string]int{}
	for _, c := range clients {
		for kind, n := range c.asked {
			asked[kind] += n
		}
	}
	t.Logf("%d marks were posted; the answers: %v", len(r.marks), asked)
	for _, kind := range []string{"around", "first", "after", "category", "by hit", "by wait"} {
		if asked[kind] < 10 {
			t.Errorf("too few %q: %v", kind, asked)
		}
	}
	g.expectRevision(sum(all))
	for _, f := range g.frontends {
		for id, finishers := range all[0].truth.Leaderboards {
			expectBoard(t, f, id, finishers)
		}
	}
}

// expectBoard reads a whole leaderboard page by page, also by category, and compares
// order, ranks and ties with the truth.
func expectBoard(t testing.TB, f *frontend, id string, finishers []truthOfFinisher) {
	t.Helper()
	byCategory := map[string][]truthOfFinisher{}
	for _, one := range finishers {
		byCategory[one.Category] = append(byCategory[one.Category], one)
	}
	byCategory[""] = finishers
	for category, want := range byCategory {
		rows := wholeBoard(t, f, id, category)
		marks, places := map[string]mark.Decimal{}, map[string]int{}
		for _, one := range want { // the source lists some finishers more than once
			marks[one.Competitor], places[one.Competitor] = one.Mark, one.Place
			if category != "" {
				places[one.Competitor] = one.CategoryPlace
			}
		}
		ordered := slices.Sorted(maps.Values(marks))
		if len(rows) != len(ordered) {
			t.Errorf("%s %q at %s: %d rows; want %d", id, category, f.id, len(rows), len(ordered))
			continue
		}
		for i, r := range rows {
			first, _ := slices.BinarySearch(ordered, ordered[i])
			next, _ := slices.BinarySearch(ordered, ordered[i]+1)
			if r.Mark == nil || *r.Mark != marks[r.Competitor] || *r.Mark != ordered[i] || r.Rank != first+1 ||
				r.RankEqual != (next-first > 1) || *r.Diff != ordered[i]-ordered[0] {
				t.Fatalf("%s %q at %s: row %d is %+v; want the mark %s and the rank %d", id, category, f.id, i, r,
					ordered[i], first+1)
			}
			// Official places continue where marks are equal and include finishers that
			// are missing in the source. A better mark always has a better place.
			if i > 0 && *rows[i-1].Mark < *r.Mark && places[rows[i-1].Competitor] >= places[r.Competitor] {
				t.Errorf("%s %q at %s: %s has the place %d, and %s, who is behind, %d", id, category, f.id,
					rows[i-1].Competitor, places[rows[i-1].Competitor], r.Competitor, places[r.Competitor])
			}
		}
		for range 20 {
			at, limit := rand.IntN(len(rows)), 1+rand.IntN(12)
			q := url.Values{"split": {"finish"}, "around": {rows[at].Competitor}, "limit": {strconv.Itoa(limit)}}
			if category != "" {
				q.Set("category", category)
			}
			l := decode[ranking.Leaderboard](t, get(t, f.url+"/v1/leaderboard/"+id+"?"+q.Encode()))
			from := max(0, min(at-(limit-1)/2, len(rows)-limit))
			if !slices.EqualFunc(l.Rows, rows[from:min(from+limit, len(rows))], sameRow) || l.Total != len(rows) {
				t.Errorf("%s at %s: %s: got %+v; want rows from %d on", id, f.id, q.Encode(), l, from)
			}
		}
	}
}

func sameRow(a, b ranking.Row) bool {
	return a.Competitor == b.Competitor && *a.Mark == *b.Mark && a.Rank == b.Rank && a.RankEqual == b.RankEqual &&
		*a.Diff == *b.Diff
}

func wholeBoard(t testing.TB, f *frontend, id, category string) (rows []ranking.Row) {
	t.Helper()
	path := "/v1/leaderboard/" + id + "?split=finish&limit=997"
	if category != "" {
		path += "&category=" + url.QueryEscape(category)
	}
	f.pages(t, path, func(a answer) {
		l := decode[ranking.Leaderboard](t, a)
		if err := consistent(&l, len(rows) == 0); err != nil {
			t.Errorf("%s at %s: %v", path, f.id, err)
		}
		rows = append(rows, l.Rows...)
	})
	return rows
}
