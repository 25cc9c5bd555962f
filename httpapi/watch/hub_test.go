package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/cache"
)

func TestWatcherGetsASnapshotAndThenEveryChangeOnce(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1", "C/2", "D/1")
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	c := watch(t, h, Subjects{Competitions: []string{"C"}}, "")
	e := c.mustNext()
	if e.event != "snapshot" || len(e.data.Scores) != 2 || e.id == "" {
		t.Fatalf("first came %+v", e)
	}
	s.change("D/1")
	last := s.change("C/2")
	for {
		e = c.mustNext()
		if e.event != "score" || e.data.Contest != "C/2" {
			t.Fatalf("got %+v; D/1 is not watched, C/1 has not changed", e)
		}
		if e.data.Revision == last {
			break
		}
	}
	if e.id != "fake-"+strconv.FormatUint(last, 10) {
		t.Errorf("the id is %s after revision %d", e.id, last)
	}
}

func TestARemovedContestIsToldByOneEvent(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1", "C/2")
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	everything := watch(t, h, Subjects{Everything: true}, "")
	all := watch(t, h, Subjects{Competitions: []string{"C"}}, "")
	one := watch(t, h, Subjects{Contests: []string{"C/1"}, Timelines: []string{"C/2"}}, "")
	other := watch(t, h, Subjects{Contests: []string{"C/2"}}, "")
	var id string
	for _, c := range []*client{everything, all, one, other} {
		id = c.mustNext().id
	}
	removed := s.remove("C/1")
	for _, c := range []*client{everything, all, one} {
		if e := c.mustNext(); e.event != "removed" || e.data.Contest != "C/1" || e.data.Revision != removed {
			t.Errorf("got %+v; want that C/1 is removed", e)
		}
	}
	last := s.change("C/2")
	for c, event := range map[*client]string{everything: "score", all: "score", one: "timeline", other: "score"} {
		if e := c.mustNext(); e.event != event || e.data.Revision != last {
			t.Errorf("after the removal came %+v; want the %s of C/2", e, event)
		}
	}
	for _, subjects := range []Subjects{
		{Contests: []string{"C/1"}}, {Competitions: []string{"C"}}, {Everything: true}, {Everything: true, Now: true},
	} {
		resumed := watch(t, h, subjects, id)
		if e := resumed.mustNext(); e.event != "removed" || e.data.Contest != "C/1" {
			t.Errorf("a watcher of %+v that resumed got %+v; want that C/1 is removed", subjects, e)
		}
	}
	back := s.change("C/1")
	for _, c := range []*client{everything, all, one} {
		if e := c.mustNext(); e.event != "score" || e.data.Contest != "C/1" || e.data.Revision != back {
			t.Errorf("got %+v; want C/1, which is defined again", e)
		}
	}
}

func TestAWatcherThatWasAwayForTooLongBeginsAgain(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1", "C/2")
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	id := watch(t, h, Subjects{Everything: true}, "").mustNext().id
	awaitDelivered(t, h, s.remove("C/1"))
	s.forget()
	if e := watch(t, h, Subjects{Everything: true}, id).mustNext(); e.event != "snapshot" || len(e.data.Scores) != 1 {
		t.Errorf("got %+v; want a snapshot without C/1", e)
	}
}

