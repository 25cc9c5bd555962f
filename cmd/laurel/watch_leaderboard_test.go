package main

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"laurel/client"
	"laurel/internal/testgroup"
)

// following is the window of a watcher at one frontend.
type following struct {
	mu  sync.Mutex
	now client.Window
}

func follow(t *testing.T, f *testgroup.Frontend, around string) *following {
	t.Helper()
	c, err := client.New([]string{f.URL}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	v := &following{}
	go func() {
		for u, err := range c.Watch(t.Context(),
			client.WatchOptions{Leaderboards: []string{aRace},
				Part: client.BoardPart{Split: "10km", Around: around, Page: client.Page{Limit: 3}}}) {
			if err != nil {
				return
			}
			for _, w := range u.Leaderboards {
				v.mu.Lock()
				v.now = w
				v.mu.Unlock()
			}
		}
	}()
	return v
}

// shows waits until the window has these competitors.
func (v *following) shows(t *testing.T, codes ...string) {
	t.Helper()
	testgroup.Eventually(t, func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		var got []string
		for _, r := range v.now.Rows {
			got = append(got, r.Competitor)
		}
		if fmt.Sprint(got) != fmt.Sprint(codes) {
			return fmt.Errorf("the window is %v, want %v", got, codes)
		}
		return nil
	})
}

func TestAWindowAroundARunnerIsCurrentAtEveryFrontendInBothModes(t *testing.T) {
	t.Parallel()
	all := testgroup.Start(t, 3).Frontends
	post(t, all[0], aRaceDefine, aRaceStatus, aMark("1", 2001), aMark("2", 2002))
	var watchers []*following
	for _, f := range all {
		watchers = append(watchers, follow(t, f, "7"))
	}
	post(t, all[1], aMark("7", 2000))
	for _, v := range watchers {
		v.shows(t, "7", "1", "2")
	}
	post(t, all[2], aMark("3", 1990), aMark("4", 1991))
	for _, v := range watchers {
		v.shows(t, "4", "7", "1")
	}
	if res, body := request(t, "PUT", all[0].URL+"/v1/cluster/settings/cache_mode",
		`{"value":"pull"}`); res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode, body)
	}
	post(t, all[0], aMark("5", 1992))
	for _, v := range watchers {
		v.shows(t, "5", "7", "1")
	}
	young := follow(t, all[1], "8")
	post(t, all[0], aMark("8", 1))
	young.shows(t, "8", "3", "4")
}
