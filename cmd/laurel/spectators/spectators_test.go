package spectators

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
)

// patience bounds every wait.
const patience = time.Minute

// games starts frontends with contests, all but the last of which are running.
func games(t *testing.T, frontends, contests int) *testgroup.Group {
	t.Helper()
	g := testgroup.Start(t, frontends)
	c, err := client.New(g.URLs(), client.Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range contests {
		id := fmt.Sprintf("OG50BC/%d", i)
		status := score.Running
		if i == contests-1 {
			status = "SCHEDULED"
		}
		_, err := c.Post(t.Context(), []score.Event{
			{Type: score.TypeContestDefine, ContestID: id,
				Data: &score.ContestDefine{Kind: score.HeadToHead, Sport: "stone-curling"}},
			{Type: score.TypeContestStatus, ContestID: id,
				Data: &score.ContestStatus{ScheduleStatus: status, ResultStatus: "LIVE"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// buffer is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// stage is the transport of three frontends with contests, of which OG50BC/4 is not running. It
// needs no time, so spectators can run in virtual time.
type stage struct {
	mu    sync.Mutex
	asked []string // such as "f1 /v1/scores/OG50BC/1"
}

func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Host+" "+r.URL.RequestURI())
	s.mu.Unlock()
	w := httptest.NewRecorder()
	w.Header().Set("Laurel-Frontend", r.URL.Host)
	var list client.Scores
	for i := range 5 {
		if r.URL.Query().Get("status") == "" || i < 4 {
			list.Scores = append(list.Scores, score.Record{ContestID: fmt.Sprintf("OG50BC/%d", i)})
		}
	}
	var answer any = score.Record{Revision: 1}
	switch r.URL.Path {
	case "/v1/scores":
		answer = list
	case "/v1/frontends":
		var g score.Frontends
		for _, id := range []string{"f1", "f2", "f3"} {
			g.Frontends = append(g.Frontends, score.Frontend{ID: id, URL: "http://" + id, State: score.Serving})
		}
		answer = g
	}
	if err := json.MarshalWrite(w, answer); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func TestSpectatorsReadAtTheRateAndInTheMixOfTheOptions(t *testing.T) {
	var asked []string
	var out buffer
	synctest.Test(t, func(t *testing.T) {
		s := new(stage)
		err := Run(t.Context(), Options{URLs: []string{"http://f1", "http://f2", "http://f3"}, Count: 50, Rate: 20,
			Duration: 2 * time.Second, ScoreShare: 0.8, Client: client.Options{Transport: s}, Out: &out})
		if err != nil {
			t.Fatal(err)
		}
		asked = s.asked
	})
	n := map[string]int{}
	by := map[string]int{}
	for _, r := range asked {
		f, path, _ := strings.Cut(r, " ")
		switch {
		case strings.HasPrefix(path, "/v1/scores/"):
			n["score"]++
		case strings.HasPrefix(path, "/v1/medals/"):
			n["medals"]++
		case strings.HasPrefix(path, "/v1/scores?competition"):
			n["list"]++
		default:
			continue
		}
		by[f]++
		if path == "/v1/scores/OG50BC/4" {
			t.Error("a contest that is not running was read")
		}
	}
	total := n["score"] + n["medals"] + n["list"]
	if total < 1500 || total > 2200 {
		t.Errorf("%d reads; want about 2,000", total)
	}
	if part := float64(n["score"]) / float64(total); part < 0.75 || part > 0.85 || n["medals"] == 0 {
		t.Errorf("reads are %v; want 80 %% scores", n)
	}
	if by["f1"] == 0 || by["f2"] == 0 || by["f3"] == 0 {
		t.Errorf("served by %v; want all three", by)
	}
	text := out.String()
	for _, want := range []string{`50 spectators, contests running: 4`, `(?m)^ +\d+ s  [\d,]+ reads/s  p50 `,
		`failed 0, older than seen before 0`, `(?m)^ *f1 +[\d,]+ +[\d.]+ % `, `(?m)^ *all +[\d,]+ +100.0 % `} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("got\n%s\nwant %s", text, want)
		}
	}
}

func TestSpectatorsOfADeadFrontendAreServedByOthers(t *testing.T) {
	g := games(t, 3, 3)
	var out buffer
	var killed atomic.Bool
	var notes atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- Run(ctx, Options{URLs: g.URLs(), Count: 30, Rate: 20, ScoreShare: 1, Watch: true,
			Client: client.Options{Timeout: time.Minute}, Out: &out, // on a busy machine the master may be lost, too
			Notify: func(_ int, n client.Notice) {
				if killed.Load() && n.Kind == client.NoticeFailover {
					notes.Add(1)
				}
			}})
	}()
	wait := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(patience); !holds(); {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("not within %s: %s; got\n%s", patience, what, out.String())
			}
		}
	}
	watchers := func(from int) (n int) {
		for _, f := range g.Frontends[from:] {
			n += len(f.Watches())
		}
		return n
	}
	wait("everybody watches", func() bool { return watchers(0) == 30 && len(g.Frontends[0].Watches()) > 0 })
	wait("it answers reads", func() bool {
		first := "GET " + g.Frontends[0].ID + " /v1/scores/"
		return slices.ContainsFunc(g.Requests(), func(r string) bool { return strings.HasPrefix(r, first) })
	})
	killed.Store(true)
	g.Frontends[0].Detach()
	wait("the others have all watchers", func() bool { return watchers(1) == 30 })
	wait("a client reports that it failed over", func() bool { return notes.Load() > 0 })
	before := len(g.Requests())
	wait("reads go on", func() bool { return len(g.Requests()) > before+100 })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the spectators do not end")
	}
	text := out.String()
	if !strings.Contains(text, "failed 0, older than seen before 0") || strings.Contains(text, "streams opened 30,") ||
		!regexp.MustCompile(`failovers [1-9]`).MatchString(text) {
		t.Errorf("got\n%s\nwant no read failed, failovers, and streams opened again", text)
	}
}

