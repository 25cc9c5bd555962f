package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/singleflight"

	"laurel/cache"
	"laurel/fsm"
	"laurel/score"
	"laurel/score/ranking"
)

const (
	// pullBound is the age from which on an answer that was pulled is not given any more: the master has not answered for as long as the
	// coldest record waits, and half of that again.
	pullBound = 3 * cache.PollFloor / 2
	// pullIdle is after how long without a reader an answer is not held any more.
	pullIdle = 5 * time.Minute
	// maxPulled and maxPulledBytes bound the answers held in pull mode.
	maxPulled      = 10_000
	maxPulledBytes = answersBytes
	// maxPoll bounds the keys in one poll.
	maxPoll = 1024
	// pollLimit bounds one poll at a time scale of 1.
	pollLimit = time.Second
)

// Questions finds what to ask the state for a key. The error is a *score.Problem.
type Questions func(key string) (Question, error)

// Question is how the answer to a key is made: by Ask from a view of the state, or, where that is nil, by Board from a leaderboard.
type Question struct {
	Ask   Ask
	Board *BoardQuestion
}

// BoardQuestion asks for a part of a leaderboard. Body makes the answer of what comes of it: nil if there is no such thing, and the revision that last
// changed it.
type BoardQuestion struct {
	Contest string
	ranking.Question
	Body func(p *ranking.Page, revision uint64, problem error) (body []byte, last uint64, err error)
}

// pulled are the answers of a member in pull mode. It asks the master again for each as often as the schedule says.
type pulled struct {
	of       *Member
	flights  singleflight.Group
	mu       sync.RWMutex
	held     map[string]*pulledAnswer
	bytes    int
	schedule *cache.Schedule
}

// pulledAnswer is an answer that was true at some moment after the check was sent.
type pulledAnswer struct {
	entry   *cache.Entry
	sum     []byte
	checked time.Duration // when the last check that was answered was sent
	reads   uint64        // as counted at the last check
	read    time.Duration // the last check before which somebody had read it
	item    *cache.PollItem
}

func newPulled(m *Member) *pulled {
	return &pulled{of: m, held: map[string]*pulledAnswer{}, schedule: cache.NewSchedule(cache.PollBudget)}
}

// Pull is the answer to key in pull mode, how it came about, and its age: the answer was true at some moment in that time. An answer that is
// not held, or is too old, is asked of the master. The error is a *score.Problem, or that of ctx.
func (m *Member) Pull(ctx context.Context, key string) (e *cache.Entry, how string, age time.Duration, err error) {
	p := m.pulled
	now := m.clock()
	if e, age := p.get(key, now); e != nil {
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
	if e, age := p.get(key, m.clock()); e != nil {
		return e, Forwarded, age, nil
	}
	return nil, "", 0, noMaster()
}

// Forwarded is the Laurel-Cache of an answer that the master was asked for.
const Forwarded = "forward"

func (p *pulled) get(key string, now time.Duration) (*cache.Entry, time.Duration) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	a := p.held[key]
	if a == nil || now-a.checked > pullBound {
		return nil, 0
	}
	a.item.Read()
	return a.entry, now - a.checked
}

// fetch asks for one answer, of each master that makes itself known until ctx ends.
func (p *pulled) fetch(ctx context.Context, key string) error {
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
			return noMaster()
		}
	}
}

