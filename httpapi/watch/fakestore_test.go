package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"laurel/cache"
	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// fakeStore is a store of counters: the score of contest C/n is the number of its changes,
// and each change is an event of its timeline. Leaderboards are apart from that.
type fakeStore struct {
	former        []string
	invalidations *cache.Invalidations

	mu          sync.Mutex
	revision    uint64
	changed     map[string][]uint64 // revisions of the events, by contest
	removed     map[string]uint64   // revisions at which contests were removed
	forgotten   uint64              // what changed up to this revision is no longer known
	now         []string            // the contests that Now returns
	boards      map[string]*fakeBoard
	unavailable bool
	reads       int    // of records
	padding     string // further members of each event
}

// fakeBoard is the leaderboard of a contest.
type fakeBoard struct {
	rows     *ranking.Board
	revision uint64
	split    string // "finish" if empty
	format   mark.Format
	answers  map[Window]map[uint64]string // what GET answers at each revision
}

var errUnavailable = errors.New("unavailable")

func newFakeStore() *fakeStore {
	s := &fakeStore{
		invalidations: cache.NewInvalidations(),
		changed:       map[string][]uint64{},
		removed:       map[string]uint64{},
		boards:        map[string]*fakeBoard{},
	}
	s.invalidations.Add(nil, true, 0)
	return s
}

// change changes contests and returns the last revision.
func (s *fakeStore) change(ids ...string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock() // after the invalidation, so that revisions are in order
	var names []string
	for _, id := range ids {
		s.revision++
		s.changed[id] = append(s.changed[id], s.revision)
		names = append(names, cache.ScoreKey(id), cache.TimelineTag(id))
	}
	s.invalidations.Add(names, false, s.revision)
	return s.revision
}

// remove removes a contest.
func (s *fakeStore) remove(id string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.changed, id)
	s.removed[id] = s.revision
	s.invalidations.Add([]string{cache.ScoreKey(id), cache.TimelineTag(id)}, false, s.revision)
	return s.revision
}

func (s *fakeStore) lastRevision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *fakeStore) setUnavailable(unavailable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unavailable = unavailable
}

func (s *fakeStore) Incarnation() (string, []string)     { return "fake", s.former }
func (s *fakeStore) Ordered() bool                       { return true }
func (s *fakeStore) Invalidations() *cache.Invalidations { return s.invalidations }
func (s *fakeStore) Heartbeat(uint64) []byte             { return []byte(`{}`) }

func (s *fakeStore) Record(_ context.Context, key string) (*cache.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unavailable {
		return nil, errUnavailable
	}
	s.reads++
	id, isScore := strings.CutPrefix(key, "scores/")
	list := s.changed[id]
	if !isScore || len(list) == 0 {
		return &cache.Entry{Revision: s.revision}, nil
	}
	at := list[len(list)-1]
	body := fmt.Appendf(nil, "{\"contest_id\":%q,\"result\":%d,\"revision\":%d}\n", id, len(list), at)
	return &cache.Entry{Revision: at, Body: body}, nil
}

// eventsPage is how many events the fake store returns at once.
const eventsPage = 500

func (s *fakeStore) Events(_ context.Context, id string, after uint64) (list []Event, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unavailable {
		return nil, false, errUnavailable
	}
	for _, at := range s.changed[id] {
		if at > after {
			if len(list) == eventsPage {
				return list, true, nil
			}
			list = append(list, Event{at, fmt.Appendf(nil, `{"contest_id":%q,"revision":%d%s}`, id, at, s.padding)})
		}
	}
	return list, false, nil
}

func (s *fakeStore) Keys(_ context.Context, competition string) (keys []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.changed {
		if competition == "" || strings.HasPrefix(id, competition+"/") {
			keys = append(keys, cache.ScoreKey(id))
		}
	}
	return keys, nil
}

func (s *fakeStore) Now(ctx context.Context) (*Now, error) {
	s.mu.Lock()
	ids := s.now
	s.mu.Unlock()
	now := &Now{Sections: []byte(`{"live":1}`), Records: map[string]*cache.Entry{}}
	for _, id := range ids {
		key := cache.ScoreKey(id)
		e, err := s.Record(ctx, key)
		if err != nil {
			return nil, err
		}
		now.Keys, now.Records[key] = append(now.Keys, key), e
	}
	return now, nil
}

func (s *fakeStore) ChangedSince(_ context.Context, revision, _ uint64) (keys []string, known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unavailable {
		return nil, false, errUnavailable
	}
	for id, list := range s.changed {
		if list[len(list)-1] > revision {
			keys = append(keys, cache.ScoreKey(id))
		}
	}
	for id, at := range s.removed {
		if at > revision && s.changed[id] == nil {
			keys = append(keys, cache.ScoreKey(id))
		}
	}
	return keys, revision >= s.forgotten, nil
}

