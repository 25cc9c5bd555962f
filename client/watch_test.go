package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/score/mark"
)

// watcher is a watch in a goroutine of its own, with the updates that it has received.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	received []client.Update
	err      error
}

func startWatch(t *testing.T, c *client.Client, w client.WatchOptions) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &watcher{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for u, err := range c.Watch(ctx, w) {
			a.mu.Lock()
			a.received, a.err = append(a.received, u), err
			a.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-a.done:
		case <-time.After(time.Minute):
			t.Error("the watch does not end with its context")
		}
	})
	return a
}

// updates returns the updates of some kinds.
func (a *watcher) updates(kinds ...client.UpdateKind) (list []client.Update) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.received {
		if slices.Contains(kinds, u.Kind) {
			list = append(list, u)
		}
	}
	return list
}

// await waits until there are n updates of a kind, and returns the last.
func (a *watcher) await(t *testing.T, kind client.UpdateKind, n int) client.Update {
	t.Helper()
	var list []client.Update
	eventually(t, fmt.Sprintf("%d %s", n, kind), func() bool {
		list = a.updates(kind)
		return len(list) >= n
	})
	return list[len(list)-1]
}

func post(t *testing.T, c *client.Client, events ...score.Event) {
	t.Helper()
	if _, err := c.Post(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func play() score.Event { return curling()[2] }

func TestWatchHasASnapshotThenEveryChange(t *testing.T) {
	t.Parallel()
	_, c := group(t, 2, client.Options{})
	post(t, c, curling()[:2]...)
	a := startWatch(t, c, client.WatchOptions{
		Contests: []string{contest}, Medals: []string{"OG50BC"}, Timelines: []string{contest},
	})
	first := a.await(t, client.UpdateSnapshot, 1)
	if len(first.Scores) != 1 || first.Scores[0].Revision != 2 || len(first.Timeline) != 2 || first.NewStore {
		t.Errorf("got %+v; want the contest at revision 2 and its two events", first)
	}
	post(t, c, play())
	post(t, c, score.Event{
		Type: score.TypeMedalAward, ContestID: contest,
		Data: &score.MedalAward{AwardID: "1", Medal: "GOLD", Organisation: "GAU"},
	})
	u := a.await(t, client.UpdateScore, 1)
	if len(u.Scores) != 1 || *u.Scores[0].Competitors[0].Result != mark.Points(2) {
		t.Errorf("got %+v; want GAU with 2", u)
	}
	if u := a.await(t, client.UpdateMedals, 1); len(u.Medals) != 1 || u.Medals[0].Rows[0].Gold != 1 {
		t.Errorf("got %+v; want GAU with a gold medal", u)
	}
	if u := a.await(t, client.UpdateTimeline, 2); len(u.Timeline) != 1 || u.Timeline[0].Revision != 4 {
		t.Errorf("got %+v; want event 4", u)
	}
	if u := a.await(t, client.UpdateHeartbeat, 1); u.Beat.Mode != score.Push || u.Beat.Frontend == "" {
		t.Errorf("got %+v; want the mode and the frontend", u.Beat)
	}
}

func TestWatchContinuesAcrossFrontendsWithoutGapsOrDuplicates(t *testing.T) {
	t.Parallel()
	g := testgroup.Start(t, 3)
	c := newClient(t, client.Options{}, g.URLs()...)
	post(t, c, curling()...)
	a := startWatch(t, c, client.WatchOptions{Timelines: []string{contest}, Contests: []string{contest}})
	a.await(t, client.UpdateSnapshot, 1)
	bard := newClient(t, client.Options{}, g.URLs()...)
	const n = 300
	for i := range n {
		post(t, bard, play())
		switch i % 60 {
		case 20:
			g.Frontends[i/60%3].EndWatches()
		case 40:
			g.Frontends[i/60%3].Detach()
		case 59:
			g.Frontends[i/60%3].Attach()
		}
	}
	a.await(t, client.UpdateTimeline, n)
	eventually(t, "the last score", func() bool {
		list := a.updates(client.UpdateScore)
		return list[len(list)-1].Scores[0].Revision == n+3
	})
	for i, u := range a.updates(client.UpdateTimeline) {
		if got := u.Timeline[0].Revision; got != uint64(i+4) {
			t.Fatalf("event %d has revision %d; want %d", i, got, i+4)
		}
	}
	last := uint64(0)
	for _, u := range a.updates(client.UpdateScore) {
		if u.Scores[0].Revision <= last {
			t.Fatalf("revision %d came after %d", u.Scores[0].Revision, last)
		}
		last = u.Scores[0].Revision
	}
	if len(a.updates(client.UpdateConnected)) < 2 {
		t.Error("the watch was never lost; the test shows nothing")
	}
}

func TestWatchFailsOverAndIsSentHome(t *testing.T) {
	t.Parallel()
	var j noticeLog
	g, c := group(t, 3, withPatience(client.Options{Home: "f1", Notify: j.note}))
	g.Frontends[2].Report(score.Serving, 100, 0)
	a := startWatch(t, c, client.WatchOptions{})
	if u := a.await(t, client.UpdateConnected, 1); !u.AtHome || u.Home != "f1" || u.Frontend != g.Frontends[0].URL {
		t.Fatalf("connected to %+v; want f1, home", u)
	}
	g.Frontends[0].Detach()
	if u := a.await(t, client.UpdateLost, 1); u.Err == nil || u.Frontend != g.Frontends[0].URL {
		t.Errorf("lost %+v; want f1 and why", u)
	}
	if u := a.await(t, client.UpdateConnected, 2); u.AtHome || u.Home != "f1" || u.Frontend != g.Frontends[1].URL {
		t.Fatalf("connected to %+v; want f2, which has fewer watchers, away from home", u)
	}
	eventually(t, "f2 knows the home of its watcher", func() bool {
		return slices.Equal(g.Frontends[1].Watches(), []string{"f1"})
	})
	// It is sent home while the home is away, and stays where it is.
	g.Frontends[1].InjectEvent("home", map[string]string{"id": "f1", "url": g.Frontends[0].URL})
	post(t, c, curling()...)
	a.await(t, client.UpdateScore, 1)
	g.Frontends[0].Attach()
	g.Frontends[1].InjectEvent("home", map[string]string{"id": "f1", "url": g.Frontends[0].URL})
	if u := a.await(t, client.UpdateConnected, 3); !u.AtHome {
		t.Fatalf("connected to %+v; want home", u)
	}
	if n := len(a.updates(client.UpdateLost)); n != 1 {
		t.Errorf("the stream was lost %d times; want once, and no gap on the way home", n)
	}
	eventually(t, "f2 has no watcher any more", func() bool { return len(g.Frontends[1].Watches()) == 0 })
	for _, want := range []string{"watch connected f2", "watch redirected f1", "went home f1"} {
		if got := j.kinds(g); !slices.Contains(got, want) {
			t.Errorf("notices are %q; want %q among them", got, want)
		}
	}
}

// redirecting starts n servers that redirect every watch, and returns their URLs and the
// watches that they were asked for.
func redirecting(
	t *testing.T, to func(self int, r *http.Request) string, n int,
) (urls []string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	for i := range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/watch" {
				http.NotFound(w, r)
				return
			}
			mu.Lock()
			list = append(list, fmt.Sprint(i, " ", r.URL.RawQuery))
			mu.Unlock()
			w.Header().Set("Location", to(i, r))
			w.WriteHeader(http.StatusTemporaryRedirect)
		}))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	return urls, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func TestWatchFollowsARedirect(t *testing.T) {
	t.Parallel()
	g := testgroup.Start(t, 1)
	urls, _ := redirecting(t, func(_ int, r *http.Request) string {
		return g.Frontends[0].URL + "/v1/watch?" + r.URL.RawQuery + "&moved=1"
	}, 1)
	c := newClient(t, client.Options{}, urls...)
	a := startWatch(t, c, client.WatchOptions{Contests: []string{contest}})
	if u := a.await(t, client.UpdateConnected, 1); u.Frontend != g.Frontends[0].URL {
		t.Errorf("connected to %s; want where it was sent", u.Frontend)
	}
	if got := g.Requests(); !slices.Contains(got, "GET f1 /v1/watch?contest=OG50BC%2FCUR-M-GPA-01&moved=1") {
		t.Errorf("asked %q; want the subjects and moved=1", got)
	}
}

