package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/internal/testgroup"
	"laurel/score/ranking"
)

const (
	aRace       = "OG50BC/ATH-M-MAR"
	aRaceDefine = `{"type":"contest.define","contest_id":"OG50BC/ATH-M-MAR","data":{"kind":"ranked","sport":"marathon","result_type":"TIME","splits":["10km","finish"]}}`
	aRaceStatus = `{"type":"contest.status","contest_id":"OG50BC/ATH-M-MAR","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`
)

func aMark(competitor string, mark int) string {
	return fmt.Sprintf(`{"id":"mark-%[1]s","type":"result.set","contest_id":"OG50BC/ATH-M-MAR","data":{"competitor":"%[1]s","split":"10km","mark":%[2]d}}`, competitor, mark)
}

func leaderboard(t *testing.T, f *testgroup.Frontend, query string) (res *http.Response, l ranking.Leaderboard) {
	t.Helper()
	res, body := request(t, "GET", f.URL+"/v1/leaderboard/"+aRace+query, "")
	if err := json.Unmarshal([]byte(body), &l); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %d %s (%v)", f.URL, res.StatusCode, body, err)
	}
	return res, l
}

func TestEveryLeaderboardHasAMarkOnceItsPostIsAcknowledged(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aRaceDefine, aRaceStatus)
	before := map[string]string{}
	for i := range 30 {
		who := fmt.Sprint(100 + i)
		post(t, all[i%3], aMark(who, 2000-i))
		for _, f := range all {
			res, l := leaderboard(t, f, "?around="+who+"&limit=1")
			if len(l.Rows) != 1 || l.Rows[0].Competitor != who || l.Rows[0].Rank != 1 || l.Total != i+1 {
				t.Fatalf("%s: got %+v after mark %d", f.URL, l, i+1)
			}
			tag := res.Header.Get("ETag")
			if tag == before[f.URL] {
				t.Errorf("%s: the tag is that of the board before mark %d", f.URL, i+1)
			}
			before[f.URL] = tag
		}
	}
	post(t, all[0], aDefine) // another contest
	path := "/v1/leaderboard/" + aRace + "?around=129&limit=1"
	for _, f := range all {
		for from, tag := range before {
			if res, body := request(t, "GET", f.URL+path, "",
				"If-None-Match: "+tag); res.StatusCode != http.StatusNotModified {
				t.Errorf("%s did not know the tag of %s: got %d %s", f.URL, from, res.StatusCode, body)
			}
		}
	}
}

func TestALeaderboardInPullModeHasAnAge(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aRaceDefine, aRaceStatus, aMark("7", 2000))
	if res, body := request(t, "PUT", all[0].URL+"/v1/cluster/settings/cache_mode",
		`{"value":"pull"}`); res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode, body)
	}
	for _, f := range all {
		testgroup.Eventually(t, func() error {
			if res, _ := leaderboard(t, f, ""); res.Header.Get("Laurel-Mode") != "pull" || res.Header.Get("Age") == "" {
				return fmt.Errorf("%s: got %v", f.URL, res.Header)
			}
			return nil
		})
		if res, body := request(t, "GET", f.URL+"/v1/leaderboard/"+aRace+"?split=half",
			""); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "10km") {
			t.Errorf("%s: got %d %s", f.URL, res.StatusCode, body)
		}
		if res, body := request(t, "GET", f.URL+"/v1/leaderboard/"+aRace+"?around=8",
			""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d %s", f.URL, res.StatusCode, body)
		}
	}
	post(t, all[1], aMark("8", 1999))
	for _, f := range all {
		testgroup.Eventually(t, func() error {
			if _, l := leaderboard(t, f, ""); len(l.Rows) != 2 || l.Rows[0].Competitor != "8" {
				return fmt.Errorf("%s does not have the mark: %+v", f.URL, l)
			}
			return nil
		})
	}
}

func TestALeaderboardOfAFrontendThatIsCutOffNeedsMaxStale(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aRaceDefine, aRaceStatus, aMark("7", 2000))
	last := all[2]
	leaderboard(t, last, "")
	awaitApplied(t, last, 3)
	for _, f := range all[:2] {
		f.Kill()
	}
	awaitCutOff(t, last, last.URL+"/v1/leaderboard/"+aRace)
	if res, l := leaderboard(t, last, "?max_stale=60s"); res.Header.Get("Laurel-Cache") != "stale" ||
		res.Header.Get("Age") == "" || l.Total != 1 {
		t.Errorf("got %v %+v", res.Header, l)
	}
}