// forget forgets what has changed so far.
func (s *fakeStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = s.revision
}

func (s *fakeStore) Board(_ context.Context, w *Window) (ranking.Leaderboard, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boards[w.ContestID]
	switch {
	case s.unavailable:
		return ranking.Leaderboard{}, 0, errUnavailable
	case b == nil:
		return ranking.Leaderboard{}, s.revision, nil
	case w.Split != "" && w.Split != cmp.Or(b.split, "finish"):
		return ranking.Leaderboard{}, b.revision, score.Problemf(score.InvalidEvent, "no such split")
	}
	return b.page(w), b.revision, nil
}

// setMarks sets marks at one revision, given as pairs of a code and seconds. Competitors
// whose code begins with F are in category F.
func (s *fakeStore) setMarks(id string, marks ...any) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boards[id]
	if b == nil {
		b = &fakeBoard{rows: ranking.New(ranking.Direction{Lower: true}), answers: map[Window]map[uint64]string{}}
		s.boards[id] = b
	}
	for i := 0; i < len(marks); i += 2 {
		code := marks[i].(string)
		m := ranking.Mark{Competitor: code, Value: mark.Points(int64(marks[i+1].(int)))}
		if strings.HasPrefix(code, "F") {
			m.Categories = ranking.NewCategories("F")
		}
		b.rows.Set(m)
	}
	return s.boardChanged(id)
}

// setFormat sets the format of the marks.
func (s *fakeStore) setFormat(id string, f mark.Format) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boards[id].format = f
	s.boardChanged(id)
}

// removeMark removes a competitor's mark.
func (s *fakeStore) removeMark(id, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boards[id].rows.Remove(code)
	s.boardChanged(id)
}

// removeBoard removes a leaderboard.
func (s *fakeStore) removeBoard(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.boards, id)
	s.boardChanged(id)
}

// boardChanged invalidates a changed leaderboard. s.mu must be held.
func (s *fakeStore) boardChanged(id string) uint64 {
	s.revision++
	if b := s.boards[id]; b != nil {
		b.revision = s.revision
		b.recordAnswers()
	}
	s.invalidations.Add([]string{cache.BoardTag(id)}, false, s.revision)
	return s.revision
}

// recordAnswers has the store record what GET answers for a window from now on.
func (s *fakeStore) recordAnswers(w Window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boards[w.ContestID].answers[w] = map[uint64]string{}
	s.boards[w.ContestID].recordAnswers()
}

// answerAt returns what GET answers for a window at a revision, if it is recorded.
func (s *fakeStore) answerAt(w Window, revision uint64) (answer string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, ok = s.boards[w.ContestID].answers[w][revision]
	return answer, ok
}

// lastAnswer returns what GET answers for a recorded window now.
func (s *fakeStore) lastAnswer(w Window) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boards[w.ContestID]
	return b.answers[w][b.revision]
}

func (b *fakeBoard) recordAnswers() {
	for w, answers := range b.answers {
		p := b.page(&w)
		answer := fmt.Appendf(nil, "%d", p.Total)
		for i := range p.Rows {
			answer = p.Rows[i].AppendJSON(append(answer, '\n'))
		}
		answers[b.revision] = string(answer)
	}
}

func (b *fakeBoard) page(w *Window) ranking.Leaderboard {
	q := ranking.Query{Split: "finish", Category: w.Category, Around: w.Around, Limit: w.Limit}
	p, ok := b.rows.Page(&q)
	if !ok {
		q.Around = ""
		p, _ = b.rows.Page(&q)
		p.Rows = nil
	}
	p.Format = b.format
	return p
}

// otherFrontend is a frontend with invalidations of its own and the state of another store.
type otherFrontend struct {
	*fakeStore
	state *fakeStore
}

func (o *otherFrontend) Record(ctx context.Context, key string) (*cache.Entry, error) {
	return o.state.Record(ctx, key)
}

func (o *otherFrontend) Events(ctx context.Context, id string, after uint64) ([]Event, bool, error) {
	return o.state.Events(ctx, id, after)
}

func (o *otherFrontend) Board(ctx context.Context, w *Window) (ranking.Leaderboard, uint64, error) {
	return o.state.Board(ctx, w)
}

// pullStore is a store in pull mode: changes are noticed one by one, without a revision.
type pullStore struct{ *fakeStore }

func (pullStore) Ordered() bool { return false }

func (s pullStore) change(id string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.changed[id] = append(s.changed[id], s.revision)
	s.invalidations.Add([]string{cache.ScoreKey(id), cache.TimelineTag(id)}, false, 0)
	return s.revision
}
