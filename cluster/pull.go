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
	// maxPoll bounds the keys in one poll.
	maxPoll = 1024
	// pollLimit bounds one poll at a time scale of 1.
	pollLimit = time.Second
)

// puller answers in pull mode. It asks the master again for each answer that it holds, as often
// as the schedule of the store says.
type puller struct {
	of      *Member
	flights singleflight.Group
	store   *pull.Store
}

func newPuller(m *Member) *puller { return &puller{of: m, store: pull.NewStore(answersBytes)} }

// Pull is the answer to key in pull mode, how it came about, and its age: the answer was true at some moment in that time. An answer that is
// not held, or is too old, is asked of the master. The error is a *score.Problem, or that of ctx.
func (m *Member) Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error) {
	p := m.puller
	now := m.clock()
	if e, age := p.store.Get(key, now); e != nil {
		m.metrics.pulledAge.Observe(age.Seconds())
		return e, cache.Hit, age, nil
	}
	// Those who ask for the same wait for one answer. It was asked for no earlier than the first of them came.
	fetched := p.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(m.ctx, m.scaled(awaitMaster))
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
	if e, age := p.store.Get(key, m.clock()); e != nil {
		return e, cache.Forward, age, nil
	}
	return nil, "", 0, peer.NoMaster()
}

// fetch asks for one answer, of each master that makes itself known until ctx ends.
func (p *puller) fetch(ctx context.Context, key string) error {
	for {
		_, changed := p.of.masters.now()
		err := p.poll(ctx, []string{key})
		var problem *score.Problem
		if err == nil || errors.As(err, &problem) && problem.Code != score.NoMaster {
			return err
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return peer.NoMaster()
		}
	}
}

// run polls as the schedule says while the group is in pull mode. In push mode nothing is held.
func (p *puller) run() {
	tick := time.NewTicker(pull.Tick)
	defer tick.Stop()
	for {
		select {
		case <-p.of.ctx.Done():
			return
		case <-tick.C:
		}
		if p.of.CacheMode() != score.Pull {
			p.store.Clear()
			continue
		}
		due := p.store.Due(p.of.clock())
		if len(due) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(p.of.ctx, p.of.scaled(pollLimit))
		if err := p.poll(ctx, due); err != nil {
			p.of.metrics.polls.WithLabelValues("failed").Add(float64(len(due)))
		}
		cancel()
	}
}

// pollItem is a question to the master: the key, and what is held of its answer.
type pollItem struct {
	Key string `json:"key"`
	Sum []byte `json:"sum,omitzero"`
}

// pollAnswer is the master's answer to it.
type pollAnswer struct {
	Same     bool           `json:"same,omitzero"`
	Body     []byte         `json:"body,omitzero"` // nil: there is no such record
	Revision uint64         `json:"revision,omitzero"`
	Problem  *score.Problem `json:"problem,omitzero"`
}

// poll asks the master for keys, all at once, and takes in what it says. For a single key the error may be what the question is wrong in.
func (p *puller) poll(ctx context.Context, keys []string) error {
	m := p.of
	items := make([]pollItem, len(keys))
	sums := p.store.Sums(keys)
	for i, key := range keys {
		items[i] = pollItem{key, sums[i]}
	}
	sent := m.clock()
	answers, err := m.pollMaster(ctx, items)
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

func (m *Member) pollMaster(ctx context.Context, items []pollItem) (answers []pollAnswer, err error) {
	if m.leads() != nil {
		return m.answerPoll(ctx, items)
	}
	master, _ := m.masters.now()
	if master == "" || master == m.opts.Peer {
		return nil, peer.NoMaster()
	}
	body, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	if err := m.port.Call(ctx, master, http.MethodPost, "/peer/v1/poll", bytes.NewReader(body), &answers); err != nil {
		return nil, peer.NoMaster()
	}
	return answers, nil
}

// take takes in what the master said of a key.
func (p *puller) take(key string, a *pollAnswer, sent time.Duration) {
	polled := pull.Polled{Missing: a.Problem != nil, Same: a.Same, Body: a.Body, Revision: a.Revision}
	outcome := p.store.Take(key, &polled, sent, p.of.clock())
	switch outcome {
	case pull.Late:
		return
	case pull.Changed:
		name, _, _ := strings.Cut(key, "?")
		p.of.frontend.Invalidations().Add([]string{name}, false, 0)
	}
	p.of.metrics.polls.WithLabelValues(outcome).Inc()
}

// takePoll is the master's side of a poll.
func (m *Member) takePoll(w http.ResponseWriter, r *http.Request) error {
	if m.leads() == nil {
		return peer.NotMaster()
	}
	var items []pollItem
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxForwarded), &items); err != nil {
		return err
	}
	if len(items) > maxPoll {
		return score.Problemf(score.TooLarge, "a poll of %d keys; want at most %d", len(items), maxPoll)
	}
	answers, err := m.answerPoll(r.Context(), items)
	if err != nil {
		return err
	}
	return json.MarshalWrite(w, answers)
}

// answerPoll answers what was true at some moment after the call: this member proves that it was the master still, and what it says
// is what everybody may see.
func (m *Member) answerPoll(ctx context.Context, items []pollItem) ([]pollAnswer, error) {
	lead := m.leads()
	if lead == nil {
		return nil, peer.NotMaster()
	}
	if err := m.confirm.wait(ctx); err != nil {
		return nil, err
	}
	answers, view, err := m.answerItems(ctx, items)
	if err != nil {
		return nil, err
	}
	if !lead.push.AwaitReleased(ctx, view) {
		return nil, errUnknown
	}
	return answers, nil
}

// answerItems answers from the state here. Nothing in the answers is later than view.
func (m *Member) answerItems(ctx context.Context, items []pollItem) (answers []pollAnswer, view uint64, err error) {
	answers = make([]pollAnswer, len(items))
	questions := make([]queries.Question, len(items))
	for i := range items {
		if questions[i], err = m.questions(items[i].Key); answers[i].fails(&err) {
			questions[i] = queries.Question{}
		}
		if err != nil {
			return nil, 0, err
		}
	}
	err = m.machine.View(func(v *fsm.View) error {
		for i := range items {
			if ask := questions[i].Ask; ask != nil {
				body, revision, err := ask(v)
				if err := answers[i].answer(body, revision, err, items[i].Sum); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for i := range items {
		// Not within the view: a board may have to be made, and meanwhile the database could not use again the space that the view sees.
		if q := questions[i].Board; q != nil && err == nil {
			page, revision, problem := m.machine.Board(ctx, q.Contest, &q.Query)
			var body []byte
			body, revision, problem = q.Body(&page, revision, problem)
			err = answers[i].answer(body, revision, problem, items[i].Sum)
		}
	}
	return answers, m.machine.Revision(), err
}

// fails takes an error in, if it is a problem of the question.
func (a *pollAnswer) fails(err *error) bool {
	var problem *score.Problem
	if !errors.As(*err, &problem) {
		return false
	}
	a.Problem, *err = problem, nil
	return true
}

func (a *pollAnswer) answer(body []byte, revision uint64, err error, held []byte) error {
	switch {
	case a.fails(&err) || err != nil:
		return err
	case held != nil && slices.Equal(held, pull.Sum(body)):
		a.Same, a.Revision = true, revision
	default:
		a.Body, a.Revision = body, revision
	}
	return nil
}