func TestChosenHomeWithoutRoomIsReplacedByItsRedirect(t *testing.T) {
	t.Parallel()
	g, c := group(t, 2, withPatience(client.Options{}))
	g.Frontends[1].Report(score.Serving, 100, 0)
	g.Frontends[0].RedirectWatches(g.Frontends[1])
	a := startWatch(t, c, client.WatchOptions{})
	if u := a.await(t, client.UpdateConnected, 1); u.Home != "f2" || !u.AtHome {
		t.Errorf("connected to %+v; want f2 as its home", u)
	}
	eventually(t, "f2 knows that it is the home", func() bool {
		return slices.Equal(g.Frontends[1].Watches(), []string{"f2"})
	})
	// A home that the caller has named stays the home.
	c = newClient(t, withPatience(client.Options{Home: "f1"}), g.URLs()...)
	a = startWatch(t, c, client.WatchOptions{})
	if u := a.await(t, client.UpdateConnected, 1); u.Home != "f1" || u.AtHome {
		t.Errorf("connected to %+v; want f2, away from home", u)
	}
}

func TestWatchFollowsOneRedirectPerAttempt(t *testing.T) {
	var urls []string
	var asked func() []string
	urls, asked = redirecting(t, func(self int, _ *http.Request) string {
		return urls[1-self] + "/v1/watch?moved=1"
	}, 2)
	c := newClient(t, withPatience(client.Options{}), urls[0])
	a := startWatch(t, c, client.WatchOptions{})
	u := a.await(t, client.UpdateLost, 1)
	got := asked()
	if len(got) < 2 || got[0] != "0 " || got[1] != "1 moved=1" || len(got) > 2 && got[2] != "0 moved=1" {
		t.Errorf("asked %q; want one hop, and then to stay; lost: %v", got[:min(len(got), 6)], u.Err)
	}
}

