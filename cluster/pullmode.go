package cluster

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/singleflight"

	"laurel/cache"
	"laurel/cache/pull"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/fsm"
	"laurel/score"
)

const (
	pollPath    = "/peer/v1/poll" // see polling.serve
	pollTimeout = time.Second     // for one poll, at a time scale of 1
	// maxPollItems and maxPollBody, in bytes, bound one poll.
	maxPollItems = 1024
	maxPollBody  = 1 << 20
)

// CacheMode returns the mode of the group, as far as this member knows.
func (r *replica) CacheMode() score.CacheMode {
	if r.frontend.Leased() {
		return score.Push // the master knows the mode, and grants leases in no other
	}
	return r.machine.CacheMode()
}

// polling answers reads in pull mode, in which no frontend has a lease. It keeps answers
// in memory and polls the master again for each of them, as often as the schedule of
// package cache/pull says. As the master it answers polls, after it has proved that it is
// still the master.
type polling struct {
	*replica
	readIndex *readIndex
	parse     queries.Parse // finds the question for a key; set before the first poll
	flights   singleflight.Group
	store     *pull.Store
}

// pollRequest asks for the answers to items.
type pollRequest struct {
	// Private reports whether the asking frontend answers readers only, as far as it has
	// applied the log. An answer may be newer than that.
	Private bool       `json:"private,omitzero"`
	Items   []pollItem `json:"items"`
}

// pollItem asks for the answer to a key.
type pollItem struct {
	Key string `json:"key"`
	Sum []byte `json:"sum,omitzero"` // the checksum of the answer that the frontend holds
}

// pollAnswer is the answer to a pollItem.
type pollAnswer struct {
	Same     bool           `json:"same,omitzero"` // it has the checksum
	Body     []byte         `json:"body,omitzero"` // nil: there is no such record
	Revision uint64         `json:"revision,omitzero"`
	Problem  *score.Problem `json:"problem,omitzero"` // of the question
}

// Pull returns the answer to key in pull mode, how it came about, and its age: the answer
// was true at some moment within that time. It polls the master for an answer that is not
// held, or is too old. The error is a *score.Problem, or that of ctx.
func (p *polling) Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error) {
	if e, age := p.store.Get(key, p.clock()); e != nil {
		p.metrics.pulledAge.Observe(age.Seconds())
		return e, cache.Hit, age, nil
	}
	// Concurrent readers of a key share one poll. It was sent no earlier than the first
	// of them came.
	fetched := p.flights.DoChan(key, func() (any, error) { return nil, p.fetch(key) })
	select {
	case f := <-fetched:
		if f.Err != nil {
			return nil, "", 0, f.Err
		}
	case <-ctx.Done():
		return nil, "", 0, context.Cause(ctx)
	}
	if e, age := p.store.Get(key, p.clock()); e != nil {
		return e, cache.Forward, age, nil
	}
	return nil, "", 0, peer.NoMaster()
}

// fetch polls for one answer until a master gives it.
func (p *polling) fetch(key string) (err error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.scaled(masterTimeout))
	defer cancel()
	timedOut := p.withMaster(ctx, retryPause, func(string, <-chan struct{}) (done bool) {
		err = p.poll(ctx, []string{key})
		return err == nil || peer.IsAnswer(err)
	})
	if timedOut != nil {
		return peer.NoMaster()
	}
	return err
}

// pollLoop polls for the answers that are due. In push mode it holds none.
func (p *polling) pollLoop() {
	tick := time.NewTicker(pull.Tick)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		if p.CacheMode() != score.Pull {
			p.store.Clear()
			continue
		}
		due := p.store.Due(p.clock())
		if len(due) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(p.ctx, p.scaled(pollTimeout))
		if err := p.poll(ctx, due); err != nil {
			p.metrics.polls.WithLabelValues("failed").Add(float64(len(due)))
		}
		cancel()
	}
}

