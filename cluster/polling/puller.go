package polling

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"laurel/cache"
	"laurel/cache/pull"
	"laurel/cluster/peer"
)

// Path is where the master answers polls on the peer port; see Server.Serve.
const Path = "/peer/v1/poll"

// PollTimeout bounds one poll, at a time scale of 1.
const PollTimeout = time.Second

// Config configures a Puller.
type Config struct {
	MaxBytes  int // of the answers held, approximately
	Frontend  *cache.Frontend
	InPull    func() bool // reports whether the group is in pull mode
	Clock     func() time.Duration
	Timeout   time.Duration // PollTimeout, scaled
	FirstWait time.Duration // how long the first poll for an answer waits for a master
	// Poll polls the master once. The error is a *score.Problem where there is no master.
	Poll func(ctx context.Context, items []Item) ([]Answer, error)
	// Retry calls poll for each master in turn until it reports that it is done, or ctx
	// ends.
	Retry func(ctx context.Context, poll func() (done bool)) error
	Polls *prometheus.CounterVec // by outcome
	Ages  prometheus.Observer    // of answers from memory, in seconds
}

// Puller answers reads in pull mode. It is safe for concurrent use.
type Puller struct {
	Config
	ctx     context.Context // ends with the member
	flights singleflight.Group
	store   *pull.Store
}

// NewPuller returns a Puller that works until ctx ends.
func NewPuller(ctx context.Context, c Config) *Puller {
	return &Puller{Config: c, ctx: ctx, store: pull.NewStore(c.MaxBytes)}
}

// Pull returns the answer to key, how it came about, and its age: the answer was true at
// some moment within that time. It polls the master for an answer that is not held, or is
// too old. The error is a *score.Problem, or that of ctx.
func (p *Puller) Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error) {
	if e, age := p.store.Get(key, p.Clock()); e != nil {
		p.Ages.Observe(age.Seconds())
		return e, cache.Hit, age, nil
	}
	// Concurrent readers of a key share one poll. It was sent no earlier than the first
	// of them came.
	fetched := p.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(p.ctx, p.FirstWait)
		defer cancel()
		return nil, p.fetch(ctx, key)
	})
	select {
	case f := <-fetched:
		if f.Err != nil {
			return nil, "", 0, f.Err
		}
	case <-ctx.Done():
		return nil, "", 0, context.Cause(ctx)
	}
	if e, age := p.store.Get(key, p.Clock()); e != nil {
		return e, cache.Forward, age, nil
	}
	return nil, "", 0, peer.NoMaster()
}

// fetch polls for one answer until a master gives it, or ctx ends.
func (p *Puller) fetch(ctx context.Context, key string) (err error) {
	timedOut := p.Retry(ctx, func() (done bool) {
		err = p.poll(ctx, []string{key})
		return err == nil || peer.IsAnswer(err)
	})
	if timedOut != nil {
		return peer.NoMaster()
	}
	return err
}

// Run polls for the answers that are due. In push mode it holds none.
func (p *Puller) Run() {
	tick := time.NewTicker(pull.Tick)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		if !p.InPull() {
			p.store.Clear()
			continue
		}
		due := p.store.Due(p.Clock())
		if len(due) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(p.ctx, p.Timeout)
		if err := p.poll(ctx, due); err != nil {
			p.Polls.WithLabelValues("failed").Add(float64(len(due)))
		}
		cancel()
	}
}

// poll polls the master once for keys and stores its answers. For a single key the error
// may be the problem of its question.
func (p *Puller) poll(ctx context.Context, keys []string) error {
	items := make([]Item, len(keys))
	sums := p.store.Sums(keys)
	for i, key := range keys {
		items[i] = Item{key, sums[i]}
	}
	sent := p.Clock()
	answers, err := p.Poll(ctx, items)
	if err != nil {
		return err
	}
	if len(answers) != len(items) {
		return peer.NoMaster()
	}
	for i := range answers {
		p.take(keys[i], &answers[i], sent)
	}
	if problem := answers[0].Problem; len(keys) == 1 && problem != nil {
		return problem
	}
	return nil
}

// take stores the answer to a key. It invalidates what watchers have if the answer has
// changed.
func (p *Puller) take(key string, a *Answer, sent time.Duration) {
	polled := pull.Polled{Missing: a.Problem != nil, Same: a.Same, Body: a.Body, Revision: a.Revision}
	outcome := p.store.Take(key, &polled, sent, p.Clock())
	switch outcome {
	case pull.Late:
		return
	case pull.Changed:
		name, _, _ := strings.Cut(key, "?")
		p.Frontend.Invalidations().Add([]string{name}, false, 0)
	}
	p.Polls.WithLabelValues(outcome).Inc()
}