// A new master means that anything may have changed. Only what has is read again.
func TestANewMasterHasTheHubReadOnlyWhatHasChanged(t *testing.T) {
	s := newFakeStore()
	began := uint64(0)
	for i := range 1000 {
		began = s.change(fmt.Sprint("C/", i))
	}
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	c := watch(t, h, Subjects{Everything: true, Now: true}, "")
	c.mustNext()
	s.mu.Lock()
	s.reads = 0
	s.revision++
	last := s.revision
	s.changed["C/7"] = append(s.changed["C/7"], last)
	delete(s.changed, "C/8")
	s.removed["C/8"] = last
	s.invalidations.Add(nil, true, last)
	s.mu.Unlock()
	got := map[string]bool{}
	for range 2 {
		e := c.mustNext()
		got[e.event+" "+e.data.Contest] = true
	}
	if !got["score C/7"] || !got["removed C/8"] {
		t.Errorf("got %v; want the change of C/7 and that C/8 is removed", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads > 10 {
		t.Errorf("%d records were read; want the two that have changed", s.reads)
	}
}

// A frontend that installs a snapshot does not know what has changed.
func TestStreamsOfCompetitionsEndIfContestsMayBeGoneUnnoticed(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1", "C/2")
	s.now = []string{"C/1"}
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	one := watch(t, h, Subjects{Contests: []string{"C/1"}}, "")
	one.mustNext()
	all := []Subjects{{Everything: true}, {Everything: true, Now: true}, {Competitions: []string{"C"}}}
	var ids []string
	var clients []*client
	for _, subjects := range all {
		c := watch(t, h, subjects, "")
		clients, ids = append(clients, c), append(ids, c.mustNext().id)
	}
	s.mu.Lock()
	s.revision++
	last := s.revision
	delete(s.changed, "C/1")
	s.now = nil
	s.forgotten = last
	s.invalidations.Add(nil, true, last)
	s.mu.Unlock()
	if e := one.mustNext(); e.event != "removed" || e.data.Contest != "C/1" {
		t.Errorf("the watcher of C/1 got %+v; want that it is removed", e)
	}
	for i, subjects := range all {
		if e, err := clients[i].next(); err != io.EOF {
			t.Errorf("a watcher of %+v got %+v, %v; want the end of its stream", subjects, e, err)
		}
		e := watch(t, h, subjects, ids[i]).mustNext()
		if e.event != "snapshot" || len(e.data.Scores) > 1 || len(e.data.Scores) == 1 && e.data.Scores[0].Contest == "C/1" {
			t.Errorf("a watcher of %+v that came back got %+v; want a snapshot without C/1", subjects, e)
		}
	}
}

// At its start a frontend does not know what has changed either.
func TestStreamsEndIfTooMuchMayHaveChangedToReadItAgain(t *testing.T) {
	s := newFakeStore()
	for i := range maxReread + 1 {
		s.revision++
		s.changed[fmt.Sprint("C/", i)] = []uint64{s.revision}
	}
	s.now = []string{"C/1"}
	s.forget()
	h := newHub(t, s)
	waitFor(t, "the first dispatch", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.ended > 0
	})
	c := watch(t, h, Subjects{Everything: true, Now: true}, "")
	id := c.mustNext().id
	s.invalidations.Add(nil, true, s.lastRevision())
	if _, err := c.next(); err != io.EOF {
		t.Errorf("got %v; want the end of the stream", err)
	}
	if e := watch(t, h, Subjects{Everything: true, Now: true}, id).mustNext(); e.event != "snapshot" {
		t.Errorf("got %s; want a snapshot", e.event)
	}
}

func TestTheScopeNowBeginsWithTheSelectionAndHasEveryChange(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1", "C/2", "D/1", "D/2")
	s.now = []string{"C/2", "D/1"}
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	c := watch(t, h, Subjects{Everything: true, Now: true, Contests: []string{"D/2"}}, "")
	e := c.mustNext()
	var ids []string
	for _, r := range e.data.Scores {
		ids = append(ids, r.Contest)
	}
	if e.event != "snapshot" || !slices.Equal(ids, []string{"C/2", "D/1", "D/2"}) || e.data.Sections["live"] != 1 {
		t.Errorf("got %+v; want the selection, D/2, and the numbers of contests", e)
	}
	for _, id := range []string{"C/1", "D/2", "E/1"} {
		last := s.change(id)
		if e := c.mustNext(); e.event != "score" || e.data.Contest != id || e.data.Revision != last {
			t.Errorf("got %+v; want the change of %s", e, id)
		}
	}
}

func TestAStreamOfTheScopeNowThatMissedMuchBeginsAgain(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1")
	s.now = []string{"C/1"}
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	id := watch(t, h, Subjects{Everything: true, Now: true}, "").mustNext().id
	last := uint64(0)
	for i := range maxNowChanges + 1 {
		last = s.change(fmt.Sprint("D/", i))
	}
	awaitDelivered(t, h, last)
	e := watch(t, h, Subjects{Everything: true, Now: true}, id).mustNext()
	if e.event != "snapshot" || len(e.data.Scores) != 1 {
		t.Errorf("got %s with %d contests; want a snapshot with the selection", e.event, len(e.data.Scores))
	}
}

func TestInPullModeAStreamOfTheScopeNowFollowsTheSelection(t *testing.T) {
	s := pullStore{newFakeStore()}
	s.change("C/1")
	s.now = []string{"C/1"}
	h := newHub(t, s)
	c := watch(t, h, Subjects{Everything: true, Now: true}, "")
	c.mustNext()
	until := func(event, id string, revision uint64) {
		t.Helper()
		for {
			e := c.mustNext()
			if e.event == event && e.data.Contest == id && e.data.Revision == revision {
				return
			}
		}
	}
	polled := func(change func(revision uint64)) uint64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.revision++
		change(s.revision)
		s.invalidations.Add([]string{"now"}, false, 0)
		return s.revision
	}
	until("score", "C/2", polled(func(revision uint64) {
		s.changed["C/2"], s.now = []uint64{revision}, []string{"C/1", "C/2"}
	}))
	// C/2 ends, and is not among the latest that have.
	until("score", "C/2", polled(func(revision uint64) {
		s.changed["C/2"], s.now = []uint64{revision}, []string{"C/1"}
	}))
	until("removed", "C/1", polled(func(revision uint64) {
		delete(s.changed, "C/1")
		s.removed["C/1"], s.now = revision, nil
	}))
}

