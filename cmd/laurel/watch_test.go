package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/score/mark"
)

// running is a laurel command in a goroutine of its own.
type running struct {
	out, errs output
	end       context.CancelFunc
	code      chan int
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{end: cancel, code: make(chan int, 1)}
	c := newLaurelCommand()
	c.SetArgs(args)
	c.SetOut(&r.out)
	c.SetErr(&r.errs)
	go func() { r.code <- cli.Run(ctx, c) }()
	t.Cleanup(cancel)
	return r
}

// interrupt ends the command as Ctrl-C does, and returns its exit code.
func (r *running) interrupt(t *testing.T) (code int) {
	t.Helper()
	r.end()
	select {
	case code = <-r.code:
	case <-time.After(patience):
		t.Fatal("the command does not end")
	}
	return code
}

func (o *output) awaitText(t *testing.T, what string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !strings.Contains(o.String(), what); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("got %q; want %q", o.String(), what)
		}
	}
}

// openGames starts frontends with a running contest.
func openGames(t *testing.T, n int) (*testgroup.Group, *client.Client) {
	t.Helper()
	g := testgroup.Start(t, n)
	c, err := client.New(g.URLs(), client.Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	tell(t, c, score.Event{Type: score.TypeContestDefine,
		Data: &score.ContestDefine{Kind: score.HeadToHead, Sport: "stone-curling",
			Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}}}},
		score.Event{Type: score.TypeContestStatus,
			Data: &score.ContestStatus{ScheduleStatus: score.Running, ResultStatus: "LIVE"}})
	return g, c
}

