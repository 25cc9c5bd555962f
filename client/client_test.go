package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/score/mark"
	"laurel/trust/access"
)

const contest = "OG50BC/CUR-M-GPA-01"

// nobody is a URL at which nothing listens: no program is given this port by the system.
const nobody = "http://127.0.0.1:1"

// group starts a group of n frontends, and a client that is given the URL of the first one.
// It gives up an attempt much earlier than a stream.
func group(t *testing.T, n int, o client.Options) (*testgroup.Group, *client.Client) {
	t.Helper()
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, 5*time.Second)
	g := testgroup.Start(t, n)
	return g, newClient(t, o, g.Frontends[0].URL)
}

// patience is how long a call may take, for the machine may be busy.
const patience = 2 * time.Minute

func newClient(t *testing.T, o client.Options, urls ...string) *client.Client {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, patience)
	create := client.New
	if o.AttemptTimeout == patience/4 && o.Transport == nil {
		create = client.NewPatient
	}
	c, err := create(urls, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// withPatience returns o for a client that makes no other attempt because the machine is busy.
func withPatience(o client.Options) client.Options {
	o.AttemptTimeout = patience / 4
	return o
}

// learn makes the client learn the whole group.
func learn(t *testing.T, c *client.Client) {
	t.Helper()
	if _, err := c.Frontends(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.WaitForRefresh() // a refresh under way would meet the faults that the test injects
}

func alert(text string) score.Event {
	return score.Event{Type: score.TypeAlert, ContestID: contest, Data: &score.Alert{Text: text}}
}

func curling() []score.Event {
	two := mark.Points(2)
	return []score.Event{
		{Type: score.TypeContestDefine, ContestID: contest, Data: &score.ContestDefine{
			Kind: score.HeadToHead, Sport: "stone-curling", Title: "GAU vs ROM",
			Competitors: []score.Entrant{{Code: "GAU", Name: "Gaul"}, {Code: "ROM", Name: "Rome"}},
		}},
		{Type: score.TypeContestStatus, ContestID: contest, Data: &score.ContestStatus{
			ScheduleStatus: score.Running, ResultStatus: "LIVE", Period: "END1",
		}},
		{Type: score.TypeScorePlay, ContestID: contest, Data: &score.ScorePlay{Competitor: "GAU", Delta: &two}},
	}
}

// always injects a fault into every request of one frontend.
func always(id string, fault testgroup.Fault) testgroup.Injector {
	return func(f *testgroup.Frontend, _ *http.Request, _ *score.Event) testgroup.Fault {
		if f.ID == id {
			return fault
		}
		return testgroup.None
	}
}

func wantProblem(t *testing.T, err error, code score.Code) *score.Problem {
	t.Helper()
	p, ok := errors.AsType[*score.Problem](err)
	if !ok || p.Code != code {
		t.Fatalf("got %v; want a problem %s", err, code)
	}
	return p
}

func TestReadGoesToAnotherFrontendWhenOneFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]testgroup.Fault{
		"503":               testgroup.Unavailable,
		"broken connection": testgroup.CutBefore,
		"no answer":         testgroup.Hang,
	} {
		t.Run(name, func(t *testing.T) {
			g, c := group(t, 3, client.Options{AttemptTimeout: 2 * time.Second})
			if _, err := c.Post(t.Context(), curling()); err != nil {
				t.Fatal(err)
			}
			learn(t, c)
			g.Inject(always("f1", fault))
			r, err := c.Score(t.Context(), contest)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Competitors[0]; got.Code != "GAU" || *got.Result != mark.Points(2) {
				t.Errorf("leading is %s with %s; want GAU with 2", got.Code, got.Result)
			}
		})
	}
}

func TestListOfFrontendsIsLearnedDuringTheFirstCall(t *testing.T) {
	t.Parallel()
	g, c := group(t, 3, client.Options{})
	if _, err := c.Post(t.Context(), curling()); err != nil {
		t.Fatal(err)
	}
	c.WaitForRefresh()
	g.Frontends[0].Detach()
	if _, err := c.Score(t.Context(), contest); err != nil {
		t.Errorf("after the only given frontend is gone: %v", err)
	}
}

func TestPostWhoseAnswerIsLostCountsOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d frontends", n), func(t *testing.T) {
			g, c := group(t, n, client.Options{})
			var cuts atomic.Int32
			g.Inject(func(_ *testgroup.Frontend, _ *http.Request, e *score.Event) testgroup.Fault {
				// What is refused while a busy machine has no master is not applied.
				if e != nil && (cuts.Add(1) <= 2 || len(g.Events(contest)) == 0) {
					return testgroup.CutAfter
				}
				return testgroup.None
			})
			events := []score.Event{alert("hail")}
			results, err := c.Post(t.Context(), events)
			if err != nil {
				t.Fatal(err)
			}
			if results[0].Status != score.Duplicate || results[0].Revision != 1 || results[0].ID != events[0].ID {
				t.Errorf("got %+v; want the first post as a duplicate, under the event's id %q",
					results[0], events[0].ID)
			}
			if got := len(g.Events(contest)); got != 1 {
				t.Errorf("%d events were applied; want 1", got)
			}
		})
	}
}

func TestPostOfSeveralIsAllOrNone(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	events := curling()
	events[2].Data.(*score.ScorePlay).Competitor = "EGY"
	_, err := c.Post(t.Context(), events)
	p := wantProblem(t, err, score.InvalidEvent)
	if p.Index == nil || *p.Index != 2 || p.ID != events[2].ID {
		t.Errorf("the problem is about %v %q; want event 2, %q", p.Index, p.ID, events[2].ID)
	}
	if got := len(g.Events(contest)); got != 0 {
		t.Errorf("%d events were applied; want none", got)
	}
}

