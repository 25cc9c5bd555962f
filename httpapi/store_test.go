package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/fsm/view"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/ranking"
	"laurel/trust/access"
)

// race is the contest of the store of newStore that has leaderboards.
const race = "OG50BC/MAR"

// testStore is a state machine without Raft.
type testStore struct {
	*fsm.Machine
	t  testing.TB
	mu sync.Mutex
}

// openStore returns a store in a temporary directory, whose incarnation is "fake", to which the events have been
// posted, one by one.
func openStore(t testing.TB, events ...string) *testStore {
	t.Helper()
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	s := &testStore{Machine: m, t: t}
	s.change(access.SettingLineage, "gaul")
	s.change(access.SettingIncarnation, "fake")
	s.post(events...)
	return s
}

// change changes a setting.
func (s *testStore) change(name, value string) {
	s.t.Helper()
	encoded, err := entry.EncodeChange(access.Change{
		At: time.Unix(1, 0).UTC(), By: "test", Setting: &access.Setting{Name: name, Value: value},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if p := s.apply(encoded)[0].Problem; p != nil {
		s.t.Fatal(p)
	}
}

func (s *testStore) apply(data []byte) []score.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.Applied() + 1
	outcome, err := s.Apply([]fsm.Entry{{Index: index, Data: data}}, index)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(outcome[0]) == 0 {
		return nil
	}
	return outcome[0][0]
}

// post posts events and returns the revision of the last one.
func (s *testStore) post(events ...string) uint64 {
	s.t.Helper()
	for _, text := range events {
		e, problem := score.Decode([]byte(text))
		if problem != nil {
			s.t.Fatalf("%s: %v", text, problem)
		}
		list := []score.Event{e}
		for i := range list {
			list[i].Source, list[i].TimeGiven, list[i].IDGiven = "bard/cacofonix", true, true
			if list[i].Time.IsZero() {
				list[i].Time = time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)
			}
			if list[i].ID == "" {
				list[i].ID = fmt.Sprintf("event-%d", s.Revision()+1)
			}
		}
		encoded, err := entry.EncodePost(score.Post{Events: list})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range s.apply(entry.Encode([]entry.EncodedPost{encoded})) {
			if r.Problem != nil {
				s.t.Fatalf("%s: %v", text, r.Problem)
			}
		}
	}
	return s.Revision()
}

// setMark posts a mark at the finish of the race.
func (s *testStore) setMark(competitor string, mark int) {
	s.t.Helper()
	s.post(fmt.Sprintf(`{"type":"result.set","contest_id":"%s","data":{"competitor":"%s","split":"finish","mark":%d,"reason":"test"}}`, race, competitor, mark))
}

// view calls f with the state of the store.
func (s *testStore) view(f func(queries.View) error) error {
	return s.Machine.View(func(v *view.View) error { return f(v) })
}

// answer returns the answer to a key, as the master makes it for another frontend.
func (s *testStore) answer(key string) (body []byte, revision uint64, err error) {
	q, err := question.ByKey(key)
	switch {
	case err != nil:
		return nil, 0, err
	case q.Board != nil:
		p, revision, problem := s.Board(context.Background(), q.Board.Contest, &q.Board.Query)
		return q.Board.Body(&p, revision, problem)
	case q.Ask != nil:
		err = s.view(func(v queries.View) (err error) {
			body, revision, err = q.Ask(v)
			return err
		})
		return body, revision, err
	}
	return nil, 0, fmt.Errorf("%s asks for nothing", key)
}

// raceEvents define the race: two competitors share the first rank, and one did not finish.
func raceEvents() (events []string) {
	var competitors []string
	for _, code := range []string{"2888", "31", "7", "42", "99", "12"} {
		competitors = append(competitors, fmt.Sprintf(`{"code":"%s"}`, code))
	}
	competitors[0] = `{"code":"2888","name":"Obelix"}`
	events = append(events,
		`{"type":"contest.define","contest_id":"OG50BC/MAR","data":{"kind":"ranked","sport":"marathon","sort":"asc","result_type":"TIME","splits":["10 km","finish"],"competitors":[`+strings.Join(competitors, ",")+`]}}`,
		`{"type":"contest.status","contest_id":"OG50BC/MAR","data":{"schedule_status":"RUNNING"}}`)
	for i, code := range []string{"2888", "31", "7", "42"} {
		category := []string{"M", "W"}[i%2]
		events = append(events,
			fmt.Sprintf(`{"type":"result.set","contest_id":"OG50BC/MAR","data":{"competitor":"%s","split":"10 km","mark":%d,"category":"%s"}}`, code, 1900+10*i, category),
			fmt.Sprintf(`{"type":"result.set","contest_id":"OG50BC/MAR","data":{"competitor":"%s","split":"finish","mark":%d,"category":"%s","organisation":"GAU"}}`, code, 8000+10*(i/2), category))
	}
	return append(events, `{"type":"result.set","contest_id":"OG50BC/MAR","data":{"competitor":"99","split":"finish","irm":"DNF"}}`)
}

