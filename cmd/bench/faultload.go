package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"laurel/cmd/bench/load"
)

const (
	// attemptLimit bounds one attempt where the leader may be lost, and requests with it.
	attemptLimit = 200 * time.Millisecond
	// attemptPause is the pause between two attempts at one member.
	attemptPause = 5 * time.Millisecond
	// hedgeAfter is how long the poster waits for the preferred member before it tries
	// all.
	hedgeAfter = 20 * time.Millisecond
	writePause = 2 * time.Millisecond
	readPause  = 4 * time.Millisecond
)

// client is one member as a client sees it that knows its address and nothing else. Each
// call is one attempt. It is used by many goroutines.
type client interface {
	// post writes an event and returns its revision.
	post(ctx context.Context, event []byte) (revision uint64, err error)
	// read reads what the events change, linearizably, and returns the revision of the
	// last change.
	read(ctx context.Context) (revision uint64, err error)
	close()
}

// errFinal is wrapped by errors after which another attempt would not help.
var errFinal = errors.New("refused")

// request is one request, from when it was sent until it was answered.
type request struct {
	sent, done time.Time
	ok         bool
}

// faultLoad is one poster that posts event after event wherever it is accepted, and a
// reader of the same record at each member.
type faultLoad struct {
	plays     *load.Plays
	writeTo   []client
	preferred atomic.Int32
	attempt   time.Duration
	cancel    context.CancelCauseFunc
	end       chan struct{}
	acked     atomic.Uint64 // the revision of the event acknowledged last

	writing, reading sync.WaitGroup

	mu     sync.Mutex
	writes []request
	reads  [][]request // by member
	stale  int
	failed error
}

// startFaultLoad begins to write to some members and to read at all.
func startFaultLoad(ctx context.Context, all, writeTo []client, attempt time.Duration, p *load.Plays) *faultLoad {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &faultLoad{
		plays: p, writeTo: writeTo, attempt: attempt, cancel: cancel,
		end: make(chan struct{}), reads: make([][]request, len(all)),
	}
	l.writing.Go(func() { l.write(ctx) })
	for i, c := range all {
		l.reading.Go(func() { l.read(ctx, i, c) })
	}
	return l
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

// post posts an event at the member that acknowledged last, and at all members where that
// one fails or takes long. An event may be posted twice: it counts once.
func (l *faultLoad) post(ctx context.Context, event []byte) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		revision uint64
		member   int
		err      error
	}
	answers := make(chan answer, len(l.writeTo))
	failed := make(chan struct{}, len(l.writeTo))
	try := func(i int) {
		for ctx.Err() == nil {
			once, cancel := context.WithTimeout(ctx, l.attempt)
			revision, err := l.writeTo[i].post(once, event)
			cancel()
			if err == nil || errors.Is(err, errFinal) {
				answers <- answer{revision, i, err}
				return
			}
			select {
			case failed <- struct{}{}:
			default:
			}
			_ = load.Sleep(ctx, attemptPause)
		}
	}
	preferred := int(l.preferred.Load())
	go try(preferred)
	hedge := time.NewTimer(hedgeAfter)
	defer hedge.Stop()
	for all := false; ; {
		select {
		case a := <-answers:
			if a.err == nil {
				l.preferred.Store(int32(a.member))
			}
			return a.revision, a.err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-failed:
		case <-hedge.C:
		}
		for i := range l.writeTo {
			if !all && i != preferred {
				go try(i)
			}
		}
		all = true
	}
}

