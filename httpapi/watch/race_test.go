package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"laurel/cache"
	"laurel/score"
	"laurel/score/ranking"
)

// race is a ranked contest of a shop.
type race struct {
	board    *ranking.Board
	revision uint64
	split    string                       // "finish" if it has another
	answers  map[Window]map[uint64]string // what GET says at a revision, of the windows that a test wants to compare
}

// mark sets the marks of some competitors at once, as pairs of a code and seconds, and lets the feed know. Those whose code begins with F are women.
func (s *shop) mark(id string, marks ...any) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	r := s.races[id]
	if r == nil {
		r = &race{board: ranking.New(true), answers: map[Window]map[uint64]string{}}
		s.races[id] = r
	}
	r.revision = s.revision
	for i := 0; i < len(marks); i += 2 {
		code := marks[i].(string)
		m := score.Mark{Competitor: code, Value: score.Points(int64(marks[i+1].(int)))}
		if strings.HasPrefix(code, "F") {
			m.Category = "F"
		}
		r.board.Set(m)
	}
	r.remember()
	s.feed.Add([]string{cache.BoardTag(id)}, false, s.revision)
	return s.revision
}

// unmark takes a competitor's mark away.
func (s *shop) unmark(id, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	r := s.races[id]
	r.revision = s.revision
	r.board.Remove(code)
	r.remember()
	s.feed.Add([]string{cache.BoardTag(id)}, false, s.revision)
}

// scrap undoes a race's definition.
func (s *shop) scrap(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.races, id)
	s.feed.Add([]string{cache.BoardTag(id)}, false, s.revision)
}

// compare has the shop remember what GET says of a window from now on.
func (s *shop) compare(w Window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.races[w.ContestID].answers[w] = map[uint64]string{}
	s.races[w.ContestID].remember()
}

func (r *race) remember() {
	for w, answers := range r.answers {
		p := r.page(&w)
		answers[r.revision] = answer(p.Total, p.Rows)
	}
}

func answer(total int, rows []ranking.Row) string {
	b := fmt.Appendf(nil, "%d", total)
	for i := range rows {
		b = rows[i].AppendJSON(append(b, '\n'))
	}
	return string(b)
}

func (r *race) page(w *Window) ranking.Page {
	q := ranking.Question{Split: "finish", Category: w.Category, Around: w.Around, Limit: w.Limit}
	p, ok := r.board.Page(&q)
	if !ok {
		q.Around = ""
		p, _ = r.board.Page(&q)
		p.Rows = nil
	}
	return p
}

func (s *shop) Board(_ context.Context, w *Window) (ranking.Page, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.races[w.ContestID]
	switch {
	case s.broken:
		return ranking.Page{}, 0, errAway
	case r == nil:
		return ranking.Page{}, s.revision, nil
	case w.Split != "" && w.Split != cmp.Or(r.split, "finish"):
		return ranking.Page{}, r.revision, score.Problemf(score.InvalidEvent, "there is no such split")
	}
	return r.page(w), r.revision, nil
}

// told is what a stream says of a window.
type told struct {
	Contest  string            `json:"contest_id"`
	Split    string            `json:"split"`
	Total    int               `json:"total"`
	Revision uint64            `json:"revision"`
	Order    []string          `json:"order"`
	Rows     []json.RawMessage `json:"rows"`
}

// screen is a window as somebody sees it who puts together what a stream says.
type screen struct {
	total int
	order []string
	rows  map[string]string
}

// take takes in what a stream says. Rows that were in the window and are not said again are as they were.
func (v *screen) take(t *testing.T, m told, whole bool) {
	t.Helper()
	rows := map[string]string{}
	for _, raw := range m.Rows {
		var row struct{ Competitor string }
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Fatal(err)
		}
		rows[row.Competitor] = string(raw)
	}
	if whole && len(rows) != len(m.Order) {
		t.Fatalf("%d rows for the order %v; want all", len(rows), m.Order)
	}
	for _, code := range m.Order {
		if rows[code] == "" {
			rows[code] = v.rows[code]
		}
		if rows[code] == "" {
			t.Fatalf("nothing is known of %s", code)
		}
	}
	v.total, v.order, v.rows = m.Total, m.Order, rows
}

// answer is the window as shop.compare remembers it.
func (v *screen) answer() string {
	all := []string{fmt.Sprint(v.total)}
	for _, code := range v.order {
		all = append(all, v.rows[code])
	}
	return strings.Join(all, "\n")
}

func (v *screen) is(t *testing.T, codes ...string) {
	t.Helper()
	if !slices.Equal(v.order, codes) {
		t.Errorf("the window has %v, want %v", v.order, codes)
	}
}