// laggingStore has older answers about single records than about what is now.
type laggingStore struct{ pullStore }

func (s laggingStore) Record(_ context.Context, key string) (*cache.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := strings.TrimPrefix(key, "scores/")
	at := s.changed[id][0]
	return &cache.Entry{Revision: at, Body: fmt.Appendf(nil, `{"contest_id":%q,"revision":%d}`, id, at)}, nil
}

func TestInPullModeNoOldScoreFollowsANewOne(t *testing.T) {
	s := laggingStore{pullStore{newFakeStore()}}
	s.change("C/1")
	last := s.change("C/1")
	s.change("C/2")
	s.now = []string{"C/1"}
	h := newHub(t, s)
	c := watch(t, h, Subjects{Everything: true, Now: true}, "")
	if e := c.mustNext(); len(e.data.Scores) != 1 || e.data.Scores[0].Revision != last {
		t.Fatalf("got %+v; want C/1 at revision %d", e, last)
	}
	s.invalidations.Add([]string{"now", "scores/C/1", "scores/C/2"}, false, 0)
	for {
		e := c.mustNext()
		if e.data.Contest == "C/1" && e.data.Revision < last {
			t.Errorf("C/1 came with revision %d after %d", e.data.Revision, last)
		}
		if e.data.Contest == "C/2" {
			return
		}
	}
}

func TestRecordWatchedTwiceIsSentOnce(t *testing.T) {
	s := newFakeStore()
	h := newHub(t, s)
	began := s.change("C/1")
	awaitDelivered(t, h, began)
	c := watch(t, h, Subjects{Contests: []string{"C/1"}, Competitions: []string{"C"}}, "")
	c.mustNext()
	first := s.change("C/1")
	if e := c.mustNext(); e.data.Revision != first {
		t.Fatalf("%+v", e)
	}
	second := s.change("C/1")
	if e := c.mustNext(); e.data.Revision != second {
		t.Fatalf("after revision %d came %+v", first, e)
	}
}

func TestStreamResumesAtAnotherHubWithoutGapOrDuplicate(t *testing.T) {
	s := newFakeStore()
	other := newFakeStore()
	hub := newHub(t, s)
	next := newHub(t, &otherFrontend{fakeStore: other, state: s})
	s.change("C/1")
	subjects := Subjects{Contests: []string{"C/1"}, Timelines: []string{"C/1"}}
	c := watch(t, hub, subjects, "")
	count := map[uint64]int{}
	id := ""
	take := func(c *client, until uint64) {
		for {
			e := c.mustNext()
			for _, e := range e.data.Timeline {
				count[e.Revision]++
			}
			if e.event == "timeline" {
				count[e.data.Revision]++
			}
			if e.id != "" {
				id = e.id
			}
			if at, _ := parsePosition("fake", id); at.records >= until {
				return
			}
		}
	}
	take(c, s.change("C/1"))
	c.conn.Close()
	missed := s.change("C/1", "C/1")
	other.invalidations.Add(nil, true, missed)
	d := watch(t, next, subjects, id)
	take(d, missed)
	for revision := uint64(1); revision <= missed; revision++ {
		if count[revision] != 1 {
			t.Errorf("the event of revision %d was sent %d times, want once", revision, count[revision])
		}
	}
}