func TestRefusedPostIsNotRepeated(t *testing.T) {
	var posts atomic.Int32
	c, err := newTransportClient(func(r *http.Request) (int, io.ReadCloser, error) {
		if r.Method == http.MethodPost {
			posts.Add(1)
		}
		return 404, io.NopCloser(strings.NewReader(`{"status":404,"code":"not_found"}`)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Post(t.Context(), curling()[2:])
	wantProblem(t, err, score.NotFound)
	if n := posts.Load(); n != 1 {
		t.Errorf("sent %d posts; want one", n)
	}
}

func TestBusyGroupIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	g, c := group(t, 1, client.Options{})
	var n atomic.Int32
	g.Inject(func(*testgroup.Frontend, *http.Request, *score.Event) testgroup.Fault {
		if n.Add(1) <= 2 {
			return testgroup.Busy
		}
		return testgroup.None
	})
	if _, err := c.Post(t.Context(), []score.Event{alert("hail")}); err != nil {
		t.Fatal(err)
	}
}

func TestDeadlineEndsTheAttempts(t *testing.T) {
	noMaster := func(*http.Request) (int, io.ReadCloser, error) {
		return 503, io.NopCloser(strings.NewReader(`{"status":503,"code":"no_master"}`)), nil
	}
	broken := func(*http.Request) (int, io.ReadCloser, error) { return 0, nil, io.ErrUnexpectedEOF }
	hangs := func(r *http.Request) (int, io.ReadCloser, error) {
		<-r.Context().Done()
		return 0, nil, r.Context().Err()
	}
	read := func(ctx context.Context, c *client.Client) error { return second(c.Score(ctx, contest)) }
	post := func(ctx context.Context, c *client.Client) error {
		return second(c.Post(ctx, []score.Event{alert("hail")}))
	}
	for name, one := range map[string]struct {
		answer transport
		call   func(context.Context, *client.Client) error
		want   score.Code // "": an UnreachableError
	}{
		"the last problem of a group that cannot answer": {noMaster, read, score.NoMaster},
		"a post without an answer may be in":             {broken, post, score.OutcomeUnknown},
		"a read without an answer":                       {hangs, read, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, err := newTransportClient(one.answer)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begun := time.Now()
			err = one.call(t.Context(), c)
			took := time.Since(begun)
			if score.CodeOf(err) != one.want || errors.As(err, new(*client.UnreachableError)) != (one.want == "") {
				t.Errorf("%s: got %v", name, err)
			}
			if took < client.DefaultTimeout-time.Second || took > client.DefaultTimeout {
				t.Errorf("%s: ended after %s; want it at the deadline of %s", name, took, client.DefaultTimeout)
			}
		})
	}
}

func TestPostThatReachesNoFrontendIsUnreachable(t *testing.T) {
	c := newClient(t, client.Options{Timeout: 200 * time.Millisecond}, nobody)
	_, err := c.Post(t.Context(), []score.Event{alert("hail")})
	u, ok := errors.AsType[*client.UnreachableError](err)
	if !ok || len(u.Tried) != 1 || u.Tried[0] != nobody {
		t.Errorf("got %v; want an UnreachableError that names %s", err, nobody)
	}
}

func TestResponseThatIsNotLaurelsIsAProblem(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	c := newClient(t, client.Options{}, s.URL)
	_, err := c.Score(t.Context(), contest)
	if p := wantProblem(t, err, "http_404"); p.Status != 404 || !strings.Contains(p.Detail, "404 page not found") {
		t.Errorf("got %+v; want status 404 and what was said", p)
	}
}

func TestAllScoresReadsEveryPage(t *testing.T) {
	t.Parallel()
	_, c := group(t, 1, client.Options{})
	const n = 205
	var want []string
	for i := range n {
		e := curling()[:1]
		e[0].ContestID = fmt.Sprintf("OG50BC/%03d", i)
		want = append(want, e[0].ContestID)
		if _, err := c.Post(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for r, err := range c.AllScores(t.Context(), score.Filter{Competition: "OG50BC"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.ContestID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d contests; want %d, each once and in order", len(got), len(want))
	}
}

func TestLeaveWhoseAnswerWasLostSucceedsWhenTheMemberIsGone(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodDelete {
			http.NotFound(w, r)
			return
		}
		if r.URL.Path != "/v1/cluster/members/f3" || r.URL.Query().Get("force") != "true" {
			t.Errorf("got %s %s", r.Method, r.URL)
		}
		if calls.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(404)
		fmt.Fprint(w, `{"status":404,"code":"not_found","detail":"f3 is no member"}`)
	}))
	defer s.Close()
	c := newClient(t, withPatience(client.Options{}), s.URL)
	if _, err := c.Leave(t.Context(), "f3", true); err != nil {
		t.Errorf("after the lost answer: %v; want none", err)
	}
	if _, err := c.Leave(t.Context(), "f3", true); err == nil {
		t.Error("of a stranger: no error; want not_found")
	}
}

func TestChangesThatCannotBeMadeTwiceAreNotRepeated(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			calls.Add(1)
		}
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	c := newClient(t, withPatience(client.Options{}), s.URL)
	for name, change := range map[string]func() error{
		"a transfer to any":  func() error { return c.Transfer(t.Context(), "") },
		"a new authority":    func() error { return c.RotateAuthority(t.Context()) },
		"a token":            func() error { return second(c.Grant(t.Context(), access.GrantRequest{Name: "a"})) },
		"a token to join by": func() error { return second(c.NewJoinToken(t.Context(), 0, 1, access.Terms{})) },
	} {
		calls.Store(0)
		p := wantProblem(t, change(), score.OutcomeUnknown)
		if calls.Load() != 1 || !strings.Contains(p.Detail, "check the outcome") {
			t.Errorf("%s: sent %d times (%v); want once", name, calls.Load(), p)
		}
	}
}

func TestInvalidURLsAreRefused(t *testing.T) {
	for _, urls := range [][]string{nil, {""}, {"ftp://f1"}, {"http://"}, {"http://f1?x=1"}, {"http://f1:8001", "::"}} {
		if _, err := client.New(urls, client.Options{}); err == nil {
			t.Errorf("New(%q): no error", urls)
		}
	}
}