func TestOlderAnswersAreCounted(t *testing.T) {
	g := games(t, 1, 2)
	st := newStats(time.Now())
	p := &contestList{contests: []string{"OG50BC/0"}}
	o := &Options{URLs: g.URLs(), Count: 1, ScoreShare: 1, Client: client.Options{Timeout: patience}}
	s, err := newSpectator(0, o, p, st)
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	s.read(t.Context(), time.Now())
	if got := s.seen["OG50BC/0"]; got != 2 || st.older != 0 || st.byFrontend["f1"] == nil {
		t.Fatalf("revision %d, %d older, by %v; want revision 2 of f1", got, st.older, st.byFrontend)
	}
	s.seen["OG50BC/0"] = 3
	s.read(t.Context(), time.Now())
	if st.older != 1 {
		t.Errorf("%d answers were older; want 1", st.older)
	}
}

func TestAStoreWithoutContestsIsAnError(t *testing.T) {
	g := testgroup.Start(t, 1)
	if err := Run(t.Context(), Options{URLs: g.URLs(), Count: 1, Rate: 1, Out: &buffer{}}); err == nil ||
		!strings.Contains(err.Error(), "no contest") {
		t.Errorf("got %v", err)
	}
}

func TestZipfPrefersTheFirst(t *testing.T) {
	p := &contestList{zipf: 1.5}
	for i := range 100 {
		p.contests = append(p.contests, fmt.Sprint("A/", i))
	}
	chance, n := rand.New(rand.NewPCG(1, 1)), 0
	for range 1000 {
		if id, competition := p.choose(chance); id == "A/0" {
			n++
		} else if competition != "A" {
			t.Fatal(competition)
		}
	}
	if n < 250 {
		t.Errorf("the first of 100 was chosen %d times of 1,000; want at least 250", n)
	}
}
