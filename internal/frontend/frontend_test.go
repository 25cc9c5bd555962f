package frontend_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"laurel/client"
	"laurel/internal/frontend"
	"laurel/internal/testgroup"
)

func get(t *testing.T, url string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}
}

// post posts events, one after the other. Each has an id, and is posted again while there is
// no master, as on a busy machine.
func post(t *testing.T, f *testgroup.Frontend, events ...string) {
	t.Helper()
	for _, e := range events {
		e = fmt.Sprintf(`{"id":%q,`, client.NewID()) + e[1:]
		testgroup.Eventually(t, func() error {
			r, err := http.Post(f.URL+"/v1/events", "application/json", strings.NewReader(e))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			body, err := io.ReadAll(r.Body)
			if err == nil && r.StatusCode == http.StatusServiceUnavailable {
				return fmt.Errorf("%s: %s", e, body)
			}
			if err != nil || r.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d %s %v", e, r.StatusCode, body, err)
			}
			return nil
		})
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
	all := testgroup.Start(t, 2).Frontends
	paths := []string{"scores/" + aContest, "medals/OG50BC"}
	post(t, all[0], aDefine, aStatus, fmt.Sprintf(anAward, "a1"))
	pushed := 0
	for i := range 20 {
		for _, f := range all {
			for _, path := range paths {
				get(t, f.URL+"/v1/"+path) // from here on it is pushed, until another master is elected
			}
		}
		post(t, all[i%2], aPlay, fmt.Sprintf(anAward, fmt.Sprintf("b%d", i)))
		for _, path := range paths {
			loaded, err := frontend.LoadForTest(all[0].Member(), path)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				e, lease := f.Member().Find([]byte(path))
				if e == nil || !lease.Visible(e.Revision) {
					continue // its lease ended just now, or the frontend had not told yet that it holds this
				}
				pushed++
				if all[0].Member().Master() && !bytes.Equal(e.Body, loaded) {
					t.Errorf("%s: %s has\n%s\nthe master would load\n%s", path, f.URL, e.Body, loaded)
				}
			}
		}
	}
	if pushed < 40 {
		t.Errorf("only %d of 80 answers were there when their post was answered", pushed)
	}
}
