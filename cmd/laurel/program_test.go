package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cluster"
	"laurel/httpapi"
	"laurel/score"
)

// startGroup starts whole frontends in this process, the first of them alone in a new group.
func startGroup(t *testing.T, n int) []*frontend {
	t.Helper()
	var all []*frontend
	for i := range n {
		o := cluster.Options{ID: fmt.Sprintf("f%d", i+1), Dir: t.TempDir(), Peer: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Bootstrap: i == 0}
		if i > 0 {
			o.Join = []string{all[0].url}
		}
		f, err := startFrontend("127.0.0.1:0", o, new(trusting), httpapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cutOff(f) })
		all = append(all, f)
		eventually(t, func() error { return f.member.Ready(t.Context()) })
	}
	for _, f := range all {
		eventually(t, func() error { return leased(f, true) })
	}
	return all
}

// cutOff ends a frontend without a word to the others.
func cutOff(f *frontend) {
	select {
	case <-f.served:
		return // it has been stopped
	default:
	}
	_ = f.server.Close()
	_ = f.member.Close()
}

// eventually waits until f has no objection any more.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func leased(f *frontend, want bool) error {
	group := f.member.Frontends()
	for _, m := range group.Frontends {
		if m.URL == f.url && m.Leased == want {
			return nil
		}
	}
	return fmt.Errorf("%s: want a lease: %t; got %+v", f.url, want, group)
}