func TestIDOfAnotherIncarnationOrAMalformedOneGetsASnapshot(t *testing.T) {
	s := newFakeStore()
	s.change("C/1")
	h := newHub(t, s)
	for _, id := range []string{
		"other-5", "fake-pull", "fake-", "fake-x", "nonsense", "fake-99999999999999999999999", "fake-5-4", "fake-5-x",
	} {
		c := watch(t, h, Subjects{Contests: []string{"C/1"}}, id)
		if e := c.mustNext(); e.event != "snapshot" || len(e.data.Scores) != 1 {
			t.Errorf("the id %q got %+v, want a snapshot", id, e)
		}
	}
}

func TestSlowWatcherGetsTheLatestRecordAndEveryTimelineEvent(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1")
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	scores := watch(t, h, Subjects{Contests: []string{"C/1"}}, "")
	events := watch(t, h, Subjects{Timelines: []string{"C/1"}}, "")
	scores.mustNext()
	events.mustNext()
	releaseScores, releaseEvents := scores.holdWrites(), events.holdWrites()
	const changes = 1000
	last := uint64(0)
	for range changes {
		last = s.change("C/1")
	}
	awaitDelivered(t, h, last)
	releaseScores()
	releaseEvents()
	if e := scores.mustNext(); e.data.Revision != last || e.data.Result != changes+1 {
		t.Errorf("got %+v, want the latest", e.data)
	}
	for want := uint64(2); want <= last; want++ {
		if e := events.mustNext(); e.event != "timeline" || e.data.Revision != want {
			t.Fatalf("got %+v, want the event of revision %d", e, want)
		}
	}
}

func TestWatcherThatReadsNothingDelaysNobody(t *testing.T) {
	s := newFakeStore()
	s.change("C/1")
	h := newHub(t, s)
	subjects := Subjects{Timelines: []string{"C/1"}, Contests: []string{"C/1"}}
	watch(t, h, subjects, "")
	reader := watch(t, h, subjects, "")
	reader.mustNext()
	last := uint64(0)
	for range 20 {
		for range 500 {
			last = s.change("C/1")
		}
		for {
			if e := reader.mustNext(); e.event == "timeline" && e.data.Revision == last {
				break
			}
		}
	}
}

func TestNothingIsMissingAfterTheStoreWasUnavailable(t *testing.T) {
	s := newFakeStore()
	began := s.change("C/1")
	h := newHub(t, s)
	awaitDelivered(t, h, began)
	c := watch(t, h, Subjects{Timelines: []string{"C/1"}}, "")
	c.mustNext()
	s.setUnavailable(true)
	first, second := s.change("C/1"), s.change("C/1")
	s.invalidations.Add(nil, true, second) // a new session
	_, _, err := begin(context.Background(), h, Subjects{Contests: []string{"C/1"}}, "")
	if !errors.Is(err, errUnavailable) {
		t.Errorf("got %v, want errUnavailable", err)
	}
	s.setUnavailable(false)
	for _, want := range []uint64{first, second} {
		if e := c.mustNext(); e.data.Revision != want {
			t.Fatalf("got %+v, want revision %d", e, want)
		}
	}
}

