package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	laurel "laurel/client"
	"laurel/score"
	"laurel/score/medal"
)

const (
	watchedMeet   = "W26BC"
	watchedEach   = 3 // contests, each with its own bard
	bardPause     = 20 * time.Millisecond
	watchersEach  = 2  // of each kind at each home
	whileAway     = 20 // events of each bard while a frontend is away, and
	whileAllThere = 80 // once it is back: meanwhile some watchers return home
)

func watchedContest(i int) string { return watchedMeet + "/CUR-" + strconv.Itoa(i) }

// TestWatchersMissNothingWhileEveryFrontendIsKilled kills each frontend in turn, and the
// master once more, under watchers of all kinds. Those of client.Watch remember what they
// have received; the raw ones (watch_raw_test.go) do not, and show what the frontends
// alone guarantee.
func TestWatchersMissNothingWhileEveryFrontendIsKilled(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	b := newWatchedBards(g)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	var all []*clientWatcher
	for i, f := range g.frontends {
		for range watchersEach {
			for _, w := range []laurel.WatchOptions{
				{Contests: []string{watchedContest(i)}},
				{Competitions: []string{watchedMeet}},
				{Timelines: []string{watchedContest(i), watchedContest((i + 1) % watchedEach)}},
			} {
				o := newClientWatcher(g, i, f.id, w)
				all = append(all, o)
				watching.Go(func() { o.watch(ctx) })
			}
		}
	}
	var bare []*rawWatcher
	for i := range 2 * len(g.frontends) {
		o := newRawWatcher(g, i, laurel.WatchOptions{Contests: []string{watchedContest(i % watchedEach)},
			Timelines: []string{watchedContest(i % watchedEach)}})
		bare = append(bare, o)
		watching.Go(func() { o.watch(ctx) })
	}
	for _, o := range all {
		eventually(t, o.name+" watches", o.connected)
	}

	b.sing(ctx)
	for _, victim := range []func() *frontend{
		func() *frontend { return g.frontends[0] }, func() *frontend { return g.frontends[1] },
		func() *frontend { return g.frontends[2] }, g.master,
	} {
		v := victim()
		t.Logf("%s is killed; the master is %s; %d events are in", v.id, g.master().id, b.count())
		v.Kill()
		b.more(whileAway)
		v.start().waitReady()
		b.more(whileAllThere)
	}
	b.end()

	truth := truthOfWatched(g, b)
	for _, o := range all {
		o.awaitTruth(t, truth, o.w)
	}
	for _, o := range bare {
		o.awaitTruth(t, truth, o.w)
		eventually(t, o.name+" has gone on after an id often enough to show something", o.resumedOften)
	}
	cancel()
	watching.Wait()
	for _, o := range all {
		t.Logf("%s: connected %d times, %d records, %d events of timelines", o.name, o.times, o.told, len(o.events()))
		if o.times < 2 {
			t.Errorf("%s was connected %d times; its home was killed, so that is not possible", o.name, o.times)
		}
	}
	for _, o := range bare {
		t.Logf("%s: %d streams of which %d went on after an id, %d refused, %d events of timelines", o.name, o.streams,
			o.resumed, o.refused, len(o.events()))
	}
}

// watchedTruth is what a watcher must have received in the end.
type watchedTruth struct {
	scores map[string]score.Record
	medals medal.Standings
	events map[string][]score.TimelineEvent
}

// truthOfWatched reads it from each frontend, and compares the timelines with the answers
// to the bards.
func truthOfWatched(g *group, b *watchedBards) (truth watchedTruth) {
	t := g.t
	t.Helper()
	for k, f := range g.frontends {
		one := watchedTruth{scores: map[string]score.Record{}, events: map[string][]score.TimelineEvent{}}
		for i := range watchedEach {
			id := watchedContest(i)
			one.scores[id] = decode[score.Record](t, get(t, f.url+"/v1/scores/"+id))
			for next := uint64(0); ; {
				page := decode[struct {
					Events []score.TimelineEvent `json:"events"`
					Next   string                `json:"next"`
				}](t, get(t, f.url+"/v1/timeline/"+id+"?limit=1000&after="+strconv.FormatUint(next, 10)))
				one.events[id] = append(one.events[id], page.Events...)
				if page.Next == "" {
					break
				}
				next = page.Events[len(page.Events)-1].Revision
			}
			if got := revisionsOf(one.events[id]); !slices.Equal(got, b.acked[i]) {
				t.Fatalf("%s: the timeline of %s has revisions %d; the bards were answered %d", f.id, id, got,
					b.acked[i])
			}
		}
		one.medals = decode[medal.Standings](t, get(t, f.url+"/v1/medals/"+url.PathEscape(watchedMeet)))
		if k > 0 && !reflect.DeepEqual(one, truth) {
			t.Fatalf("%s and %s do not answer alike", g.frontends[0].id, f.id)
		}
		truth = one
	}
	return truth
}

func revisionsOf(list []score.TimelineEvent) (revisions []uint64) {
	for _, e := range list {
		revisions = append(revisions, e.Revision)
	}
	return revisions
}

