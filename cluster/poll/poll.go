// Package poll answers reads in pull mode, in which no frontend has a lease.
//
// A [Reader] keeps answers in memory and polls the master again for each of them, as often
// as the schedule of package cache/pull says. As the master it answers polls, after it has
// proved that it is still the master. Start reading at Reader.Pull; master.go has the
// master's side.
package poll

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"laurel/cache"
	"laurel/cache/pull"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/cluster/readindex"
	"laurel/cluster/status"
	"laurel/fsm"
	"laurel/score"
)

const (
	// Path is where the master answers polls.
	Path = "/peer/v1/poll"
	// Timeout bounds one poll, at a time scale of 1.
	Timeout = time.Second

	retryPause = 50 * time.Millisecond // the longest between two polls for a reader
)

// Config configures a Reader.
type Config struct {
	Context  context.Context // ends when the member is closed
	Machine  *fsm.Machine
	Frontend *cache.Frontend
	Port     *peer.Port
	Leader   *status.LeaderWatch
	Rounds   *readindex.Rounds
	Parse    queries.Parse // finds the question for a key; set before the first poll
	Clock    func() time.Duration
	Bytes    int // bounds the memory of the answers, approximately

	Timeout       time.Duration // of one poll
	MasterTimeout time.Duration // for which a read waits for a master

	Leads func() bool            // whether this member is the master
	Mode  func() score.CacheMode // of the group
	// Released waits until all frontends may show a revision. It returns false if this
	// member is not the master.
	Released func(ctx context.Context, revision uint64) bool

	Polls *prometheus.CounterVec // laurel_polls_total
	Age   prometheus.Histogram   // laurel_pulled_age_seconds
}

// Reader answers reads in pull mode, and polls of other members.
type Reader struct {
	Config
	flights singleflight.Group
	store   *pull.Store
	held    chan struct{} // has a value after the store got an answer that it did not hold
}

// NewReader returns a Reader.
func NewReader(c Config) *Reader {
	return &Reader{Config: c, store: pull.NewStore(c.Bytes), held: make(chan struct{}, 1)}
}

// Pull returns the answer to key in pull mode, how it came about, and its age: the answer
// was true at some moment within that time. It polls the master for an answer that is not
// held, or is too old. The error is a *score.Problem, or that of ctx.
func (r *Reader) Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error) {
	if e, age := r.store.Get(key, r.Clock()); e != nil {
		r.Age.Observe(age.Seconds())
		return e, cache.Hit, age, nil
	}
	// Concurrent readers of a key share one poll. It was sent no earlier than the first
	// of them came.
	fetched := r.flights.DoChan(key, func() (any, error) { return nil, r.fetch(key) })
	select {
	case f := <-fetched:
		if f.Err != nil {
			return nil, "", 0, f.Err
		}
	case <-ctx.Done():
		return nil, "", 0, context.Cause(ctx)
	}
	if e, age := r.store.Get(key, r.Clock()); e != nil {
		return e, cache.Forward, age, nil
	}
	return nil, "", 0, peer.NoMaster()
}

// fetch polls for one answer until a master gives it.
func (r *Reader) fetch(key string) (err error) {
	ctx, cancel := context.WithTimeout(r.Context, r.MasterTimeout)
	defer cancel()
	timedOut := r.Leader.Try(ctx, retryPause, func(string, <-chan struct{}) (done bool) {
		err = r.poll(ctx, []string{key})
		return err == nil || peer.IsAnswer(err)
	})
	if timedOut != nil {
		return peer.NoMaster()
	}
	return err
}

// Run polls for the answers that are due. In push mode it holds none. It waits while
// there are none.
func (r *Reader) Run() {
	tick := time.NewTicker(pull.Tick)
	defer tick.Stop()
	for {
		if r.store.Empty() {
			tick.Stop()
			select {
			case <-r.Context.Done():
				return
			case <-r.held:
				tick.Reset(pull.Tick)
			}
		}
		select {
		case <-r.Context.Done():
			return
		case <-tick.C:
		}
		if r.Mode() != score.Pull {
			r.store.Clear()
			continue
		}
		due := r.store.Due(r.Clock())
		if len(due) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(r.Context, r.Timeout)
		if err := r.poll(ctx, due); err != nil {
			r.Polls.WithLabelValues("failed").Add(float64(len(due)))
		}
		cancel()
	}
}

// poll polls the master once for keys and stores its answers. For a single key the error
// may be the problem of its question.
func (r *Reader) poll(ctx context.Context, keys []string) error {
	q := request{r.Machine.Access().Settings.Private, make([]item, len(keys))}
	sums := r.store.Sums(keys)
	for i, key := range keys {
		q.Items[i] = item{key, sums[i]}
	}
	sent := r.Clock()
	answers, err := r.ask(ctx, &q)
	if err != nil {
		return err
	}
	if len(answers) != len(keys) {
		return peer.NoMaster()
	}
	for i := range answers {
		r.take(keys[i], &answers[i], sent)
	}
	if problem := answers[0].Problem; len(keys) == 1 && problem != nil {
		return problem
	}
	return nil
}

// ask asks the master once, which may be this member.
func (r *Reader) ask(ctx context.Context, q *request) (answers []answer, err error) {
	if r.Leads() {
		return r.answer(ctx, q)
	}
	master := r.Leader.Other(r.Port.Addr().String())
	if master == "" {
		return nil, peer.NoMaster()
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if err := r.Port.Call(ctx, master, http.MethodPost, Path, bytes.NewReader(body), &answers); err != nil {
		return nil, peer.NoMaster()
	}
	return answers, nil
}

// take stores the answer to a key. It invalidates what watchers have if the answer has
// changed.
func (r *Reader) take(key string, a *answer, sent time.Duration) {
	polled := pull.Polled{Missing: a.Problem != nil, Same: a.Same, Body: a.Body, Revision: a.Revision}
	outcome := r.store.Take(key, &polled, sent, r.Clock())
	switch outcome {
	case pull.Late:
		return
	case pull.New:
		select {
		case r.held <- struct{}{}:
		default:
		}
	case pull.Changed:
		name, _, _ := strings.Cut(key, "?")
		r.Frontend.Invalidations().Add([]string{name}, false, 0)
	}
	r.Polls.WithLabelValues(outcome).Inc()
}