func TestDisconnectedWatcherIsForgotten(t *testing.T) {
	s := newFakeStore()
	s.change("C/1")
	h := newHub(t, s)
	c := watch(t, h, Subjects{Contests: []string{"C/1"}, Competitions: []string{"C"}}, "")
	c.mustNext()
	if h.Count() != 1 {
		t.Fatalf("%d watchers", h.Count())
	}
	c.conn.Close()
	waitFor(t, "watcher is forgotten", func() bool { s.change("C/1"); return h.Count() == 0 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.topics) != 0 {
		t.Errorf("topics %v remain", h.topics)
	}
}

// Watchers join at any moment, disconnect and resume while everything changes. Each must
// receive every event of its timelines once and records with rising revisions, and end with
// the final state.
func TestWatchersThatJoinAtAnyMomentMissNothing(t *testing.T) {
	s := newFakeStore()
	ids := []string{"C/1", "C/2", "D/1"}
	s.change(ids...)
	h := newHub(t, s)
	done := make(chan struct{})
	var watchers sync.WaitGroup
	for n := range 24 {
		watchers.Go(func() { follow(t, h, s, ids[n%3], ids[(n+1)%3], done) })
	}
	for range 3000 {
		s.change(ids[rand.N(3)], ids[rand.N(3)])
	}
	close(done)
	watchers.Wait()
}

// follow watches a contest and two timelines until the state is final. It reconnects now and
// then.
func follow(t *testing.T, h *Hub, s *fakeStore, id, other string, done <-chan struct{}) {
	var lastID string
	var record, event uint64
	events := 0
	for {
		c := watch(t, h, Subjects{Contests: []string{id}, Timelines: []string{id, other}}, lastID)
		for range 1 + rand.N(200) {
			e, err := c.next()
			if err != nil {
				t.Error(err)
				return
			}
			if e.event == "snapshot" && lastID != "" {
				t.Errorf("the id %s got a snapshot", lastID)
			}
			for _, e := range e.data.Timeline {
				event, events = max(event, e.Revision), events+1
			}
			for _, r := range e.data.Scores {
				record = r.Revision
			}
			switch e.event {
			case "timeline":
				if e.data.Revision <= event {
					t.Errorf("event %d came after %d", e.data.Revision, event)
				}
				event, events = e.data.Revision, events+1
			case "score":
				if e.data.Revision < record {
					t.Errorf("revision %d came after %d", e.data.Revision, record)
				}
				record = e.data.Revision
			}
			if e.id != "" {
				lastID = e.id
			}
			if isFinal(s, id, other, done, record, event) {
				if want := len(s.changed[id]) + len(s.changed[other]); events != want {
					t.Errorf("got %d events, want %d", events, want)
				}
				c.conn.Close()
				return
			}
		}
		c.conn.Close()
	}
}

// isFinal reports whether all changes are done and received.
func isFinal(s *fakeStore, id, other string, done <-chan struct{}, record, event uint64) bool {
	select {
	case <-done:
	default:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := func(id string) uint64 { list := s.changed[id]; return list[len(list)-1] }
	return record == last(id) && event == max(record, last(other))
}

func TestAWatcherThatIsNotPermittedAnyMoreGetsNothingAndEnds(t *testing.T) {
	s := newFakeStore()
	h := newHub(t, s)
	awaitDelivered(t, h, s.change("C/1"))
	client, server := net.Pipe()
	defer client.Close()
	var revoked atomic.Bool
	w, err := h.Subscribe(Subjects{Contests: []string{"C/1"}}, Client{Permitted: func() bool { return !revoked.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Begin(t.Context(), w, "", func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	h.Attach(w, server)
	s.change("C/1")
	client.SetReadDeadline(time.Now().Add(timeout))
	if got, err := io.ReadAll(client); err != nil || len(got) > 0 {
		t.Errorf("it got %q: %v", got, err)
	}
}

// A client that resumes may have missed nothing, and must know that its stream works.
func TestAStreamBeginsWithAHeartbeatAlsoWhereItResumes(t *testing.T) {
	s := newFakeStore()
	h := newHub(t, s)
	last := s.change("C/1")
	awaitDelivered(t, h, last)
	id := "fake-" + strconv.FormatUint(last, 10)
	for _, lastID := range []string{"", id} {
		w, err := h.Subscribe(Subjects{Contests: []string{"C/1"}}, Client{})
		if err != nil {
			t.Fatal(err)
		}
		var first strings.Builder
		err = h.Begin(t.Context(), w, lastID, func(page []byte) error {
			first.Write(page)
			return nil
		})
		h.Remove(w)
		if err != nil {
			t.Fatal(err)
		}
		_, beat, ok := strings.Cut(first.String(), "event: heartbeat\n")
		if !ok || !strings.HasSuffix(beat, "\nid: "+id+"\n\n") {
			t.Errorf("after the id %q the stream begins with %q", lastID, first.String())
		}
		if resumed := lastID != ""; resumed == strings.Contains(first.String(), "event: snapshot") {
			t.Errorf("after the id %q the stream begins with %q", lastID, first.String())
		}
	}
}

// It would stay open without a writer.
func TestAHubThatIsClosedTakesNoWatchers(t *testing.T) {
	h := newHub(t, newFakeStore())
	h.Close()
	if _, err := h.Subscribe(Subjects{Contests: []string{"C/1"}}, Client{}); !errors.Is(err, cache.ErrNotLeased) {
		t.Errorf("got %v; want ErrNotLeased", err)
	}
	if n := h.Count(); n != 0 {
		t.Errorf("%d watchers are counted", n)
	}
}