// gamesEvents are the events of the store of newStore. raceRevision is the revision of the race,
// scoreRevision that of contest, medalsRevision that of the medals, and lastRevision the last one.
var gamesEvents = func() []string {
	events := append([]string{`{"type":"competition.define","contest_id":"OG50BC","data":{"neutral":["EGY"]}}`},
		raceEvents()...)
	raceRevision = uint64(len(events))
	events = append(events,
		`{"type":"contest.define","contest_id":"OG50BC/CUR-M-GPA-02","data":{"kind":"head_to_head","sport":"stone-curling","title":"EGY vs BRI","competitors":[{"code":"EGY","organisation":"EGY"},{"code":"BRI","organisation":"BRI"}]}}`,
		`{"type":"contest.define","contest_id":"OG50BC/CUR-M-GPA-01","data":{"kind":"head_to_head","sport":"stone-curling","title":"GAU vs ROM","competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","order":1},{"code":"ROM","name":"Rome","organisation":"ROM","order":2}]}}`,
		`{"type":"contest.status","contest_id":"OG50BC/CUR-M-GPA-01","data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END2"}}`,
		`{"type":"score.play","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"GAU","delta":2,"period":"END1"}}`)
	for i, award := range []string{"GOLD EGY", "GOLD GAU", "GOLD GAU", "BRONZE GAU", "SILVER HEL", "SILVER ROM"} {
		medal, organisation, _ := strings.Cut(award, " ")
		events = append(events, fmt.Sprintf(`{"type":"medal.award","contest_id":"OG50BC/MAR","data":{"award_id":"a%d","medal":"%s","organisation":"%s"}}`, i, medal, organisation))
	}
	medalsRevision = uint64(len(events))
	for _, id := range []string{"a", "b", "c", "d"} {
		events = append(events, `{"id":"`+id+`","type":"alert","contest_id":"OG50BC/CUR-M-GPA-01","data":{"text":"clack"}}`)
	}
	events = append(events, `{"id":"e","type":"event.void","contest_id":"OG50BC/CUR-M-GPA-01","data":{"voids":"b","reason":"heard twice"}}`)
	lastRevision = uint64(len(events))
	scoreRevision = lastRevision // the void counts
	return events
}()

var raceRevision, scoreRevision, medalsRevision, lastRevision uint64

// revisionText returns a revision as the header field has it.
func revisionText(n uint64) string { return strconv.FormatUint(n, 10) }

// newStore returns a small store to read.
func newStore(t testing.TB) *testStore { return openStore(t, gamesEvents...) }

// openRace is a contest to which every mark of a new competitor adds that competitor.
const openRace = "OG50BC/MAR-OPEN"

// openRaceEvents define the open race, with n competitors who have a mark at the finish.
func openRaceEvents(n int) []string {
	events := []string{fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":`+
		`{"kind":"ranked","sport":"marathon","sort":"asc","result_type":"TIME","splits":["finish"]}}`, openRace),
		fmt.Sprintf(`{"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}}`, openRace)}
	for i := range n {
		events = append(events, fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":`+
			`{"competitor":"%d","split":"finish","mark":%d,"category":"M"}}`, openRace, 1000+i, 7919*i%100_003))
	}
	return events
}

// Board, BoardNow and StaleBoard answer from the store.

func (g *testMember) Board(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, how string, err error) {
	if !g.leased() {
		return p, 0, "", cache.ErrNotLeased
	}
	if g.read != nil {
		if err := g.read(ctx); err != nil {
			return p, 0, "", err
		}
	}
	if g.board != nil {
		g.board()
	}
	p, revision, err = g.store.Board(ctx, contestID, q)
	return p, revision, cache.Hit, err
}

func (g *testMember) BoardNow(
	contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, lease cache.LeaseCheck, ok bool) {
	if !g.leased() || g.read != nil {
		return p, 0, lease, false
	}
	p, revision, err := g.store.Board(context.Background(), contestID, q)
	return p, revision, g.leaseCheck(), err == nil
}

func (g *testMember) StaleBoard(
	ctx context.Context, contestID string, q *ranking.Query,
) (p ranking.Leaderboard, revision uint64, age time.Duration, known bool, err error) {
	p, revision, err = g.store.Board(ctx, contestID, q)
	return p, revision, g.age, !g.unknown, err
}

var noAccess = access.NewState()

func (g *testMember) Access() *access.State {
	if g.store == nil { // for benchmarks that need no store
		return noAccess
	}
	return g.store.Access()
}

func (g *testMember) ChangeAccess(_ context.Context, c access.Change) error {
	data, err := entry.EncodeChange(c)
	if err != nil {
		return err
	}
	if p := g.store.apply(data)[0].Problem; p != nil {
		return p
	}
	return nil
}

func (g *testMember) ChangeSigned(_ context.Context, c *access.SignedChange) error {
	data, err := entry.EncodeSigned(c)
	if err != nil {
		return err
	}
	if p := g.store.apply(data)[0].Problem; p != nil {
		return p
	}
	return nil
}