func TestRefusedWatchGoesElsewhereAtOnce(t *testing.T) {
	t.Parallel()
	var j noticeLog
	g, c := group(t, 2, withPatience(client.Options{Home: "f1", Notify: j.note}))
	learn(t, c)
	g.Inject(func(f *testgroup.Frontend, r *http.Request, _ *score.Event) testgroup.Fault {
		if f.ID == "f1" && r.URL.Path == "/v1/watch" {
			return testgroup.Unavailable
		}
		return testgroup.None
	})
	a := startWatch(t, c, client.WatchOptions{})
	if u := a.await(t, client.UpdateConnected, 1); u.Frontend != g.Frontends[1].URL {
		t.Errorf("connected to %s; want f2", u.Frontend)
	}
	if len(a.updates(client.UpdateLost)) != 0 {
		t.Error("a refusal is reported as a loss")
	}
	if got := j.kinds(g); !slices.Contains(got, "watch refused f1") {
		t.Errorf("notices are %q", got)
	}
	// Calls still go to f1, because it answers them.
	if got := answeredBy(t, g, c); got != "f1" {
		t.Errorf("%s answers calls; want the home, f1", got)
	}
}

func TestRecordNeverGoesBack(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	post(t, c, curling()...)
	a := startWatch(t, c, client.WatchOptions{Contests: []string{contest}})
	a.await(t, client.UpdateSnapshot, 1)
	for _, revision := range []uint64{2, 3, 5, 4, 5, 6} {
		g.Frontends[0].InjectEvent("score", score.Record{ContestID: contest, Revision: revision})
	}
	a.await(t, client.UpdateScore, 2)
	// The snapshot of a frontend in pull mode may be old, too.
	store := g.Frontends[0].Member().Incarnation()
	g.Frontends[0].InjectEvent("snapshot", map[string]any{"incarnation": store, "revision": 4, "scores": []score.Record{
		{ContestID: contest, Revision: 4}, {ContestID: "OG50BC/2", Revision: 1},
	}})
	u := a.await(t, client.UpdateSnapshot, 2)
	if len(u.Scores) != 1 || u.Scores[0].ContestID != "OG50BC/2" || u.NewStore {
		t.Errorf("got %+v; want only what is new", u)
	}
	var got []uint64
	for _, u := range a.updates(client.UpdateScore) {
		got = append(got, u.Scores[0].Revision)
	}
	if !slices.Equal(got, []uint64{5, 6}) {
		t.Errorf("got revisions %v; want 5 and 6", got)
	}
}

func TestSnapshotOfAnotherStoreStartsOver(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	post(t, c, curling()...)
	a := startWatch(t, c, client.WatchOptions{Contests: []string{contest}})
	a.await(t, client.UpdateSnapshot, 1)
	g.Frontends[0].InjectEvent("snapshot", map[string]any{
		"incarnation": "b", "revision": 1, "scores": []score.Record{{ContestID: contest, Revision: 1}},
	})
	if u := a.await(t, client.UpdateSnapshot, 2); !u.NewStore || len(u.Scores) != 1 {
		t.Errorf("got %+v; want the other store's record", u)
	}
}

