package testgroup

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"laurel/score"
)

// postAlerts posts the alerts 1 to 3 of one source as a stream to f1. It returns the results that
// came.
func postAlerts(g *Group) (results string, err error) {
	var body strings.Builder
	for i := 1; i <= 3; i++ {
		fmt.Fprintf(&body, `{"id":"e%d","source":"a","seq":%d,"type":"alert","contest_id":"A/1","data":{"text":"x"}}`+"\n", i, i)
	}
	r, err := http.Post(g.Frontends[0].URL+"/v1/events", "application/x-ndjson", strings.NewReader(body.String()))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func TestFaultOfAnEventComesAfterTheResultsBeforeIt(t *testing.T) {
	for _, one := range []struct {
		name    string
		fault   Fault
		stored  int
		results int
		broken  bool
	}{
		{"none", None, 3, 3, false},
		{"unavailable", Unavailable, 1, 2, false},
		{"busy", Busy, 1, 2, false},
		{"cut before", CutBefore, 1, 1, true},
		{"cut after", CutAfter, 2, 1, true},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			g := Start(t, 1)
			g.Inject(func(_ *Frontend, _ *http.Request, e *score.Event) Fault {
				if e != nil && e.Seq == 2 {
					return one.fault
				}
				return None
			})
			results, err := postAlerts(g)
			if n := strings.Count(results, "\n"); n != one.results || (err != nil) != one.broken {
				t.Errorf("got %d results, error %v; want %d:\n%s", n, err, one.results, results)
			}
			if problem := one.fault.problem(); problem != nil && !strings.Contains(results, string(problem.Code)) {
				t.Errorf("got %s; want the problem %s", results, problem.Code)
			}
			if n := len(g.Events("A/1")); n != one.stored {
				t.Errorf("%d events are in the store; want %d", n, one.stored)
			}
		})
	}
}

func TestDetachedFrontendStaysInTheGroup(t *testing.T) {
	t.Parallel()
	g := Start(t, 2)
	g.Frontends[0].Detach()
	if _, err := postAlerts(g); err == nil {
		t.Error("a detached frontend answered")
	}
	g.Frontends[0].Attach()
	if _, err := postAlerts(g); err != nil {
		t.Errorf("after Attach: %v", err)
	}
	if n := len(g.Events("A/1")); n != 3 {
		t.Errorf("%d events are in the store; want 3", n)
	}
}