// received is what a watcher has received so far, from any frontend.
type received struct {
	name string

	mu       sync.Mutex
	scores   map[string]score.Record
	medals   map[string]medal.Standings
	timeline map[string][]score.TimelineEvent
	told     int // records
	fault    error
}

func newReceived(name string) received {
	return received{name: name, scores: map[string]score.Record{}, medals: map[string]medal.Standings{},
		timeline: map[string][]score.TimelineEvent{}}
}

// add adds what was received. The revision of a record must be higher than the one
// before, or with again not lower; that of an event must always be higher. s.mu is held.
func (s *received) add(from string, again bool, scores []score.Record, medals []medal.Standings,
	events []score.TimelineEvent) {
	check := func(what string, before, now uint64, again bool) {
		if now < before || now == before && !again {
			s.fail(fmt.Errorf("%s sent %s with revision %d after %d", from, what, now, before))
		}
	}
	for _, r := range scores {
		check("the score of "+r.ContestID, s.scores[r.ContestID].Revision, r.Revision, again)
		s.scores[r.ContestID] = r
	}
	for _, m := range medals {
		check("the medals of "+m.Competition, s.medals[m.Competition].Revision, m.Revision, again)
		s.medals[m.Competition] = m
	}
	for _, e := range events {
		list := s.timeline[e.ContestID]
		if len(list) > 0 {
			check("an event of "+e.ContestID, list[len(list)-1].Revision, e.Revision, false)
		}
		s.timeline[e.ContestID] = append(list, e)
	}
	s.told += len(scores) + len(medals)
}

// fail records the first error; s.mu is held.
func (s *received) fail(err error) {
	if s.fault == nil {
		s.fault = err
	}
}

func (s *received) events() (all []score.TimelineEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.timeline {
		all = append(all, list...)
	}
	return all
}

// awaitTruth waits until the watcher of w has received everything. A recorded error fails
// the test.
func (s *received) awaitTruth(t testing.TB, truth watchedTruth, w laurel.WatchOptions) {
	t.Helper()
	eventually(t, s.name+" ends with the truth", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fault != nil {
			t.Fatalf("%s: %v", s.name, s.fault)
		}
		return s.compare(truth, w)
	})
}

// compare returns an error for what the watcher of w has not received. s.mu is held.
func (s *received) compare(truth watchedTruth, w laurel.WatchOptions) error {
	var errs []error
	for id, want := range truth.scores {
		if slices.Contains(w.Contests, id) || len(w.Competitions) > 0 {
			if got := s.scores[id]; !reflect.DeepEqual(got, want) {
				errs = append(errs, fmt.Errorf("its last score of %s is of revision %d; want that of %d:\n%+v\n%+v", id,
					got.Revision, want.Revision, got, want))
			}
		}
	}
	if got := s.medals[watchedMeet]; len(w.Competitions) > 0 && !reflect.DeepEqual(got, truth.medals) {
		errs = append(errs, fmt.Errorf("its last medals are of revision %d; want those of %d:\n%+v\n%+v", got.Revision,
			truth.medals.Revision, got, truth.medals))
	}
	for _, id := range w.Timelines {
		got, want := s.timeline[id], truth.events[id]
		if g, w := revisionsOf(got), revisionsOf(want); !slices.Equal(g, w) {
			errs = append(errs, fmt.Errorf("it received the events %d of %s; want %d", g, id, w))
			continue
		}
		for i := range got {
			// An event that is received as it happens is not voided yet.
			one, other := got[i], want[i]
			one.VoidedBy, other.VoidedBy = 0, 0
			if !reflect.DeepEqual(one, other) {
				errs = append(errs, fmt.Errorf("it received %+v; want %+v", one, other))
			}
		}
	}
	return errors.Join(errs...)
}

// clientWatcher watches with the Go client.
type clientWatcher struct {
	received
	client *laurel.Client
	w      laurel.WatchOptions
	times  int // number of connections
}

func newClientWatcher(g *group, i int, home string, w laurel.WatchOptions) *clientWatcher {
	var all []string
	for _, f := range g.frontends {
		all = append(all, f.url)
	}
	kind := map[bool]string{true: "a contest", false: "a timeline"}[len(w.Contests) > 0]
	if len(w.Competitions) > 0 {
		kind = "a competition"
	}
	c, err := laurel.New(slices.Concat(all[i:], all[:i]), laurel.Options{Home: home})
	if err != nil {
		g.t.Fatal(err)
	}
	return &clientWatcher{received: newReceived("a watcher of " + kind + " at home at " + home), client: c, w: w}
}

func (o *clientWatcher) watch(ctx context.Context) {
	defer o.client.Close()
	for u, err := range o.client.Watch(ctx, o.w) {
		o.mu.Lock()
		switch {
		case err != nil:
			o.fail(fmt.Errorf("the watch ended: %w", err))
		case u.NewStore:
			o.fail(fmt.Errorf("%s is another store", u.Frontend))
		case u.Kind == laurel.UpdateConnected:
			o.times++
		}
		o.add(u.Frontend, false, u.Scores, u.Medals, u.Timeline)
		o.mu.Unlock()
	}
}

func (o *clientWatcher) connects() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.times
}

func (o *clientWatcher) connected() error {
	if o.connects() == 0 {
		return errors.New("it is not connected yet")
	}
	return nil
}