func TestAWatchLeavesAnIncarnationThatHasEnded(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	post(t, c, curling()...)
	a := startWatch(t, c, client.WatchOptions{Contests: []string{contest}})
	a.await(t, client.UpdateSnapshot, 1)
	inject := func(incarnation string, former ...string) {
		g.Frontends[0].InjectEvent("snapshot", map[string]any{
			"incarnation": incarnation, "former": former, "revision": 1, "scores": []score.Record{{ContestID: contest, Revision: 1}},
		})
	}
	inject("new", "older", "old")
	if u := a.await(t, client.UpdateSnapshot, 2); !u.NewStore {
		t.Errorf("got %+v; want the record of another incarnation", u)
	}
	inject("old")
	if u := a.await(t, client.UpdateLost, 1); u.Err == nil || !strings.Contains(u.Err.Error(), "has ended") {
		t.Errorf("the watch stays: %+v", u)
	}
	if n := len(a.updates(client.UpdateSnapshot)); n != 2 {
		t.Errorf("the watch passed on %d snapshots; want none of an incarnation that has ended", n)
	}
}

func TestWatchEndsWithAFinalProblem(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"status":400,"code":"invalid_event","detail":"contest=x: want an id"}`)
	}))
	defer s.Close()
	a := startWatch(t, newClient(t, client.Options{}, s.URL), client.WatchOptions{Contests: []string{"x"}})
	select {
	case <-a.done:
	case <-time.After(time.Minute):
		t.Fatal("the watch continues")
	}
	wantProblem(t, a.err, score.InvalidEvent)
}

func TestWatchEndsWithItsLoopOrContext(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	for range c.Watch(t.Context(), client.WatchOptions{}) {
		break
	}
	eventually(t, "the frontend has no watcher", func() bool { return len(g.Frontends[0].Watches()) == 0 })
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		for u, err := range c.Watch(ctx, client.WatchOptions{}) {
			if err != nil {
				t.Errorf("got %v; want no error when the context ends", err)
			}
			if u.Kind == client.UpdateSnapshot {
				cancel()
			}
		}
		cancel()
	}
}

func TestResponseThatIsNoEventStreamIsALoss(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, "welcome to the wireless network")
	}))
	defer s.Close()
	a := startWatch(t, newClient(t, withPatience(client.Options{}), s.URL), client.WatchOptions{})
	if u := a.await(t, client.UpdateLost, 1); !strings.Contains(u.Err.Error(), "want a stream of events") {
		t.Errorf("got %v", u.Err)
	}
}

// A frontend that is busier than the others redirects watches for as long as it is, and
// the client cannot reach every frontend that it is sent to.
func TestAWatchWhoseRedirectLeadsNowhereStays(t *testing.T) {
	t.Parallel()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer refuses.Close()
	for what, to := range map[string]string{"nobody": nobody, "a frontend without room": refuses.URL} {
		busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/v1/watch":
				http.NotFound(w, r)
			case r.URL.Query().Get("moved") == "":
				http.Redirect(w, r, to+"/v1/watch?moved=1", http.StatusTemporaryRedirect)
			default:
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, "event: snapshot\ndata: {}\n\n")
			}
		}))
		defer busy.Close()
		a := startWatch(t, newClient(t, client.Options{}, busy.URL), client.WatchOptions{})
		if u := a.await(t, client.UpdateConnected, 1); u.Frontend != busy.URL {
			t.Errorf("redirected to %s: connected to %s; want where it came from", what, u.Frontend)
		}
		a.cancel()
	}
}

func TestAnEventOfAnUndefinedContestSendsNobodyASnapshot(t *testing.T) {
	t.Parallel()
	_, c := group(t, 2, client.Options{})
	post(t, c, curling()...)
	alert := score.Event{Type: score.TypeAlert, ContestID: "OG50BC/NOPE", Data: &score.Alert{Text: "hello"}}
	award := score.Event{Type: score.TypeMedalAward, ContestID: "OG50BC/NOPE",
		Data: &score.MedalAward{AwardID: "1", Medal: "GOLD", Organisation: "GAU"}}
	for _, w := range []client.WatchOptions{{}, {Now: true}, {Competitions: []string{"OG50BC"}}} {
		a := startWatch(t, c, w)
		a.await(t, client.UpdateSnapshot, 1)
		post(t, c, alert)
		post(t, c, alert)
		award.Data.(*score.MedalAward).AwardID += "1"
		post(t, c, award)
		post(t, c, play())
		a.await(t, client.UpdateScore, 1)
		all := a.updates(client.UpdateSnapshot, client.UpdateScore, client.UpdateMedals, client.UpdateRemoved)
		if len(all) != 3 || all[1].Kind != client.UpdateMedals {
			t.Errorf("a watch of %+v got %d updates; want a snapshot, the medals and the play", w, len(all))
		}
	}
}

func TestASnapshotHasTheMedalTableOfACompetitionWithoutContests(t *testing.T) {
	t.Parallel()
	_, c := group(t, 1, client.Options{})
	award := func(id string) score.Event {
		return score.Event{Type: score.TypeMedalAward, ContestID: "ASG26/JUD-M60",
			Data: &score.MedalAward{AwardID: id, Medal: "GOLD", Organisation: "GAU"}}
	}
	post(t, c, award("1"))
	for i, w := range []client.WatchOptions{{}, {Now: true}} {
		a := startWatch(t, c, w)
		u := a.await(t, client.UpdateSnapshot, 1)
		if len(u.Medals) != 1 || u.Medals[0].Competition != "ASG26" || u.Medals[0].Rows[0].Gold != i+1 {
			t.Errorf("a watch of %+v begins with %+v; want the table", w, u.Medals)
		}
		post(t, c, award(fmt.Sprint("next", i)))
		if u := a.await(t, client.UpdateMedals, 1); u.Medals[0].Rows[0].Gold != i+2 {
			t.Errorf("a watch of %+v got %+v; want the next medal", w, u.Medals)
		}
	}
}

func TestAWatchOfManyContestsBeginsInParts(t *testing.T) {
	t.Parallel()
	const contests = 3000
	_, c := group(t, 1, client.Options{})
	define := curling()[0]
	for i := 0; i < contests; i += 500 {
		var events []score.Event
		for j := range 500 {
			define.ContestID = fmt.Sprintf("OG50BC/M%05d", i+j)
			events = append(events, define)
		}
		post(t, c, events...)
	}
	status := curling()[1]
	status.ContestID = define.ContestID
	post(t, c, status)
	all, now := startWatch(t, c, client.WatchOptions{}), startWatch(t, c, client.WatchOptions{Now: true})
	seen, parts := map[string]bool{}, 0
	all.await(t, client.UpdateHeartbeat, 1)
	for _, u := range all.updates(client.UpdateSnapshot) {
		for _, r := range u.Scores {
			seen[r.ContestID] = true
		}
		parts++
	}
	if len(seen) != contests || parts < 4 {
		t.Errorf("%d parts have %d contests; want %d in some", parts, len(seen), contests)
	}
	first := now.await(t, client.UpdateSnapshot, 1)
	want := score.Sections{Live: 1, Next: contests - 1}
	live := slices.ContainsFunc(first.Scores, func(r score.Record) bool { return r.ContestID == define.ContestID })
	if len(first.Scores) > 51 || !live || first.More || first.Sections == nil || *first.Sections != want {
		t.Errorf("now begins with %d contests of %+v; want the live one and 50 of the next", len(first.Scores), first.Sections)
	}
	other := curling()[1]
	other.ContestID = "OG50BC/M02000" // which the watch did not begin with
	post(t, c, other)
	if u := now.await(t, client.UpdateScore, 1); u.Scores[0].ContestID != other.ContestID {
		t.Errorf("got %+v; want the contest that is live now", u.Scores)
	}
}

// What a watch of Now begins with again is a selection: a contest that is not in it may exist.
func TestContestsThatASelectionDoesNotHaveAreDroppedAndNotRemoved(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		w                client.WatchOptions
		removed, dropped []string
	}{
		{client.WatchOptions{}, []string{"C/2", "C/3"}, nil},
		{client.WatchOptions{Now: true}, nil, []string{"C/2", "C/3"}},
		{client.WatchOptions{Now: true, Contests: []string{"C/3"}}, []string{"C/3"}, []string{"C/2"}},
	} {
		var streams atomic.Int32
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/watch" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			scores := `{"contest_id":"C/1","revision":5}`
			if streams.Add(1) == 1 {
				scores += `,{"contest_id":"C/2","revision":6},{"contest_id":"C/3","revision":7}`
			}
			fmt.Fprintf(w, "retry: 1\n\nevent: snapshot\ndata: {\"incarnation\":\"a\",\"revision\":9,\"scores\":[%s]}\nid: a-9\n\n", scores)
		}))
		defer s.Close()
		a := startWatch(t, newClient(t, withPatience(client.Options{}), s.URL), x.w)
		a.await(t, client.UpdateSnapshot, 2)
		a.cancel()
		u := a.updates(client.UpdateSnapshot)[1]
		if !slices.Equal(u.Removed, x.removed) || !slices.Equal(u.Dropped, x.dropped) {
			t.Errorf("a watch of %+v: removed %q, dropped %q; want %q and %q", x.w, u.Removed, u.Dropped, x.removed, x.dropped)
		}
	}
}
