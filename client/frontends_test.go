package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

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

// listedGroup is the transport of a group f1, f2 and so on, in which every call succeeds
// unless the test says otherwise. Real frontends may be late on a busy machine, and then
// a client rightly goes elsewhere.
type listedGroup struct {
	mu      sync.Mutex
	list    []score.Frontend // as every frontend reports it
	refuses func(id, path string) bool
	asked   []string // such as "f1 /v1/scores"
}

// newListedGroup returns a group of n frontends, and a client that is given the URL of the
// first one. It is for virtual time.
func newListedGroup(t *testing.T, n int, o client.Options) (*listedGroup, *client.Client) {
	g := &listedGroup{refuses: func(string, string) bool { return false }}
	for i := range n {
		id := fmt.Sprintf("f%d", i+1)
		g.list = append(g.list, score.Frontend{ID: id, URL: "http://" + id, State: score.Serving})
	}
	return g, g.client(t, o)
}

func (g *listedGroup) client(t *testing.T, o client.Options) *client.Client {
	o.Transport = g
	c := newClient(t, o, "http://f1")
	learn(t, c)
	return c
}

func (g *listedGroup) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, path := r.URL.Host, r.URL.Path
	g.asked = append(g.asked, id+" "+path)
	w := httptest.NewRecorder()
	switch {
	case g.refuses(id, path):
		w.WriteHeader(http.StatusServiceUnavailable)
	case path == "/v1/frontends":
		_ = json.MarshalWrite(w, score.Frontends{Frontends: g.list})
	default:
		fmt.Fprint(w, "{}")
	}
	return w.Result(), nil
}

// change changes what the frontends answer.
func (g *listedGroup) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *listedGroup) count(asked string) (n int) {
	g.change(func() {
		for _, a := range g.asked {
			if a == asked {
				n++
			}
		}
	})
	return n
}

// answeredBy makes a call and returns the id of the frontend that answered it.
func (g *listedGroup) answeredBy(t *testing.T, c *client.Client) (id string) {
	t.Helper()
	if _, err := c.Scores(t.Context(), score.Filter{}, client.Page{}); err != nil {
		t.Fatal(err)
	}
	g.change(func() {
		for _, a := range g.asked {
			if f, ok := strings.CutSuffix(a, " /v1/scores"); ok {
				id = f
			}
		}
	})
	return id
}

// callUntil makes calls, a millisecond apart, until a condition holds.
func (g *listedGroup) callUntil(t *testing.T, c *client.Client, holds func(answeredBy string) bool) {
	t.Helper()
	for range 10_000 {
		if holds(g.answeredBy(t, c)) {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("not so after 10 s; asked %q", g.asked[max(0, len(g.asked)-20):])
}

func TestHomeIsTheFrontendWithTheLeastLoadThatServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newListedGroup(t, 4, client.Options{})
		g.list[0].Watchers, g.list[0].Reads = 500, 1
		g.list[1].Watchers, g.list[1].Reads = 10, 900
		g.list[2].State = score.Starting
		g.list[3].Watchers, g.list[3].Reads = 10, 100
		for range 10 {
			c := g.client(t, client.Options{})
			if got := c.Home(); got != "f4" {
				t.Fatalf("home is %q; want f4, with as few watchers as f2 and fewer reads", got)
			}
			if got := g.answeredBy(t, c); got != "f4" {
				t.Fatalf("%s answered; want the home, f4", got)
			}
		}
	})
}

func TestClientsThatStartTogetherChooseDifferentHomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newListedGroup(t, 3, client.Options{})
		g.list[1].Watchers = 8
		homes := map[string]int{}
		for range 60 {
			homes[g.client(t, client.Options{}).Home()]++
		}
		if homes["f1"] < 5 || homes["f2"] < 5 || homes["f3"] < 5 {
			t.Errorf("homes are %v; want each of three equal frontends chosen by about 20", homes)
		}
	})
}

func TestCallsFailOverToTheLeastLoadedStayThereAndReturnHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j noticeLog
		g, c := newListedGroup(t, 3, client.Options{Home: "f1", Refresh: 20 * time.Millisecond, Notify: j.note})
		g.change(func() { g.list[1].Watchers = 70 })
		learn(t, c)
		if got := g.answeredBy(t, c); got != "f1" {
			t.Fatalf("%s answered; want the home, f1", got)
		}
		g.change(func() { g.refuses = func(id, _ string) bool { return id == "f1" } })
		for range 5 {
			if got := g.answeredBy(t, c); got != "f3" {
				t.Fatalf("%s answered while the home is away; want f3, which has fewer watchers than f2", got)
			}
		}
		g.change(func() { g.refuses = func(string, string) bool { return false } })
		g.callUntil(t, c, func(by string) bool { return by == "f1" })
		got := j.kinds(&testgroup.Group{})
		for _, want := range []string{"attempt failed http://f1", "failed over http://f3", "went home http://f1"} {
			if !slices.Contains(got, want) {
				t.Errorf("notices are %q; want %q among them", got, want)
			}
		}
	})
}

func TestCallsDoNotReturnToAHomeThatDoesNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c := newListedGroup(t, 2, client.Options{Home: "f1", Refresh: 5 * time.Millisecond})
		g.change(func() {
			g.refuses = func(id, path string) bool { return id == "f1" && path != "/v1/frontends" }
			g.list[0].State = score.Starting
		})
		g.answeredBy(t, c)
		calls, lists := g.count("f1 /v1/scores"), g.count("f1 /v1/frontends")
		g.callUntil(t, c, func(string) bool { return g.count("f1 /v1/frontends") > lists+5 })
		if n := g.count("f1 /v1/scores"); n != calls {
			t.Errorf("%d calls went to a home that does not serve", n-calls)
		}
		g.change(func() {
			g.refuses = func(string, string) bool { return false }
			g.list[0].State = score.Serving
		})
		g.callUntil(t, c, func(by string) bool { return by == "f1" })
	})
}

func TestEachAttemptIsReportedWithTheFrontendThatAnswered(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var list []string
	g, c := group(t, 2, withPatience(client.Options{Home: "f1", Attempted: func(a client.Attempt) {
		mu.Lock()
		defer mu.Unlock()
		if a.Path == "/v1/scores" {
			failed, timed := a.Err != nil, a.Took > 0
			list = append(list, fmt.Sprint(a.Method, " ", a.Frontend, " ", a.Status, " ", failed, " ", timed))
		}
	}}))
	learn(t, c)
	g.Inject(always("f1", testgroup.CutBefore))
	answeredBy(t, g, c)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"GET  0 true true", "GET f2 200 false true"}; !slices.Equal(list, want) {
		t.Errorf("got %q; want %q", list, want)
	}
}
