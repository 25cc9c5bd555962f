package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
)

// noticeLog records the notices of a client.
type noticeLog struct {
	mu   sync.Mutex
	list []client.Notice
}

func (j *noticeLog) note(n client.Notice) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, n)
}

// kinds returns the kinds of the notices so far, with the frontends that they are about.
func (j *noticeLog) kinds(g *testgroup.Group) (list []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, n := range j.list {
		list = append(list, strings.TrimSpace(string(n.Kind)+" "+idOf(g, n.Frontend)))
	}
	return list
}

func idOf(g *testgroup.Group, url string) string {
	for _, f := range g.Frontends {
		if f.URL == url {
			return f.ID
		}
	}
	return url
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testgroup.Eventually(t, func() error {
		if !holds() {
			return errors.New("it is not so: " + what)
		}
		return nil
	})
}

// answeredBy makes a call and returns the id of the frontend that answered it.
func answeredBy(t *testing.T, g *testgroup.Group, c *client.Client) string {
	t.Helper()
	n := len(g.Requests())
	if _, err := c.Scores(t.Context(), score.Filter{}, client.Page{}); err != nil {
		t.Fatal(err)
	}
	asked := slices.DeleteFunc(g.Requests()[n:], func(r string) bool { return !strings.Contains(r, "/v1/scores") })
	return strings.Fields(asked[len(asked)-1])[1]
}

func TestHomeIsTheFrontendWithTheLeastLoadThatServes(t *testing.T) {
	t.Parallel()
	g := testgroup.Start(t, 4)
	g.Frontends[0].Report(score.Serving, 500, 1)
	g.Frontends[1].Report(score.Serving, 10, 900)
	g.Frontends[2].Report(score.Starting, 0, 0)
	g.Frontends[3].Report(score.Serving, 10, 100)
	for range 10 {
		c := newClient(t, client.Options{}, g.Frontends[0].URL)
		learn(t, c)
		if got := c.Home(); got != "f4" {
			t.Fatalf("home is %q; want f4, with as few watchers as f2 and fewer reads", got)
		}
		if got := answeredBy(t, g, c); got != "f4" {
			t.Fatalf("%s answered; want the home, f4", got)
		}
	}
}

func TestClientsThatStartTogetherChooseDifferentHomes(t *testing.T) {
	t.Parallel()
	g := testgroup.Start(t, 3)
	g.Frontends[1].Report(score.Serving, 8, 0)
	homes := map[string]int{}
	for range 60 {
		c := newClient(t, client.Options{}, g.Frontends[0].URL)
		learn(t, c)
		homes[c.Home()]++
	}
	if homes["f1"] < 5 || homes["f2"] < 5 || homes["f3"] < 5 {
		t.Errorf("homes are %v; want each of three equal frontends chosen by about 20", homes)
	}
}

func TestCallsFailOverToTheLeastLoadedStayThereAndReturnHome(t *testing.T) {
	t.Parallel()
	var j noticeLog
	g, c := group(t, 3, client.Options{Home: "f1", Refresh: 20 * time.Millisecond, Notify: j.note})
	g.Frontends[1].Report(score.Serving, 70, 0)
	learn(t, c)
	if got := answeredBy(t, g, c); got != "f1" {
		t.Fatalf("%s answered; want the home, f1", got)
	}
	g.Inject(always("f1", testgroup.Unavailable))
	for range 5 {
		if got := answeredBy(t, g, c); got != "f3" {
			t.Fatalf("%s answered while the home is away; want f3, which has fewer watchers than f2", got)
		}
	}
	g.Inject(nil)
	eventually(t, "the client is home again", func() bool { return answeredBy(t, g, c) == "f1" })
	got := j.kinds(g)
	for _, want := range []string{"attempt failed f1", "failed over f3", "went home f1"} {
		if !slices.Contains(got, want) {
			t.Errorf("notices are %q; want %q among them", got, want)
		}
	}
}

func TestCallsDoNotReturnToAHomeThatDoesNotServe(t *testing.T) {
	t.Parallel()
	g, c := group(t, 2, client.Options{Home: "f1", Refresh: 5 * time.Millisecond})
	learn(t, c)
	g.Inject(func(f *testgroup.Frontend, r *http.Request, _ *score.Event) testgroup.Fault {
		if f.ID == "f1" && r.URL.Path != "/v1/frontends" {
			return testgroup.Unavailable
		}
		return testgroup.None
	})
	g.Frontends[0].Report(score.Starting, 0, 0)
	answeredBy(t, g, c)
	count := func() (n int) {
		for _, r := range g.Requests() {
			if strings.HasPrefix(r, "GET f1 /v1/scores") {
				n++
			}
		}
		return n
	}
	before := count()
	asked := func() bool {
		answeredBy(t, g, c)
		n := 0
		for _, r := range g.Requests() {
			if r == "GET f1 /v1/frontends" {
				n++
			}
		}
		return n > 5
	}
	eventually(t, "the home was asked several times whether it is back", asked)
	if n := count(); n != before {
		t.Errorf("%d calls went to a home that does not serve", n-before)
	}
}

func TestEachAttemptIsReportedWithTheFrontendThatAnswered(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var list []string
	g, c := group(t, 2, client.Options{Home: "f1", Attempted: func(a client.Attempt) {
		mu.Lock()
		defer mu.Unlock()
		if a.Path == "/v1/scores" {
			failed, timed := a.Err != nil, a.Took > 0
			list = append(list, fmt.Sprint(a.Method, " ", a.Frontend, " ", a.Status, " ", failed, " ", timed))
		}
	}})
	learn(t, c)
	g.Inject(always("f1", testgroup.CutBefore))
	answeredBy(t, g, c)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"GET  0 true true", "GET f2 200 false true"}; !slices.Equal(list, want) {
		t.Errorf("got %q; want %q", list, want)
	}
}
