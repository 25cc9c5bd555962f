package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	laurel "laurel/client"
	"laurel/score"
)

// drainedReads counts what readers see who read at any frontend, as clients do.
type drainedReads struct {
	mu      sync.Mutex
	count   int
	slowest time.Duration
	fault   error
}

// read reads a contest again and again.
func (r *drainedReads) read(ctx context.Context, g *group, i int) {
	c, err := laurel.New(strings.Split(g.urlsFrom(i), ","),
		laurel.Options{Home: g.frontends[i%len(g.frontends)].id, Timeout: patience})
	if err != nil {
		g.t.Error(err)
		return
	}
	defer c.Close()
	for last := uint64(0); ctx.Err() == nil; {
		began := time.Now()
		s, err := c.Score(ctx, watchedContest(i%watchedEach))
		if ctx.Err() != nil {
			return
		}
		if err == nil && s.Revision < last {
			err = fmt.Errorf("revision %d after %d", s.Revision, last)
		}
		last = s.Revision
		r.mu.Lock()
		r.count, r.slowest, r.fault = r.count+1, max(r.slowest, time.Since(began)), errors.Join(r.fault, err)
		r.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// drain has f drained, waits until nobody watches there, and returns the time that it took.
func (f *frontend) drain() time.Duration {
	g, t := f.group, f.group.t
	t.Helper()
	began := time.Now()
	// Any frontend passes it on. While the others are held up, none would serve.
	eventually(t, f.id+" drains", func() error {
		if o := command(t, "laurel", "cluster", "drain", f.id, "--to", g.running()[0].url); o.code != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	eventually(t, "nobody watches at "+f.id, func() error {
		m, err := f.member(f.id)
		if err == nil && (m.Watchers > 0 || m.State != score.Draining || m.Master) {
			err = fmt.Errorf("%+v", m)
		}
		return err
	})
	return time.Since(began)
}

// TestARollingRestartIsNoticedByNobody drains, stops and starts each of three frontends in
// turn, and does it once more by SIGTERM alone, while bards post, and readers and watchers of
// all kinds go on.
func TestARollingRestartIsNoticedByNobody(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	b := newWatchedBards(g)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var all []*clientWatcher
	for i := range byForm(60, 200, 200) {
		w := []laurel.WatchOptions{
			{Contests: []string{watchedContest(i % watchedEach)}}, {Competitions: []string{watchedMeet}},
			{Timelines: []string{watchedContest(i % watchedEach)}},
		}[i%7%3]
		home := i % len(g.frontends)
		o := newClientWatcher(g, home, g.frontends[home].id, w)
		all = append(all, o)
		running.Go(func() { o.watch(ctx) })
	}
	var bare []*rawWatcher
	for i := range 6 {
		o := newRawWatcher(g, i, laurel.WatchOptions{
			Contests: []string{watchedContest(i % watchedEach)}, Timelines: []string{watchedContest(i % watchedEach)},
		})
		bare = append(bare, o)
		running.Go(func() { o.watch(ctx) })
	}
	for _, o := range all {
		eventually(t, o.name+" watches", o.connected)
	}
	var reads drainedReads
	for i := range 6 {
		running.Go(func() { reads.read(ctx, g, i) })
	}
	b.sing(ctx)
	for _, byHand := range []bool{true, false} {
		for _, f := range g.frontends[byForm(1, 0, 0):] {
			if byHand {
				took := f.drain()
				t.Logf("%s, drained, has no watchers after %v", f.id, took.Round(time.Millisecond))
				f.expectDraining()
			}
			f.stop()
			f.start().waitReady()
			b.more(whileAway)
			eventually(t, "started again, "+f.id+" serves", func() error {
				m, err := f.member(f.id)
				if err == nil && m.State != score.Serving {
					err = fmt.Errorf("it is %+v", m) // it may have no master for a moment
				}
				return err
			})
		}
	}
	b.end()
	truth := truthOfWatched(g, b)
	for _, o := range all {
		o.awaitTruth(t, truth, o.w)
	}
	for _, o := range bare {
		o.awaitTruth(t, truth, o.w)
	}
	cancel()
	running.Wait()
	retries := 0
	for _, s := range b.streams {
		retries += s.Stats().Retries
	}
	t.Logf("%d events, %d retries; %d reads, the slowest took %v", b.count(), retries, reads.count,
		reads.slowest.Round(time.Millisecond))
	if reads.fault != nil {
		t.Errorf("a reader: %v", reads.fault)
	}
}

// expectDraining checks what a draining frontend does for those who still come, and says of
// itself.
func (f *frontend) expectDraining() {
	t := f.group.t
	t.Helper()
	for _, path := range []string{"/readyz", "/readyz?scope=reads"} {
		if a, err := ask("GET", f.url+path, ""); err != nil || a.status != http.StatusServiceUnavailable ||
			!strings.Contains(a.body, "draining") {
			t.Errorf("%s of %s: %v, %v", path, f.id, a, err)
		}
	}
	if a := get(t, f.url+"/v1/scores/"+watchedContest(0)); a.status != http.StatusOK {
		t.Errorf("%s does not answer: %v", f.id, a)
	}
	if a := post(t, f, `{"id":"drain-`+f.id+`","type":"alert","contest_id":"OG50BC/rain","data":{"text":"rain"}}`); a.status != http.StatusOK {
		t.Errorf("%s takes no posts: %v", f.id, a)
	}
	eventually(t, "the metrics of "+f.id+" say that it drains", func() error { // each page is shown for a while
		if a := get(t, f.url+"/metrics"); !strings.Contains(a.body, "\nlaurel_draining 1\n") {
			return errors.New("they do not")
		}
		return nil
	})
	// A new watcher is sent elsewhere.
	web := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	eventually(t, f.id+" sends a new watcher elsewhere", func() error {
		a, err := web.Get(f.url + "/v1/watch?contest=" + watchedContest(0))
		if err != nil {
			return err
		}
		a.Body.Close()
		if a.StatusCode == http.StatusServiceUnavailable { // it hears of no other one that serves
			return errors.New(a.Status)
		}
		if to := a.Header.Get("Location"); a.StatusCode != http.StatusTemporaryRedirect || to == "" ||
			strings.HasPrefix(to, f.url) {
			t.Fatalf("a new watcher of %s gets %s to %q", f.id, a.Status, to)
		}
		return nil
	})
}

func TestDrainingEndsByAskingForItAndByARestart(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	master.drain()
	var next *frontend
	eventually(t, "another one is the master", func() error {
		// Elected again when the other ones were held up, it hands over again.
		if next = g.master(); next == master {
			return errors.New(master.id + " is")
		}
		return nil
	})
	// Nobody takes over from the last one that serves.
	other := g.frontends[0]
	for _, f := range g.frontends {
		if f != master && f != next {
			other = f
		}
	}
	other.drain()
	if o := command(t, "laurel", "cluster", "drain", next.id, "--to", urls(g.frontends)); o.code != 1 ||
		!strings.Contains(o.err, "no other frontend serves") {
		t.Errorf("the last one: %v", o)
	}
	if o := command(t, "laurel", "cluster", "drain", "f9", "--to", urls(g.frontends)); o.code != 1 || !strings.Contains(o.err, "not_found") {
		t.Errorf("a frontend that there is not: %v", o)
	}
	mustRun(t, "laurel", "cluster", "drain", master.id, "--undo", "--to", master.url)
	master.waitReady()
	other.Kill()
	other.start().waitReady()
	// The others know of a restart when they ask next.
	eventually(t, "no frontend drains", func() error {
		o := command(t, "laurel", "cluster", "status", "--to", urls(g.frontends))
		if o.code != 0 || strings.Contains(o.out, score.Draining) { // it fails while there is no master
			return errors.New(o.String())
		}
		return nil
	})
}
