package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
)

// leased returns an error unless the lease of f is as wanted.
func leased(f *testgroup.Frontend, want bool) error {
	if got := f.Member().Leased(); got != want {
		return fmt.Errorf("%s: leased: %t; want %t", f.ID, got, want)
	}
	return nil
}

// once makes a request.
func once(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// request is once, repeated while the frontend has neither a lease nor a master, as on a
// busy machine. So a post needs an id.
func request(t *testing.T, method, url, body string, header ...string) (res *http.Response, answer string) {
	t.Helper()
	testgroup.Eventually(t, func() error {
		if res, answer = once(t, method, url, body, header...); res.StatusCode == http.StatusServiceUnavailable {
			return fmt.Errorf("%s %s: %s", method, url, answer)
		}
		return nil
	})
	return res, answer
}

// post posts events, one after the other, each under an id.
func post(t *testing.T, f *testgroup.Frontend, events ...string) {
	t.Helper()
	for _, e := range events {
		if !strings.HasPrefix(e, `{"id":`) {
			e = fmt.Sprintf(`{"id":%q,`, client.NewID()) + e[1:]
		}
		if res, body := request(t, "POST", f.URL+"/v1/events", e); res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", e, res.StatusCode, body)
		}
	}
}

const (
	aContest = "OG50BC/CUR-M-GPA-01"
	aDefine  = `{"type":"contest.define","contest_id":"OG50BC/CUR-M-GPA-01","data":{"kind":"head_to_head","sport":"stone-curling","title":"Gaul \u003c Rome & Égypte","competitors":[{"code":"GAU","organisation":"GAU"},{"code":"ROM","organisation":"ROM"}]}}`
	aStatus  = `{"type":"contest.status","contest_id":"OG50BC/CUR-M-GPA-01","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`
	aPlay    = `{"type":"score.play","contest_id":"OG50BC/CUR-M-GPA-01","data":{"competitor":"GAU","delta":0.5,"period":"END1"}}`
	anAward  = `{"type":"medal.award","contest_id":"OG50BC/CUR-M-GPA-01","data":{"award_id":"%s","medal":"GOLD","organisation":"GAU"}}`
)

func TestEveryFrontendAnswersFromMemoryWhatWasPostedAnywhere(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aDefine, aStatus)
	ways := map[string]int{}
	for i := range 30 {
		post(t, all[i%3], aPlay)
		for _, f := range all {
			res, body := request(t, "GET", f.URL+"/v1/scores/"+aContest, "")
			var rec score.Record
			if err := json.Unmarshal([]byte(body), &rec); err != nil {
				t.Fatal(err, body)
			}
			if got, want := rec.Competitors[0].Result.String(), fmt.Sprintf("%g", float64(i+1)/2); got != want ||
				res.Header.Get("Laurel-Mode") != "push" {
				t.Fatalf("%s: got %s after %d plays; want %s; %v", f.URL, got, i+1, want, res.Header)
			}
			ways[res.Header.Get("Laurel-Cache")]++
		}
	}
	if ways["hit"] == 0 { // normally nearly all, but fewer on a busy machine
		t.Errorf("got %v of 90 answers; want hits", ways)
	}
}