// run polls as the schedule says while the group is in pull mode. In push mode nothing is held.
func (p *pulled) run() {
	tick := time.NewTicker(cache.PollTick)
	defer tick.Stop()
	for {
		select {
		case <-p.of.ctx.Done():
			return
		case <-tick.C:
		}
		if p.of.CacheMode() != score.Pull {
			p.dropAll()
			continue
		}
		p.mu.Lock()
		due := p.schedule.Due(p.of.clock())
		p.mu.Unlock()
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

func (p *pulled) dropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) > 0 {
		p.held, p.bytes, p.schedule = map[string]*pulledAnswer{}, 0, cache.NewSchedule(cache.PollBudget)
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
func (p *pulled) poll(ctx context.Context, keys []string) error {
	m := p.of
	items := make([]pollItem, len(keys))
	p.mu.RLock()
	for i, key := range keys {
		items[i].Key = key
		if a := p.held[key]; a != nil {
			items[i].Sum = a.sum
		}
	}
	p.mu.RUnlock()
	sent := m.clock()
	answers, err := m.pollMaster(ctx, items)
	if err != nil {
		return err
	}
	if len(answers) != len(items) {
		return noMaster()
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
		return nil, noMaster()
	}
	body, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	if err := m.port.Call(ctx, master, http.MethodPost, "/peer/v1/poll", bytes.NewReader(body), &answers); err != nil {
		return nil, noMaster()
	}
	return answers, nil
}

// take takes in what the master said of a key.
func (p *pulled) take(key string, answer *pollAnswer, sent time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.held[key]
	now := p.of.clock()
	switch {
	case a != nil && sent < a.checked:
		return // a later check has been answered meanwhile
	case answer.Problem != nil:
		p.drop(key)
		p.count("gone")
		return
	case a == nil:
		p.hold(key, answer, sent, now)
		p.count("new")
		return
	case !answer.Same:
		p.bytes += len(answer.Body) - len(a.entry.Body)
		a.entry, a.sum = answer.entry(), sumOf(answer.Body)
		p.count("changed")
		name, _, _ := strings.Cut(key, "?")
		p.of.frontend.Feed().Tell([]string{name}, false, 0)
	default:
		p.count("same")
	}
	a.checked = max(a.checked, sent)
	if reads := a.item.Reads(); reads != a.reads {
		a.reads, a.read = reads, now
	}
	p.schedule.Checked(key, !answer.Same, now)
	if now-a.read > pullIdle {
		p.drop(key)
	}
}

func (p *pulled) count(outcome string) { p.of.metrics.polls.WithLabelValues(outcome).Inc() }

// hold begins to hold an answer. Where there is no room the one that was read the longest ago goes.
func (p *pulled) hold(key string, answer *pollAnswer, sent, now time.Duration) {
	for len(p.held) >= maxPulled || p.bytes+len(answer.Body) > maxPulledBytes && len(p.held) > 0 {
		oldest := ""
		for k, a := range p.held {
			if oldest == "" || a.read < p.held[oldest].read {
				oldest = k
			}
		}
		p.drop(oldest)
	}
	p.bytes += len(answer.Body)
	p.held[key] = &pulledAnswer{entry: answer.entry(), sum: sumOf(answer.Body), checked: sent, read: now, item: p.schedule.Add(key, now)}
}

func (p *pulled) drop(key string) {
	if a := p.held[key]; a != nil {
		p.bytes -= len(a.entry.Body)
		delete(p.held, key)
		p.schedule.Remove(key)
	}
}

func (a *pollAnswer) entry() *cache.Entry { return &cache.Entry{Body: a.Body, Revision: a.Revision} }

func sumOf(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:16]
}

// takePoll is the master's side of a poll.
func (m *Member) takePoll(w http.ResponseWriter, r *http.Request) error {
	if m.leads() == nil {
		return notMaster()
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
		return nil, notMaster()
	}
	if err := m.confirm.wait(ctx); err != nil {
		return nil, err
	}
	answers, view, err := m.answerItems(ctx, items)
	if err != nil {
		return nil, err
	}
	return answers, lead.awaitReleased(ctx, view)
}

// answerItems answers from the state here. Nothing in the answers is later than view.
func (m *Member) answerItems(ctx context.Context, items []pollItem) (answers []pollAnswer, view uint64, err error) {
	answers = make([]pollAnswer, len(items))
	questions := make([]Question, len(items))
	for i := range items {
		if questions[i], err = m.questions(items[i].Key); answers[i].fails(&err) {
			questions[i] = Question{}
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
			page, revision, problem := m.machine.Board(ctx, q.Contest, &q.Question)
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
	case held != nil && slices.Equal(held, sumOf(body)):
		a.Same, a.Revision = true, revision
	default:
		a.Body, a.Revision = body, revision
	}
	return nil
}
