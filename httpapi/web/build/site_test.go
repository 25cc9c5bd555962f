package main

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/internal/testgroup"
	"laurel/score"
)

// site is a group of frontends in this process, which serve the page.
type site struct {
	*testgroup.Group
	t testing.TB
}

// newSite starts a group of frontends f1, f2 and so on. It skips the test if there is no
// browser.
func newSite(t testing.TB, size int) *site {
	t.Helper()
	needBrowser(t)
	return startSite(t, size)
}

func startSite(t testing.TB, size int) *site {
	t.Helper()
	return &site{Group: testgroup.Start(t, size), t: t}
}

// URL returns the URL of frontend i, from 0.
func (s *site) URL(i int) string { return s.Frontends[i].URL }

// Kill ends frontend i at once. Start brings it back at the same URL.
func (s *site) Kill(i int)  { s.Frontends[i].Kill() }
func (s *site) Start(i int) { s.Frontends[i].Start() }

// Watchers returns the number of streams that frontend i has, or 0 if it is down.
func (s *site) Watchers(i int) int {
	resp, err := http.Get(s.URL(i) + "/v1/frontends")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var group score.Frontends
	if err := json.UnmarshalRead(resp.Body, &group); err != nil {
		return 0
	}
	for _, f := range group.Frontends {
		if f.ID == s.Frontends[i].ID {
			return f.Watchers
		}
	}
	return 0
}

// Post posts events, each a line of JSON, to a frontend that accepts them.
func (s *site) Post(events ...string) {
	s.t.Helper()
	body := arrayOf(events)
	eventually(s.t, "the post is accepted", func() bool {
		for _, f := range s.Frontends {
			resp, err := http.Post(f.URL+"/v1/events", "application/json", strings.NewReader(body))
			if err != nil {
				continue
			}
			answer, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
			if resp.StatusCode < 500 {
				s.t.Fatalf("post: %s", answer)
			}
		}
		return false
	})
}

// arrayOf returns the array of events to post. Each has an id or a seq, so that it counts once
// also if it is posted again, because the outcome of the first time is not known.
func arrayOf(events []string) string {
	named := slices.Clone(events)
	for i, text := range named {
		if e, problem := score.Decode([]byte(text)); problem == nil && !e.IDGiven && e.Seq == 0 {
			named[i] = `{"id":"` + rand.Text() + `",` + strings.TrimPrefix(text, "{")
		}
	}
	return "[" + strings.Join(named, ",") + "]"
}

// endWithTest closes a server at the end of the test. It would wait for streams, which pages
// open again.
func endWithTest(t testing.TB, server *httptest.Server) {
	t.Cleanup(func() {
		server.Listener.Close()
		server.CloseClientConnections()
		server.Close()
	})
}

// games returns some events of the demo's Games.
func games(t testing.TB, from, to int) []string {
	t.Helper()
	b, err := os.ReadFile("../../../testdata/games/og50bc.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")[from:to]
}