func (l *faultLoad) read(ctx context.Context, i int, c client) {
	for ctx.Err() == nil {
		least, sent := l.acked.Load(), time.Now()
		once, cancel := context.WithTimeout(ctx, l.attempt)
		revision, err := c.read(once)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errFinal) {
			l.fail(err)
			return
		}
		l.mu.Lock()
		l.reads[i] = append(l.reads[i], request{sent, time.Now(), err == nil})
		if err == nil && revision < least {
			l.stale++
		}
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

// isBack returns nil if, since t, an event was acknowledged and each of the members
// answers again.
func (l *faultLoad) isBack(t time.Time, members []int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	if _, ok := nextAfter(t, l.writes); !ok {
		return errors.New("no event has been acknowledged")
	}
	for _, i := range members {
		if _, ok := nextAfter(t, l.reads[i]); !ok || !l.reads[i][len(l.reads[i])-1].ok {
			return fmt.Errorf("member %d does not answer", i+1)
		}
	}
	return nil
}

// stop waits for the requests under way, so that every event that was made is
// acknowledged.
func (l *faultLoad) stop() error {
	close(l.end)
	l.writing.Wait()
	l.cancel(nil)
	l.reading.Wait()
	return l.failed
}

// figures returns what was seen of a fault. The load must have been stopped.
func (l *faultLoad) figures(struck, until time.Time, others []int) (figures, error) {
	// A shorter gap may be the processor's, which the members and their clients share.
	const longGap = 50 * time.Millisecond
	next, ok := nextAfter(struck, l.writes)
	if !ok {
		return nil, errors.New("no event was acknowledged after the fault")
	}
	f := figures{"next": float64(next), "stall": float64(longestGap(struck, until, l.writes)), stale: float64(l.stale)}
	early := slices.DeleteFunc(slices.Clone(l.writes), func(r request) bool { return !r.done.Before(struck) })
	if len(early) > 1 {
		f["stall before"] = float64(longestGap(early[0].done, early[len(early)-1].done, early))
	}
	for _, i := range others {
		back, ok := outage(struck, longGap, l.reads[i])
		if !ok {
			return nil, fmt.Errorf("member %d did not go on answering", i+1)
		}
		f["back"] = max(f["back"], float64(back))
		f["gap"] = max(f["gap"], float64(longestGap(struck, until, l.reads[i])))
	}
	for _, list := range l.reads {
		f["reads"] += float64(len(list))
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

// longestGap returns the longest time without a good answer of which some part is between
// from and until.
func longestGap(from, until time.Time, list []request) time.Duration {
	last, longest := from, time.Duration(0)
	for _, r := range list {
		if !r.ok {
			continue
		}
		if r.done.After(from) {
			if last.After(until) {
				return longest
			}
			longest = max(longest, r.done.Sub(last))
		}
		last = r.done
	}
	if last.Before(until) {
		longest = max(longest, until.Sub(last))
	}
	return longest
}

// outage returns how long after t good answers came without a break again: after the last
// request that failed, or the last gap that was longer than longGap. It is 0 where they
// never ceased. It reports false where they have not come back.
func outage(t time.Time, longGap time.Duration, list []request) (time.Duration, bool) {
	back, out, last := time.Duration(0), false, t
	for _, r := range slices.SortedFunc(slices.Values(list), func(a, b request) int { return a.done.Compare(b.done) }) {
		if r.done.Before(t) {
			continue
		}
		if !r.ok {
			out = true
			continue
		}
		if out || r.done.Sub(last) > longGap {
			back, out = r.done.Sub(t), false
		}
		last = r.done
	}
	return back, !out && last.After(t)
}

// webClient is a client of a frontend.
type webClient struct {
	http *http.Client
	url  string
	path string // of the contest
}

func (c *webClient) post(ctx context.Context, event []byte) (uint64, error) {
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

func (c *webClient) read(ctx context.Context) (uint64, error) {
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

func (c *webClient) close() { c.http.CloseIdleConnections() }

func (g *frontends) clients(ctx context.Context, p *load.Plays) (list []client, err error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	first, err := load.NewPoster(ctx, order[len(order)-1], p) // it defines the contest
	if err != nil {
		return nil, err
	}
	first.Close()
	dialer := &net.Dialer{Timeout: time.Second}
	for _, url := range g.urls {
		transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, DisableCompression: true}
		list = append(list, &webClient{&http.Client{Transport: transport}, url, "/v1/scores/" + p.Contest()})
	}
	return list, nil
}

// etcdClient is a client of a member of etcd. All events are put under one key.
type etcdClient struct {
	client *clientv3.Client
	key    string
}

func (c *etcdClient) post(ctx context.Context, event []byte) (uint64, error) {
	r, err := c.client.Put(ctx, c.key, string(event))
	if err != nil {
		return 0, err
	}
	return uint64(r.Header.Revision), nil
}

func (c *etcdClient) read(ctx context.Context) (uint64, error) {
	r, err := c.client.Get(ctx, c.key)
	if err != nil || len(r.Kvs) == 0 {
		return 0, err
	}
	return uint64(r.Kvs[0].ModRevision), nil
}

func (c *etcdClient) close() { c.client.Close() }

func (g *etcdGroup) clients(_ context.Context, p *load.Plays) (list []client, err error) {
	for _, e := range g.endpoints {
		c, err := connectEtcd(e)
		if err != nil {
			return nil, err
		}
		list = append(list, &etcdClient{c, (&hotKey{source: p.Source()}).name()})
	}
	return list, nil
}
