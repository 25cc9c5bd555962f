package fsm

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// observed is what a reader got, and the machine's revision before it asked.
type observed struct {
	contest  string
	question ranking.Query
	page     ranking.Leaderboard
	floor    uint64
	revision uint64
}

// Boards are built and dropped all the time here, while marks are set, voided and undone,
// and the state is restored. Each page must match the timeline up to its revision, and
// must not be older than Revision was before the question.
func TestReadersOfBoardsSeeOneRevision(t *testing.T) {
	m := newMachine(t)
	m.boards.SetMaxRows(3*64 + 40) // only one of the boards fits
	w := &markWriter{m: m, random: rand.New(rand.NewPCG(1, 2))}
	for _, id := range races {
		w.post(t, score.UntilRefused,
			decodeEvent(t, `{"source":"s","type":"contest.define","contest_id":%q,`+
				`"data":{"kind":"ranked","sport":"stones","sort":"desc"}}`, id),
			decodeEvent(t, `{"source":"s","type":"contest.status","contest_id":%q,`+
				`"data":{"schedule_status":"RUNNING"}}`, id))
	}
	done := make(chan struct{})
	seen := make([][]observed, 4)
	var readers errgroup.Group
	for i := range seen {
		readers.Go(func() (err error) {
			seen[i], err = readBoards(m, rand.New(rand.NewPCG(uint64(i), 3)), done)
			return err
		})
	}
	rounds := 150
	switch {
	case testing.Short(): // the race detector makes readers many times slower
		rounds = 60
	case fullRun():
		rounds = 300
	}
	for i := range rounds {
		w.postSome(t)
		if i%60 == 59 {
			if err := m.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, list := range seen {
		for _, o := range list {
			w.checkPage(t, &o)
		}
		n += len(list)
	}
	t.Logf("%d pages of %d events", n, len(w.plain.events))
}

func readBoards(m *Machine, random *rand.Rand, done chan struct{}) (seen []observed, err error) {
	last := map[string]uint64{}
	var after ranking.Cursor
	for {
		select {
		case <-done:
			return seen, nil
		default:
		}
		o := observed{contest: races[random.IntN(2)], floor: m.Revision()}
		q := &o.question
		*q = ranking.Query{Category: categories[random.IntN(3)], Limit: 1 + random.IntN(20)}
		switch random.IntN(3) {
		case 0:
			q.After = after
		case 1:
			q.Around = fmt.Sprint(random.IntN(60))
		}
		ok := false
		if random.IntN(2) == 0 {
			o.page, o.revision, ok = m.BoardNow(o.contest, q)
		} else {
			o.page, o.revision, err = m.Board(context.Background(), o.contest, q)
			if ok = err == nil; !ok && problemCode(err) != score.NotFound && problemCode(err) != score.NotReady {
				return seen, err
			}
		}
		if !ok {
			continue
		}
		if o.revision < last[o.contest] {
			return seen, fmt.Errorf("%s went back from revision %d to %d", o.contest, last[o.contest], o.revision)
		}
		last[o.contest] = o.revision
		if after, err = ranking.ParseCursor(o.page.Next); err != nil {
			return seen, err
		}
		if len(seen) < 20_000 {
			seen = append(seen, o)
		}
	}
}

// markWriter posts marks and records which were applied.
type markWriter struct {
	m      *Machine
	random *rand.Rand
	plain  referenceStore
}

func (w *markWriter) post(t *testing.T, mode score.PostMode, events ...score.Event) {
	for i, r := range applyPosts(t, w.m, score.Post{Mode: mode, Events: events})[0] {
		if r.Status == score.Applied {
			w.plain.accept(t, events[i], r)
		}
	}
}

// postSome posts a few marks and voids, sometimes with one among them that is refused.
func (w *markWriter) postSome(t *testing.T) {
	var events []score.Event
	for range 1 + w.random.IntN(5) {
		id := races[w.random.IntN(2)]
		switch n := w.random.IntN(40); {
		case n == 0:
			events = append(events,
				decodeEvent(t, `{"source":"s","type":"result.set","contest_id":%q,`+
					`"data":{"competitor":"1","split":"nowhere","mark":1}}`, id))
		case n < 8 && len(w.plain.events) > 10:
			e := w.plain.events[4+w.random.IntN(len(w.plain.events)-4)]
			events = append(events,
				decodeEvent(t, `{"source":"s","type":"event.void","contest_id":%q,`+
					`"data":{"voids":%q,"reason":"wrong"}}`, e.ContestID, e.ID))
		default:
			what := fmt.Sprintf(`"mark":%d`, w.random.IntN(30))
			if n < 12 {
				what = `"irm":"DNF"`
			}
			events = append(events,
				decodeEvent(t, `{"source":"s","type":"result.set","contest_id":%q,`+
					`"data":{"competitor":"%d","split":"finish",%s,"category":%q}}`,
					id, w.random.IntN(60), what, categories[1+w.random.IntN(2)]))
		}
	}
	w.post(t, []score.PostMode{score.AllOrNone, score.UntilRefused}[w.random.IntN(2)], events...)
}

// checkPage compares a page with the events up to its revision.
func (w *markWriter) checkPage(t *testing.T, o *observed) {
	t.Helper()
	for _, e := range w.plain.events[o.revision:max(o.revision, o.floor)] {
		if e.ContestID == o.contest {
			t.Fatalf("a page of %s has revision %d; the question came after revision %d", o.contest, o.revision,
				o.floor)
		}
	}
	past := referenceStore{w.plain.events[:o.revision]}
	voided, marks := past.voided(), newReferenceMarks(&fold.Contest{})
	for _, e := range past.events {
		if d, ok := e.Data.(*score.ResultSet); ok && e.ContestID == o.contest && voided[e] == nil {
			mark, p := marks.contest.Definition.Mark(d)
			if p != nil {
				t.Fatal(p)
			}
			marks.Set(d.Split, mark)
		}
	}
	want := plainRows(marks.contest, marks.all("finish"), o.question.Category)
	total := len(want)
	want = pageOf(t, want, &o.question)
	if total != o.page.Total || !slices.EqualFunc(want, o.page.Rows, ranking.Row.Equal) {
		t.Fatalf("%s at revision %d, %+v:\n%d %+v\nwant\n%d %+v", o.contest, o.revision, o.question, o.page.Total,
			o.page.Rows, total, want)
	}
}

// pageOf returns the rows of a descending board that a question asks for.
func pageOf(t *testing.T, rows []ranking.Row, q *ranking.Query) []ranking.Row {
	first := 0
	if position, competitor, given := strings.Cut(q.After.String(), ","); given {
		n, err := strconv.ParseInt(position, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		value, after := mark.Decimal(-n), n > int64(mark.MaxDecimal) // after is true behind an IRM
		if after {
			value = 0
		}
		for _, r := range rows {
			irm := r.IRM != ""
			worse := valueOf(r.Mark) < value || valueOf(r.Mark) == value && r.Competitor > competitor
			if irm && !after || irm == after && worse {
				break
			}
			first++
		}
	}
	if q.Around != "" {
		at := slices.IndexFunc(rows, func(r ranking.Row) bool { return r.Competitor == q.Around })
		first = max(0, min(at-(q.Limit-1)/2, len(rows)-q.Limit))
	}
	return rows[first:min(first+q.Limit, len(rows))]
}