func tell(t *testing.T, c *client.Client, events ...score.Event) {
	t.Helper()
	for i := range events {
		events[i].ContestID = aContest
	}
	if _, err := c.Post(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func goal() score.Event {
	one := mark.Points(1)
	return score.Event{Type: score.TypeScorePlay, Data: &score.ScorePlay{Competitor: "GAU", Delta: &one}}
}

func TestWatchPrintsChangesWhenAFrontendDies(t *testing.T) {
	t.Parallel()
	g, c := openGames(t, 2)
	w := start(t, "watch", aContest, "--home", "f1", "--to", strings.Join(g.URLs(), ","))
	w.out.awaitText(t, "2  "+aContest+"  GAU 0, ROM 0  RUNNING LIVE\n")
	tell(t, c, goal())
	w.out.awaitText(t, "3  "+aContest+"  GAU 1, ROM 0  RUNNING LIVE\n")
	testgroup.Eventually(t, func() error { // it begins elsewhere if its home is late, and is sent home then
		if len(g.Frontends[0].Watches()) == 0 {
			return errors.New("the watch is not at its home")
		}
		return nil
	})
	g.Frontends[0].Detach()
	w.errs.awaitText(t, "reconnecting in ")
	tell(t, c, goal())
	w.out.awaitText(t, "4  "+aContest+"  GAU 2, ROM 0  RUNNING LIVE\n")
	w.errs.awaitText(t, "(home f1)")
	if code := w.interrupt(t); code != cli.ExitOK {
		t.Errorf("exit code %d after Ctrl-C, stderr %q; want %d", code, w.errs.String(), cli.ExitOK)
	}
	if n := strings.Count(w.out.String(), "\n"); n != 3 {
		t.Errorf("got %q; want three lines", w.out.String())
	}
}

func TestWatchSendsTheRequestOfItsArguments(t *testing.T) {
	t.Parallel()
	g, _ := openGames(t, 1)
	w := start(t, "watch", "A/1", "A/2", "--competition", "B,C", "--medals", "D", "--timeline", "E/1",
		"--timeline", "E/2", "--home", "f1", "--json", "--to", g.Frontends[0].URL)
	w.out.awaitText(t, `{"event":"connected","data":{`)
	w.out.awaitText(t, `{"event":"heartbeat","data":{`)
	w.interrupt(t)
	want := "GET f1 /v1/watch?competition=B&competition=C&contest=A%2F1&contest=A%2F2&home=f1&medals=D&timeline=E%2F1&timeline=E%2F2"
	if got := g.Requests(); !slices.Contains(got, want) { // the list of frontends may be read at any time
		t.Errorf("asked %q; want %q", got, want)
	}
}

func TestWatchTellsThatAContestIsGone(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--competition", "D28"}, {"D28/1"}, {}} {
		g := testgroup.Start(t, 1)
		c, err := client.New(g.URLs(), client.Options{Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		post := func(e score.Event) {
			t.Helper()
			e.ContestID = "D28/1"
			if _, err := c.Post(t.Context(), []score.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
		define := score.Event{ID: "d28def", Type: score.TypeContestDefine,
			Data: &score.ContestDefine{Kind: score.HeadToHead, Sport: "x", Title: "Gone soon",
				Competitors: []score.Entrant{{Code: "A"}, {Code: "B"}}}}
		post(define)
		to := []string{"--to", g.URLs()[0]}
		plain := start(t, append(append([]string{"watch"}, args...), to...)...)
		asJSON := start(t, append(append([]string{"watch", "--json"}, args...), to...)...)
		plain.out.awaitText(t, "1  D28/1  A, B  SCHEDULED")
		asJSON.out.awaitText(t, `{"event":"score","data":{"contest_id":"D28/1",`)
		post(score.Event{Type: score.TypeEventVoid, Data: &score.EventVoid{Voids: "d28def", Reason: "correction"}})
		plain.out.awaitText(t, "\nD28/1  removed\n")
		asJSON.out.awaitText(t, "\n"+`{"event":"removed","data":{"contest_id":"D28/1"}}`+"\n")
		define.ID = "d28def2"
		post(define)
		plain.out.awaitText(t, "\n3  D28/1  A, B  SCHEDULED")
		plain.interrupt(t)
		asJSON.interrupt(t)
	}
}

func TestWatchBeginsWithWhatIsLiveAndNextOfManyContests(t *testing.T) {
	t.Parallel()
	g, c := openGames(t, 1)
	const contests = 2000
	for i := 0; i < contests; i += 500 {
		var events []score.Event
		for j := range 500 {
			events = append(events, score.Event{Type: score.TypeContestDefine, ContestID: fmt.Sprintf("A/%04d", i+j),
				Data: &score.ContestDefine{Kind: score.HeadToHead, Sport: "chess"}})
		}
		if _, err := c.Post(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, "watch", "--to", g.URLs()[0])
	w.out.awaitText(t, "2  "+aContest+"  GAU 0, ROM 0  RUNNING LIVE\n")
	w.out.awaitText(t, "  A/0049  ")
	if n := strings.Count(w.out.String(), "\n"); n != 51 {
		t.Errorf("the watch begins with %d lines; want the live contest and 50 of the next", n)
	}
	tell(t, c, goal())
	w.out.awaitText(t, "GAU 1, ROM 0  RUNNING LIVE\n")
	w.interrupt(t)
	all := start(t, "watch", "--all", "--to", g.URLs()[0])
	all.out.awaitText(t, "  A/1999  ")
	all.out.awaitText(t, aContest+"  GAU 1")
	all.interrupt(t)
	if n := strings.Count(all.out.String(), "SCHEDULED"); n != contests {
		t.Errorf("the watch of all begins with %d contests that are next; want %d", n, contests)
	}
	if bad := start(t, "watch", "--all", aContest, "--to", g.URLs()[0]); <-bad.code != cli.ExitUsage {
		t.Error("--all goes with a contest")
	}
}

func TestWatchFollowsAWindowOfALeaderboard(t *testing.T) {
	g, c := openGames(t, 1)
	race := func(events ...score.Event) {
		t.Helper()
		for i := range events {
			events[i].ContestID = aRace
		}
		if _, err := c.Post(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	mark := func(competitor string, seconds int64) score.Event {
		d := mark.Points(seconds)
		return score.Event{Type: score.TypeResultSet,
			Data: &score.ResultSet{Competitor: competitor, Split: "10km", Mark: new(mark.Number(d)), Category: "W"}}
	}
	race(score.Event{Type: score.TypeContestDefine,
		Data: &score.ContestDefine{Kind: score.Ranked, Sport: "marathon", ResultType: "TIME",
			Splits: []string{"10km", "finish"}}},
		score.Event{Type: score.TypeContestStatus,
			Data: &score.ContestStatus{ScheduleStatus: score.Running, ResultStatus: "LIVE"}},
		mark("7", 2000), mark("8", 2100), mark("9", 2200))
	w := start(t, "watch", "--leaderboard", aRace, "--split", "10km", "--category", "W", "--around", "9",
		"--limit", "2", "--to", g.Frontends[0].URL)
	w.out.awaitText(t, "7  "+aRace+"  leaderboard  2 8 35:00, 3 9 36:40, of 3\n")
	race(mark("9", 2050))
	w.out.awaitText(t, "8  "+aRace+"  leaderboard  2 9 34:10, 3 8 35:00, of 3\n")
	w.interrupt(t)
	want := "GET f1 /v1/watch?around=9&category=W&home=f1&leaderboard=OG50BC%2FATH-M-MAR&limit=2&split=10km"
	if got := g.Requests(); !slices.Contains(got, want) {
		t.Errorf("asked %q; want %q", got, want)
	}
	if code, _, errs, _ := run(t, answers(""), "watch", aContest, "--around", "9",
		"--to", g.Frontends[0].URL); code != cli.ExitUsage || !strings.Contains(errs, "--leaderboard") {
		t.Errorf("without a leaderboard the exit code is %d, stderr %q", code, errs)
	}
}

func TestWatchGivesUpIfItReachesNoFrontend(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	code, _, errs, _ := run(t, answers(""), "watch", "--to", s.URL, "--patience", "300ms")
	if code != cli.ExitUnreachable || !strings.Contains(errs, s.URL) {
		t.Errorf("exit code %d, stderr %q; want %d and the URL", code, errs, cli.ExitUnreachable)
	}
}

func TestAWatchThatIsRefusedIsNotUnreachable(t *testing.T) {
	code, _, errs, _ := run(t, answersProblem(503, "not_ready", "no place"), "watch", "--patience", "2s")
	if code != cli.ExitFailed || errs != "laurel: not_ready: no place\n" && !strings.HasSuffix(errs, "\nlaurel: not_ready: no place\n") {
		t.Errorf("exit code %d, stderr %q; want %d and why", code, errs, cli.ExitFailed)
	}
}

func TestClientReportsHowSpectatorsWereServed(t *testing.T) {
	t.Setenv("LAUREL_RUN_DIR", t.TempDir())
	g, _ := openGames(t, 2)
	c := start(t, strings.Fields("client --count 10 --rate 50 --watch --verbose --to "+strings.Join(g.URLs(), ","))...)
	c.out.awaitText(t, "1 s  ")
	testgroup.Eventually(t, func() error {
		if n := len(g.Frontends[0].Watches()) + len(g.Frontends[1].Watches()); n < 10 {
			return fmt.Errorf("%d spectators watch", n)
		}
		return nil
	})
	c.errs.awaitText(t, "chose a home: http://")
	if code := c.interrupt(t); code != cli.ExitOK {
		t.Fatalf("exit code %d, stderr %q", code, c.errs.String())
	}
	for _, want := range []string{"10 spectators, contests running: 1", "1 s  ", "failed 0, older than seen before 0",
		"streams opened 10, lost 0", "served by", "f1", "f2", "all"} {
		if !strings.Contains(c.out.String(), want) {
			t.Errorf("got\n%s\nwant %q", c.out.String(), want)
		}
	}
}

func TestClientRefusesInvalidFlags(t *testing.T) {
	for _, line := range []string{"client --count 0", "client --rate -1", "client --rate 0", "client --rate NaN",
		"client --scores 2", "client --zipf 1", "client --duration -1s", "client x", "client --to ftp://x"} {
		if code, _, errs, asked := run(t, answers("{}"), strings.Fields(line)...); code != cli.ExitUsage ||
			len(asked) > 0 {
			t.Errorf("laurel %s: exit code %d, asked %q, stderr %q; want wrong usage", line, code, asked, errs)
		}
	}
}

// homeWatcher watches a group at its home.
type homeWatcher struct {
	home string      // its URL
	late atomic.Bool // the home did not answer in time, or sent the client elsewhere
}

func (h *homeWatcher) notify(n client.Notice) {
	switch {
	case n.Frontend == h.home && (n.Kind == client.NoticeFailed || n.Kind == client.NoticeRefused),
		n.From == h.home && n.Kind == client.NoticeRedirected:
		h.late.Store(true)
	}
}

// watch returns a watch that is connected to the home first. It begins again if the home was
// late, as it may be on a busy machine.
func (h *homeWatcher) watch(
	ctx context.Context, c *client.Client, o client.WatchOptions,
) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		for began := false; !began; {
			for u, err := range c.Watch(ctx, o) {
				if err == nil && !began && u.Kind == client.UpdateConnected && u.Frontend != h.home {
					if h.late.Swap(false) {
						break
					}
					err = fmt.Errorf("connected to %s; want the home, %s", u.Frontend, h.home)
				}
				began = began || err != nil || u.Kind == client.UpdateConnected
				if began && !yield(u, err) {
					return
				}
			}
		}
	}
}

func TestAWatchReceivesEveryEventOnceWhenAFrontendDies(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aDefine, aStatus)
	h := &homeWatcher{home: all[2].URL}
	c, err := client.New([]string{all[0].URL}, client.Options{Home: "f3", Notify: h.notify, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	testgroup.Eventually(t, func() error {
		group, err := c.Frontends(t.Context())
		for _, f := range group.Frontends {
			if f.ID == "f3" && f.URL == all[2].URL && f.State == score.Serving {
				return nil
			}
		}
		return fmt.Errorf("f3 does not serve: %+v, %v", group, err)
	})
	const plays = 60
	var posting sync.WaitGroup
	defer posting.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var next uint64 = 1 // the next event
	var latest uint64   // the last revision of the contest
	posted, lost := false, 0
	o := client.WatchOptions{Contests: []string{aContest}, Timelines: []string{aContest}}
	for u, err := range h.watch(ctx, c, o) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range u.Timeline {
			if e.Revision != next {
				t.Fatalf("event %d came; want %d", e.Revision, next)
			}
			next++
		}
		for _, r := range u.Scores {
			if r.Revision <= latest {
				t.Fatalf("the contest went from revision %d to %d", latest, r.Revision)
			}
			latest = r.Revision
		}
		if u.Kind == client.UpdateLost {
			lost++
		}
		if u.Kind == client.UpdateSnapshot && !posted {
			posted = true
			posting.Go(func() {
				for i := range plays {
					if i == plays/2 {
						all[2].Kill()
					}
					e := goal()
					e.ContestID = aContest
					if _, err := c.Post(ctx, []score.Event{e}); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
		}
		if next > plays+2 && latest == plays+2 && lost > 0 {
			return
		}
	}
	t.Fatalf("told up to event %d and revision %d, lost %d times; want %d of both", next-1, latest, lost, plays+2)
}
