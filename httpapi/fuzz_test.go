package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/httpapi/watch"
	"laurel/score"
)

// FuzzBodies checks that any body posted to any path gets a success or a complete problem, and
// that refused requests change nothing.
func FuzzBodies(f *testing.F) {
	paths := []string{"/v1/events", "/v1/cluster/members", "/v1/cluster/transfer", "/v1/access/grants"}
	for i := range paths {
		f.Add(uint8(i), []byte(alert("a", "")))
		f.Add(uint8(i), []byte("["+alert("a", "")+","+alert("b", "refuse")+"]"))
		f.Add(uint8(i), []byte(`{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004","voter":false,"instance":"x"}`))
		f.Add(uint8(i), []byte(`{"to":"f2"}`))
		f.Add(uint8(i), []byte(`{"name":"bard/a","role":"bard","competitions":["OG50BC"],"types":["alert"],"rate":5,"expires":"2050-01-01T00:00:00Z"}`))
		for _, c := range bad {
			if len(c.body) < 1000 {
				f.Add(uint8(i), []byte(c.body))
			}
		}
	}
	g, a := newTestAPI(f, Options{})
	h := a.Handler()
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		g.mu.Lock()
		g.posted, g.members = nil, nil
		g.mu.Unlock()
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", paths[int(path)%len(paths)], bytes.NewReader(body))
		r.Host = testHost
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(w, r)
		if w.Code == 200 {
			return
		}
		var p score.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p, json.RejectUnknownMembers(true)); err != nil ||
			p.Status != w.Code || p.Code == "" || p.Detail == "" || w.Code >= 500 {
			t.Fatalf("got %d %s (%v)", w.Code, w.Body, err)
		}
		if len(g.posted) != 0 || len(g.members) != 0 {
			t.Fatalf("refused with %s, yet the group got %v %v", w.Body, g.posted, g.members)
		}
	})
}

// FuzzHeaders checks that a read with any header fields gets an answer or a complete problem.
func FuzzHeaders(f *testing.F) {
	f.Add("text/html;q=0.5, text/plain", `W/"7-x", "a"`, "max-stale=5, no-cache", "Bearer laurel-token-1.a.b",
		"https://a.example")
	f.Add("*/*;q=", `"`, `max-stale="`, "Basic YTpi", "null")
	_, a := newTestAPI(f, Options{})
	h := a.Handler()
	f.Fuzz(func(t *testing.T, accept, none, control, authorization, origin string) {
		r := httptest.NewRequest("GET", "/v1/scores/"+contest, nil)
		r.Host = testHost
		for name, value := range map[string]string{"Accept": accept, "If-None-Match": none, "Cache-Control": control,
			"Authorization": authorization, "Origin": origin} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code == 200 || w.Code == 304 || w.Code == 503 { // a machine that is busy sheds questions
			return
		}
		var p score.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Detail == "" ||
			w.Code >= 500 {
			t.Fatalf("got %d %s (%v)", w.Code, w.Body, err)
		}
	})
}

// FuzzWatch checks that any subjects and event id get a stream or a complete problem.
func FuzzWatch(f *testing.F) {
	f.Add("contest="+contest+"&timeline=OG50BC/1", "fake-7")
	f.Add("competition=OG50BC&medals=OG50BC&home=f2", "fake-18446744073709551615-3")
	f.Add("scope=now&leaderboard=OG50BC/MAR&limit=2", "fake-3")
	f.Add("scope=all&moved=1", "fake-pull")
	f.Add("contest=%zz&last_event_id=x.1&last_event_id=", ".")
	_, a := newTestAPI(f, Options{})
	f.Fuzz(func(t *testing.T, query, lastID string) {
		subjects, q, err := parseSubjects(query)
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			one, failed := a.hub.Subscribe(subjects, watch.Client{Home: q.Get("home")})
			if failed != nil {
				t.Fatal(failed)
			}
			var first []byte
			failed = a.hub.Begin(ctx, one, lastID, func(part []byte) error {
				first = append(first, part...)
				return nil
			})
			a.hub.Remove(one)
			if ctx.Err() != nil && errors.Is(failed, ctx.Err()) {
				return // on a busy machine the client has left before, and nobody is told anything
			}
			if failed == nil {
				if !bytes.HasSuffix(first, []byte("\n\n")) && len(first) > 0 {
					t.Errorf("a stream begins with half an event: %q", first)
				}
				return
			}
			err = watchProblem(failed)
		}
		var p *score.Problem
		if !errors.As(err, &p) || p.Detail == "" {
			t.Errorf("got %v", err)
		}
	})
}