// poll polls the master once for keys and stores its answers. For a single key the error
// may be the problem of its question.
func (p *polling) poll(ctx context.Context, keys []string) error {
	q := pollRequest{p.machine.Access().Settings.Private, make([]pollItem, len(keys))}
	sums := p.store.Sums(keys)
	for i, key := range keys {
		q.Items[i] = pollItem{key, sums[i]}
	}
	sent := p.clock()
	answers, err := p.ask(ctx, &q)
	if err != nil {
		return err
	}
	if len(answers) != len(keys) {
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

// ask asks the master once, which may be this member.
func (p *polling) ask(ctx context.Context, q *pollRequest) (answers []pollAnswer, err error) {
	if p.leadership() != nil {
		return p.answer(ctx, q)
	}
	master := p.otherMaster()
	if master == "" {
		return nil, peer.NoMaster()
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if err := p.port.Call(ctx, master, http.MethodPost, pollPath, bytes.NewReader(body), &answers); err != nil {
		return nil, peer.NoMaster()
	}
	return answers, nil
}

// take stores the answer to a key. It invalidates what watchers have if the answer has
// changed.
func (p *polling) take(key string, a *pollAnswer, sent time.Duration) {
	polled := pull.Polled{Missing: a.Problem != nil, Same: a.Same, Body: a.Body, Revision: a.Revision}
	outcome := p.store.Take(key, &polled, sent, p.clock())
	switch outcome {
	case pull.Late:
		return
	case pull.Changed:
		name, _, _ := strings.Cut(key, "?")
		p.frontend.Invalidations().Add([]string{name}, false, 0)
	}
	p.metrics.polls.WithLabelValues(outcome).Inc()
}

// serve answers a poll of another member.
func (p *polling) serve(w http.ResponseWriter, r *http.Request) error {
	var q pollRequest
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxPollBody), &q); err != nil {
		return err
	}
	if len(q.Items) > maxPollItems {
		return score.Problemf(score.TooLarge, "a poll of %d keys; want at most %d", len(q.Items), maxPollItems)
	}
	answers, err := p.answer(r.Context(), &q)
	if err != nil {
		return err
	}
	return json.MarshalWrite(w, answers)
}

// answer answers a poll. The answers were true at some moment after the call: this member
// proves that it was still the master then, and waits until all frontends may show what
// it answers. A frontend that does not know yet that the group is private gets none: it
// would give them to anybody.
func (p *polling) answer(ctx context.Context, q *pollRequest) ([]pollAnswer, error) {
	if err := p.readIndex.confirm(ctx); err != nil {
		return nil, err
	}
	answers, revision, err := p.load(ctx, q.Items)
	if err != nil {
		return nil, err
	}
	if p.machine.Access().Settings.Private && !q.Private {
		return nil, score.Problemf(score.NotReady, "the asking frontend has not applied yet that the group is private")
	}
	lead := p.leadership()
	if lead == nil || !lead.push.AwaitReleased(ctx, revision) {
		return nil, peer.NoMaster()
	}
	return answers, nil
}

// load answers from this member's own state. No answer has anything later than revision.
func (p *polling) load(ctx context.Context, items []pollItem) (answers []pollAnswer, revision uint64, err error) {
	answers = make([]pollAnswer, len(items))
	questions := make([]queries.Question, len(items))
	for i := range items {
		questions[i], err = p.parse(items[i].Key)
		if err := answers[i].set(nil, 0, err, nil); err != nil {
			return nil, 0, err
		}
		if answers[i].Problem != nil {
			questions[i] = queries.Question{}
		}
	}
	err = p.machine.View(func(v *fsm.View) error {
		for i := range items {
			if ask := questions[i].Ask; ask != nil {
				body, last, err := ask(v)
				if err := answers[i].set(body, last, err, items[i].Sum); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for i := range items {
		// Outside of the view: to build a leaderboard takes time, and until the view ends
		// the database cannot reuse the space that it sees.
		if q := questions[i].Board; q != nil && err == nil {
			page, last, problem := p.machine.Board(ctx, q.Contest, &q.Query)
			var body []byte
			body, last, problem = q.Body(&page, last, problem)
			err = answers[i].set(body, last, problem, items[i].Sum)
		}
	}
	return answers, p.machine.Revision(), err
}

// set sets the answer. It returns err unless that is a problem of the question, which is
// an answer. held is the checksum of the answer that the frontend has.
func (a *pollAnswer) set(body []byte, revision uint64, err error, held []byte) error {
	problem, refused := errors.AsType[*score.Problem](err)
	switch {
	case refused:
		a.Problem = problem
	case err != nil:
		return err
	case held != nil && slices.Equal(held, pull.Sum(body)):
		a.Same, a.Revision = true, revision
	default:
		a.Body, a.Revision = body, revision
	}
	return nil
}
