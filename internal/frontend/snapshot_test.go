package frontend_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"laurel/fsm/archive"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/trust/access"
)

// snapshotOf returns what the snapshot of a frontend has, and how many events were acknowledged
// before it was asked for. A frontend that has neither a lease nor a master is asked again.
func snapshotOf(t *testing.T, f *testgroup.Frontend, acked *atomic.Int64) (info archive.Info, before int64) {
	t.Helper()
	var resp *http.Response
	testgroup.Eventually(t, func() (err error) {
		before = acked.Load()
		if resp, err = http.Get("http://" + f.Addr() + "/v1/snapshot"); err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			return fmt.Errorf("%s: %s", f.ID, resp.Status)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", f.ID, resp.Status)
		}
		if info, err = archive.Inspect(resp.Body); err != nil {
			t.Fatalf("%s: %v", f.ID, err)
		}
		return nil
	})
	if resp.Trailer.Get("Repr-Digest") == "" || resp.Header.Get("Laurel-Revision") != fmt.Sprint(info.Revision) {
		t.Errorf("%s: header %v, trailer %v; the file has the revision %d", f.ID, resp.Header, resp.Trailer, info.Revision)
	}
	return info, before
}

// postAlert posts an event to a frontend, and returns its revision.
func postAlert(f *testgroup.Frontend, source string, n int) error {
	body := fmt.Sprintf(`{"id":"e%d","source":%q,"seq":%d,"type":"alert","time":"2026-02-09T10:00:00Z","contest_id":"G","data":{"text":"x"}}`,
		n, source, n)
	resp, err := http.Post("http://"+f.Addr()+"/v1/events", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return errUnavailable
	}
	return fmt.Errorf("%s: %s", f.ID, resp.Status)
}

var errUnavailable = errors.New("the frontend has no master")

func setMode(t *testing.T, g *testgroup.Group, mode score.CacheMode) {
	t.Helper()
	change := access.Change{By: "test", Setting: &access.Setting{Name: access.SettingCacheMode, Value: string(mode)}}
	testgroup.Eventually(t, func() error { return g.Master().Member().ChangeAccess(t.Context(), change) })
	for _, f := range g.Frontends {
		testgroup.Eventually(t, func() error {
			if f.Member().CacheMode() != mode {
				return fmt.Errorf("%s does not know the mode yet", f.ID)
			}
			return nil
		})
	}
}

// A frontend without a lease must not give what it has: it may lack what others have
// acknowledged.
func TestASnapshotOfAnyFrontendHasEachEventThatWasAcknowledgedBefore(t *testing.T) {
	g := testgroup.Start(t, 3)
	var acked atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			// It has a seq, so it counts once, and is posted again while there is no master.
			err := postAlert(g.Frontends[n%3], "bard/a", n)
			for errors.Is(err, errUnavailable) && t.Context().Err() == nil {
				err = postAlert(g.Frontends[n%3], "bard/a", n)
			}
			if err != nil {
				stopped <- err
				return
			}
			acked.Add(1)
		}
	}()
	for _, mode := range []score.CacheMode{score.Push, score.Pull, score.Push} {
		setMode(t, g, mode)
		if mode == score.Push {
			g.WaitLeased()
		}
		for i := range 12 {
			f := g.Frontends[i%3]
			info, before := snapshotOf(t, f, &acked)
			if info.Events < uint64(before) || info.Events != info.Revision || info.Sources > 1 {
				t.Errorf("%s: the snapshot of %s has %d events at the revision %d; %d were acknowledged before",
					mode, f.ID, info.Events, info.Revision, before)
			}
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error("post: ", err)
	}
	if acked.Load() == 0 {
		t.Error("nothing was posted")
	}
}
