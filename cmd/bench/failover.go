package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"laurel/cmd/bench/load"
)

const (
	// quiet is the time of writes and reads before the master is killed, and linger that
	// after all is well again.
	quiet  = time.Second
	linger = 500 * time.Millisecond
	// attemptLimit bounds one attempt: the master may be lost, and requests with it.
	attemptLimit = 200 * time.Millisecond
	// attemptPause is the pause between two attempts at one frontend.
	attemptPause = 5 * time.Millisecond
	// hedgeAfter is how long the poster waits for the frontend that acknowledged last
	// before it tries all.
	hedgeAfter = 20 * time.Millisecond
	writePause = 2 * time.Millisecond
	readPause  = 4 * time.Millisecond
)

func failoverCommand(b *bench) *cobra.Command {
	return b.command("failover", "Time until the next write and reads after the master is killed",
		"A poster posts one event after another, wherever it is accepted, and a reader at each frontend reads the\n"+
			"contest. The master is killed with SIGKILL once a round, and started again when all is well without it.\n"+
			"No read may be stale. All rounds have the same group.",
		nil,
		func(ctx context.Context) error {
			x := &experiment[*frontends, string]{
				name:   "failover",
				cells:  []string{"SIGKILL of the master"},
				heads:  []string{"fault"},
				labels: func(fault string) []string { return []string{fault} },
				columns: []column[string]{
					spreadOf[string]("next acknowledged write ms", "next", millis),
					spreadOf[string]("reads back at all others ms", "back", millis),
					sumOf[string]("reads", "reads"),
				},
				keep:     true,
				compared: "next",
				start: func(ctx context.Context, dir string, _ string) (*frontends, error) {
					return b.startFrontends(ctx, dir, groupSize, false)
				},
				measure: func(ctx context.Context, g *frontends, _ string) (figures, error) {
					return g.killMaster(ctx)
				},
			}
			return x.run(ctx, b)
		})
}

// killMaster kills the master of a group that is whole, and returns when it is whole
// again.
func (g *frontends) killMaster(ctx context.Context) (figures, error) {
	c, err := g.startContest(ctx)
	if err != nil {
		return nil, err
	}
	c.bard.Close()
	victim, err := g.index(c.order[len(c.order)-1])
	if err != nil {
		return nil, err
	}
	loadCtx, l := g.startFaultLoad(ctx, c.plays)
	f, err := g.strike(loadCtx, victim, l)
	if err := cmp.Or(l.stop(), err); err != nil {
		return nil, err
	}
	if err := g.restart(victim); err != nil {
		return nil, err
	}
	if err := await(ctx, g.list[victim], g.allServe); err != nil {
		return nil, err
	}
	if err := verifySource(ctx, g, c.plays.Source(), c.plays.Seq(), false); err != nil {
		return nil, err
	}
	return f, nil
}

// strike kills a frontend a while after the load has begun, and returns what was seen until
// a while after all is well without it.
func (g *frontends) strike(ctx context.Context, victim int, l *faultLoad) (figures, error) {
	if err := load.Sleep(ctx, quiet); err != nil {
		return nil, err
	}
	killed := time.Now()
	g.list[victim].Kill()
	for lingered := false; ; {
		f, err := l.figures(killed, victim)
		pause := attemptPause // on a busy machine a request may fail by its limit at any time
		switch {
		case err == nil && lingered:
			return f, nil
		case err == nil:
			lingered, pause = true, linger
		case time.Since(killed) > time.Minute:
			return nil, fmt.Errorf("not well after a minute: %w", err)
		}
		if err := load.Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// request is one request, from when it was sent until it was answered.
type request struct {
	sent, done time.Time
	ok         bool
}

// faultLoad is one poster that posts event after event wherever it is accepted, and a
// reader of the same record at each frontend.
type faultLoad struct {
	plays     *load.Plays
	clients   []*client
	preferred int // the client that acknowledged last
	cancel    context.CancelCauseFunc
	end       chan struct{}
	acked     atomic.Uint64 // the revision of the event acknowledged last

	writing, reading sync.WaitGroup

	mu     sync.Mutex
	writes []request
	reads  [][]request // by frontend
	failed error
}

// startFaultLoad begins to post plays, and to read their contest at every frontend. The
// context that it returns ends when the load fails.
func (g *frontends) startFaultLoad(ctx context.Context, p *load.Plays) (context.Context, *faultLoad) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &faultLoad{plays: p, cancel: cancel, end: make(chan struct{}), reads: make([][]request, len(g.urls))}
	dialer := &net.Dialer{Timeout: time.Second}
	for _, url := range g.urls {
		transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, DisableCompression: true}
		l.clients = append(l.clients, &client{&http.Client{Transport: transport}, url, "/v1/scores/" + p.Contest()})
	}
	l.writing.Go(func() { l.write(ctx) })
	for i := range l.clients {
		l.reading.Go(func() { l.read(ctx, i) })
	}
	return ctx, l
}

func (l *faultLoad) write(ctx context.Context) {
	for {
		sent := time.Now()
		revision, err := l.post(ctx, l.plays.Append(nil))
		if err != nil {
			l.fail(err)
			return
		}
		l.acked.Store(revision)
		l.mu.Lock()
		l.writes = append(l.writes, request{sent, time.Now(), true})
		l.mu.Unlock()
		select {
		case <-l.end:
			return
		case <-time.After(writePause):
		}
	}
}