func TestTheModeIsSwitchedForAllRunningFrontends(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aDefine, aStatus)
	path := "/v1/scores/" + aContest
	request(t, "GET", all[1].URL+path, "")
	run := func(args ...string) (text string) {
		t.Helper()
		testgroup.Eventually(t, func() error { // there may be no master for a moment
			var out bytes.Buffer
			c := newLaurelCommand()
			c.SetArgs(append(args, "--to", all[2].URL))
			c.SetOut(&out)
			c.SetErr(io.Discard)
			err := c.ExecuteContext(t.Context())
			text = out.String()
			return err
		})
		return text
	}
	if got := run("cluster", "settings"); !strings.Contains(got, "cache_mode   push") {
		t.Errorf("got %q", got)
	}
	if got := run("cluster", "set", "cache_mode=pull"); !strings.HasPrefix(got, "cache_mode is pull") {
		t.Errorf("got %q", got)
	}
	for _, f := range all {
		testgroup.Eventually(t, func() error { return leased(f, false) })
		testgroup.Eventually(t, func() error {
			if f.Member().CacheMode() != score.Pull {
				return fmt.Errorf("%s does not know the mode", f.URL)
			}
			return nil
		})
		testgroup.Eventually(t, func() error { // on a busy machine what it has may be too old
			res, body := request(t, "GET", f.URL+path, "")
			if h := res.Header; res.StatusCode != 200 || h.Get("Laurel-Mode") != "pull" || h.Get("Age") == "" ||
				h.Get("Laurel-Cache") != "hit" {
				return fmt.Errorf("%s: got %d %v %s", f.URL, res.StatusCode, h, body)
			}
			return nil
		})
		if res, body := request(t, "GET", f.URL+"/v1/scores/OG50BC/NO", ""); res.StatusCode != 404 ||
			res.Header.Get("Age") == "" {
			t.Errorf("%s: got %d %v %s", f.URL, res.StatusCode, res.Header, body)
		}
		for _, path := range []string{"/v1/scores?competition=OG50BC&limit=5", "/v1/timeline/" + aContest,
			"/v1/bards/x", "/v1/medals/OG50BC/GAU"} {
			if res, body := request(t, "GET", f.URL+path, "", "Accept: text/plain"); res.StatusCode != 200 ||
				res.Header.Get("Laurel-Mode") != "pull" {
				t.Errorf("%s%s: got %d %v %s", f.URL, path, res.StatusCode, res.Header, body)
			}
		}
	}
	post(t, all[1], aPlay)
	for _, f := range all {
		testgroup.Eventually(t, func() error {
			if _, body := request(t, "GET", f.URL+path, ""); !strings.Contains(body, `"result":0.5`) {
				return fmt.Errorf("%s does not see the play: %s", f.URL, body)
			}
			return nil
		})
	}
	if got := run("cluster", "set", "cache_mode=push"); !strings.HasPrefix(got, "cache_mode is push") {
		t.Errorf("got %q", got)
	}
	for _, f := range all {
		testgroup.Eventually(t, func() error { return leased(f, true) })
		if res, _ := request(t, "GET", f.URL+path, ""); res.Header.Get("Laurel-Mode") != "push" ||
			res.Header.Get("Age") != "" {
			t.Errorf("%s: got %v", f.URL, res.Header)
		}
	}
	testgroup.Eventually(t, func() error { // the frontend must have polled the others
		if got := run("cluster", "status"); !strings.HasPrefix(got, "mode push, epoch ") ||
			strings.Count(got, " ms ") != 3 {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
}

// awaitCutOff waits until a frontend has no lease and refuses a read for want of a master. One
// that was elected before it died, too, may have left it a lease.
func awaitCutOff(t *testing.T, f *testgroup.Frontend, url string) {
	t.Helper()
	testgroup.Eventually(t, func() error {
		res, body := once(t, "GET", url, "")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
			return fmt.Errorf("without consent: got %d %v %s", res.StatusCode, res.Header, body)
		}
		return leased(f, false)
	})
}

// awaitApplied waits until the database of a frontend has a revision: it applies what was
// pushed a moment later.
func awaitApplied(t *testing.T, f *testgroup.Frontend, revision uint64) {
	t.Helper()
	testgroup.Eventually(t, func() error {
		for _, m := range f.Member().Frontends().Frontends {
			if m.URL == f.URL && m.Revision == revision {
				return nil
			}
		}
		return fmt.Errorf("the database of %s is behind", f.URL)
	})
}

func TestAFrontendThatIsCutOffAnswersOnlyWithinMaxStale(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aDefine, aStatus, aPlay)
	last := all[2]
	path := last.URL + "/v1/scores/" + aContest
	request(t, "GET", path, "")
	awaitApplied(t, last, 3)
	for _, f := range all[:2] {
		f.Kill()
	}
	awaitCutOff(t, last, path)
	for _, c := range []struct{ query, header string }{{"?max_stale=60s", ""}, {"", "max-stale=60"},
		{"?max_stale", ""}} {
		res, body := once(t, "GET", path+c.query, "", "Cache-Control: "+c.header)
		if h := res.Header; res.StatusCode != 200 || h.Get("Laurel-Cache") != "stale" || h.Get("Age") == "" ||
			!strings.Contains(body, `"result":0.5`) {
			t.Errorf("%v: got %d %v %s", c, res.StatusCode, h, body)
		}
	}
	if res, _ := once(t, "GET", path+"?max_stale=1ms", ""); res.StatusCode != 503 {
		t.Errorf("older than the caller wants: got %d", res.StatusCode)
	}
}