func request(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
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

func post(t *testing.T, f *frontend, events ...string) {
	t.Helper()
	for _, e := range events {
		if res, body := request(t, "POST", f.url+"/v1/events", e); res.StatusCode != http.StatusOK {
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

func TestWhatIsPushedIsWhatWouldBeLoadedByteForByte(t *testing.T) {
	all := startGroup(t, 2)
	paths := []string{"scores/" + aContest, "medals/OG50BC"}
	post(t, all[0], aDefine, aStatus, fmt.Sprintf(anAward, "a1"))
	for _, f := range all {
		for _, path := range paths {
			request(t, "GET", f.url+"/v1/"+path, "") // from here on it is pushed
		}
	}
	api := httpapi.New(group{all[0].member}, httpapi.Options{})
	pushed := 0
	for i := range 20 {
		post(t, all[i%2], aPlay, fmt.Sprintf(anAward, fmt.Sprintf("b%d", i)))
		for _, path := range paths {
			ask, err := api.Question(path)
			if err != nil {
				t.Fatal(err)
			}
			var loaded []byte
			if _, _, err := (group{all[0].member}).Stale(func(v httpapi.Records) (err error) {
				loaded, _, err = ask.Ask(v)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				e := f.member.Hit([]byte(path))
				if e == nil {
					continue // its lease ended just now, or the frontend had not told yet that it holds this
				}
				pushed++
				if all[0].member.Master() && !bytes.Equal(e.Body, loaded) {
					t.Errorf("%s: %s has\n%s\nthe master would load\n%s", path, f.url, e.Body, loaded)
				}
			}
		}
	}
	if pushed < 40 {
		t.Errorf("only %d of 80 answers were there when their post was answered", pushed)
	}
}

func TestEveryFrontendAnswersFromMemoryWhatWasPostedAnywhere(t *testing.T) {
	all := startGroup(t, 3)
	post(t, all[0], aDefine, aStatus)
	ways := map[string]int{}
	for i := range 30 {
		post(t, all[i%3], aPlay)
		for _, f := range all {
			res, body := request(t, "GET", f.url+"/v1/scores/"+aContest, "")
			var rec score.Record
			if err := json.Unmarshal([]byte(body), &rec); err != nil {
				t.Fatal(err, body)
			}
			if got, want := rec.Competitors[0].Result.String(), fmt.Sprintf("%g", float64(i+1)/2); got != want || res.Header.Get("Laurel-Mode") != "push" {
				t.Fatalf("%s: got %s after %d plays; want %s; %v", f.url, got, i+1, want, res.Header)
			}
			ways[res.Header.Get("Laurel-Cache")]++
		}
	}
	if ways["hit"] < 45 {
		t.Errorf("got %v of 90 answers; want most as hits", ways)
	}
}

func TestModeIsSwitchedForAllWhileTheyRun(t *testing.T) {
	all := startGroup(t, 3)
	post(t, all[0], aDefine, aStatus)
	path := "/v1/scores/" + aContest
	request(t, "GET", all[1].url+path, "")
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		c := newLaurelCommand()
		c.SetArgs(append(args, "--to", all[2].url))
		c.SetOut(&out)
		if err := c.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := run("cluster", "mode"); got != "push\n" {
		t.Errorf("got %q", got)
	}
	if got := run("cluster", "mode", "pull"); got != "pull\n" {
		t.Errorf("got %q", got)
	}
	for _, f := range all {
		eventually(t, func() error { return leased(f, false) })
		eventually(t, func() error {
			if f.member.CacheMode() != score.Pull {
				return fmt.Errorf("%s does not know the mode", f.url)
			}
			return nil
		})
		request(t, "GET", f.url+path, "")
		res, body := request(t, "GET", f.url+path, "")
		if h := res.Header; res.StatusCode != 200 || h.Get("Laurel-Mode") != "pull" || h.Get("Age") == "" || h.Get("Laurel-Cache") != "hit" {
			t.Errorf("%s: got %d %v %s", f.url, res.StatusCode, h, body)
		}
		if res, body := request(t, "GET", f.url+"/v1/scores/OG50BC/NO", ""); res.StatusCode != 404 || res.Header.Get("Age") == "" {
			t.Errorf("%s: got %d %v %s", f.url, res.StatusCode, res.Header, body)
		}
		for _, path := range []string{"/v1/scores?competition=OG50BC&limit=5", "/v1/timeline/" + aContest, "/v1/bards/x", "/v1/medals/OG50BC/GAU"} {
			if res, body := request(t, "GET", f.url+path, "", "Accept: text/plain"); res.StatusCode != 200 || res.Header.Get("Laurel-Mode") != "pull" {
				t.Errorf("%s%s: got %d %v %s", f.url, path, res.StatusCode, res.Header, body)
			}
		}
	}
	post(t, all[1], aPlay)
	for _, f := range all {
		eventually(t, func() error {
			if _, body := request(t, "GET", f.url+path, ""); !strings.Contains(body, `"result":0.5`) {
				return fmt.Errorf("%s does not see the play: %s", f.url, body)
			}
			return nil
		})
	}
	if got := run("cluster", "mode", "push"); got != "push\n" {
		t.Errorf("got %q", got)
	}
	for _, f := range all {
		eventually(t, func() error { return leased(f, true) })
		if res, _ := request(t, "GET", f.url+path, ""); res.Header.Get("Laurel-Mode") != "push" || res.Header.Get("Age") != "" {
			t.Errorf("%s: got %v", f.url, res.Header)
		}
	}
	eventually(t, func() error { // the one that is asked hears from the others
		if got := run("cluster", "status"); !strings.HasPrefix(got, "mode push, epoch ") || strings.Count(got, " ms ") != 3 {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
}

func TestFrontendThatIsCutOffGivesOnlyWhatTheCallerConsentsTo(t *testing.T) {
	all := startGroup(t, 3)
	post(t, all[0], aDefine, aStatus, aPlay)
	last := all[2]
	path := last.url + "/v1/scores/" + aContest
	request(t, "GET", path, "")
	eventually(t, func() error { // its database follows what was pushed
		for _, m := range last.member.Frontends().Frontends {
			if m.URL == last.url && m.Revision == 3 {
				return nil
			}
		}
		return fmt.Errorf("the database of %s is behind", last.url)
	})
	for _, f := range all[:2] {
		cutOff(f)
	}
	eventually(t, func() error { return leased(last, false) })
	if res, body := request(t, "GET", path, ""); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
		t.Errorf("without consent: got %d %v %s", res.StatusCode, res.Header, body)
	}
	for _, c := range []struct{ query, header string }{{"?max_stale=60s", ""}, {"", "max-stale=60"}, {"?max_stale", ""}} {
		res, body := request(t, "GET", path+c.query, "", "Cache-Control: "+c.header)
		if h := res.Header; res.StatusCode != 200 || h.Get("Laurel-Cache") != "stale" || h.Get("Age") == "" || !strings.Contains(body, `"result":0.5`) {
			t.Errorf("%v: got %d %v %s", c, res.StatusCode, h, body)
		}
	}
	if res, _ := request(t, "GET", path+"?max_stale=1ms", ""); res.StatusCode != 503 {
		t.Errorf("older than the caller wants: got %d", res.StatusCode)
	}
}