// post posts an event at the frontend that acknowledged last, and at all where that takes
// long. An event may be posted twice: it counts once.
func (l *faultLoad) post(ctx context.Context, event []byte) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		revision uint64
		frontend int
		err      error
	}
	answers := make(chan answer, len(l.clients))
	preferred := l.preferred // a goroutine may begin when the answer to another one has changed it
	for i, c := range l.clients {
		go func() {
			if i != preferred {
				_ = load.Sleep(ctx, hedgeAfter)
			}
			for ctx.Err() == nil {
				once, cancel := context.WithTimeout(ctx, attemptLimit)
				revision, err := c.post(once, event)
				cancel()
				if err == nil || errors.Is(err, errFinal) {
					answers <- answer{revision, i, err}
					return
				}
				_ = load.Sleep(ctx, attemptPause)
			}
		}()
	}
	select {
	case a := <-answers:
		l.preferred = a.frontend
		return a.revision, a.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (l *faultLoad) read(ctx context.Context, i int) {
	for ctx.Err() == nil {
		least, sent := l.acked.Load(), time.Now()
		once, cancel := context.WithTimeout(ctx, attemptLimit)
		revision, err := l.clients[i].read(once)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil && revision < least {
			err = fmt.Errorf("%w: %s answered with revision %d; %d was acknowledged before it was asked", errFinal,
				l.clients[i].url, revision, least)
		}
		if errors.Is(err, errFinal) {
			l.fail(err)
			return
		}
		l.mu.Lock()
		l.reads[i] = append(l.reads[i], request{sent, time.Now(), err == nil})
		l.mu.Unlock()
		_ = load.Sleep(ctx, readPause)
	}
}

func (l *faultLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
	l.cancel(err)
}

// stop waits for the requests under way, so that every event that was made is
// acknowledged.
func (l *faultLoad) stop() error {
	close(l.end)
	l.writing.Wait()
	l.cancel(nil)
	l.reading.Wait()
	for _, c := range l.clients {
		c.http.CloseIdleConnections()
	}
	return l.failed
}

// figures returns what was seen, or an error if, since the victim was killed, no event was
// acknowledged or another frontend does not answer again.
func (l *faultLoad) figures(killed time.Time, victim int) (figures, error) {
	// A shorter gap may be the processor's, which the frontends and their clients share.
	const longGap = 50 * time.Millisecond
	l.mu.Lock()
	defer l.mu.Unlock()
	next, ok := nextAfter(killed, l.writes)
	if !ok {
		return nil, errors.New("no event has been acknowledged")
	}
	f := figures{"next": float64(next)}
	for i, list := range l.reads {
		f["reads"] += float64(len(list))
		if i == victim {
			continue
		}
		back, ok := outage(killed, longGap, list)
		if !ok {
			return nil, fmt.Errorf("frontend %d does not answer", i+1)
		}
		f["back"] = max(f["back"], float64(back))
	}
	return f, nil
}

// nextAfter returns how long after t the first request that was sent after t was answered
// well.
func nextAfter(t time.Time, list []request) (time.Duration, bool) {
	for _, r := range list {
		if r.ok && r.sent.After(t) {
			return r.done.Sub(t), true
		}
	}
	return 0, false
}

// outage returns how long after t good answers came without a break again: after the last
// request that failed, or the last gap that was longer than longGap. It is 0 where they
// never ceased. It reports false where no request that was sent after t was answered well,
// or a later one failed.
func outage(t time.Time, longGap time.Duration, list []request) (time.Duration, bool) {
	back, out, last := time.Duration(0), false, request{done: t}
	for _, r := range list {
		if r.done.Before(t) {
			continue
		}
		if !r.ok {
			out = true
			continue
		}
		if out || r.done.Sub(last.done) > longGap {
			back, out = r.done.Sub(t), false
		}
		last = r
	}
	return back, !out && last.sent.After(t)
}

// client is one frontend as a client sees it that knows its address and nothing else.
// Each call is one attempt. It is used by many goroutines.
type client struct {
	http *http.Client
	url  string
	path string // of the contest
}

// errFinal is wrapped by errors that end the run, because another attempt would not help.
var errFinal = errors.New("wrong answer")

// post writes an event and returns its revision.
func (c *client) post(ctx context.Context, event []byte) (uint64, error) {
	res, body, err := exchange(ctx, c.http, http.MethodPost, c.url+"/v1/events", "", event)
	switch {
	case err != nil:
		return 0, err
	case res.StatusCode == http.StatusOK && load.IsAcked(body):
		return load.RevisionOf(body)
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return 0, fmt.Errorf("%s: status %s: %s", c.url, res.Status, load.Clip(body))
	}
	return 0, fmt.Errorf("%w: %s: status %s: %s", errFinal, c.url, res.Status, load.Clip(body))
}

// read reads the contest, linearizably, and returns the revision of its last change.
func (c *client) read(ctx context.Context) (uint64, error) {
	res, body, err := exchange(ctx, c.http, http.MethodGet, c.url+c.path, "", nil)
	if err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: status %s: %s", c.url, res.Status, load.Clip(body))
	}
	mode, how := res.Header.Get("Laurel-Mode"), res.Header.Get("Laurel-Cache")
	if mode != "push" || how == "stale" {
		return 0, fmt.Errorf("%w: %s answers in the mode %q by %q, which is not linearizable", errFinal, c.url, mode, how)
	}
	return load.RevisionOf(body)
}
