package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
)

const (
	// ahead is how far an event's time may be ahead of the master's clock when it is proposed: api.md.
	ahead = 5 * time.Minute
	// patience is how long a post looks for a master before its poster is told that there is none. Elections take a fraction of it.
	patience = 5 * time.Second
	// enqueue bounds the wait for Raft's main loop to take an entry.
	enqueue = time.Second
	// retryPause is the longest wait between two attempts while no new master makes itself known.
	retryPause = 50 * time.Millisecond
	// lastWords is how long a master that is none any more may take, at a time scale of 1, to tell what became of the posts it has.
	lastWords = 50 * time.Millisecond
	// maxPosts bounds what one member forwards at once.
	maxPosts = 64 << 20
)

// errNoMaster: there is no master, or it is not the one that was asked; nothing has been proposed.
var errNoMaster = errors.New("no master")

// errUnknown: the post may have been committed, or may still be.
var errUnknown = errors.New("outcome unknown")

// errStopping: this frontend is closing; nothing has been proposed.
var errStopping error = score.Problemf(score.NotReady, "this frontend is stopping; post to another one")

// Post applies events and waits until a majority has them on disk and the master has applied them. The error is a *score.Problem; with
// one, nothing is known to be applied. Where the master is lost on the way, Post asks the next one, with the same identities: an event
// that the lost master did commit then comes back as a duplicate. Only posts whose events all have a seq are repeated when their outcome is
// unknown; others end with outcome_unknown, and who posted them may repeat them with the same ids.
func (m *Member) Post(ctx context.Context, p score.Post) ([]score.Result, error) {
	encoded, err := entry.EncodePost(p)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "%v", err)
	}
	if m.raft.State() == raft.Leader {
		if err := checkTimes(p.Events); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, m.scaled(patience))
	defer cancel()
	doubtful := false
	for {
		_, changed := m.masters.now()
		results, err := m.attempt(ctx, &item{post: encoded, done: make(chan outcome, 1)})
		switch {
		case err == nil:
			return results, nil
		case errors.Is(err, errUnknown):
			doubtful = true
			if !encoded.Repeatable {
				return nil, unknown()
			}
		case errors.Is(err, errNoMaster):
		case doubtful:
			return nil, unknown() // an earlier attempt may be applied, whatever refuses this one
		default:
			return nil, err
		}
		m.metrics.retries.Inc()
		select {
		case <-changed:
		case <-time.After(rand.N(retryPause)):
		case <-ctx.Done():
			if doubtful {
				return nil, unknown()
			}
			return nil, score.Problemf(score.NoMaster, "no master was found within %s; post again", m.scaled(patience))
		}
	}
}

func unknown() *score.Problem {
	return score.Problemf(score.OutcomeUnknown, "the master was lost while it wrote this post, which may be applied or not; post it again with the same source and seq, or the same id: it will not count twice")
}

func checkTimes(events []score.Event) error {
	limit := time.Now().Add(ahead)
	for i := range events {
		if t := events[i].Time; t.After(limit) {
			p := tooFarAhead(t)
			p.ID = events[i].ID
			if len(events) > 1 {
				p.Index = &i
			}
			return p
		}
	}
	return nil
}

func tooFarAhead(t time.Time) *score.Problem {
	p := score.Problemf(score.InvalidEvent, "%s is more than %s ahead of the master's clock", t.Format(time.RFC3339), ahead)
	p.Field = "time"
	return p
}

func (m *Member) attempt(ctx context.Context, it *item) ([]score.Result, error) {
	if err := m.gatherer.add(it); err != nil {
		return nil, err
	}
	select {
	case o := <-it.done:
		return o.results, o.err
	case <-ctx.Done():
		return nil, errUnknown
	}
}

// send brings gathered posts to the master: into its log if this is it, else to it over the peer port.
func (m *Member) send(batch []*item) {
	if m.raft.State() == raft.Leader {
		m.propose(batch)
		return
	}
	var own []*item
	for _, it := range batch {
		if it.forwarded {
			it.done <- outcome{err: errNoMaster}
			continue
		}
		own = append(own, it)
	}
	if len(own) == 0 {
		return
	}
	results, err := m.forwardPosts(own)
	deliver(own, results, err)
}

func deliver(batch []*item, results []outcome, err error) {
	for i, it := range batch {
		if err != nil {
			it.done <- outcome{err: err}
			continue
		}
		it.done <- results[i]
	}
}

// propose makes one entry of the posts and waits until it is committed and applied.
func (m *Member) propose(batch []*item) {
	reign := m.reign.Load()
	if reign == nil || m.raft.CurrentTerm() != reign.epoch || m.unguarded() {
		deliver(batch, nil, errNoMaster) // elected, but not begun
		return
	}
	posts := make([]entry.EncodedPost, len(batch))
	for i, it := range batch {
		posts[i] = it.post
	}
	start := time.Now()
	future := m.raft.Apply(entry.Encode(posts), enqueue)
	err := m.await(context.Background(), future)
	m.wedged(err)
	m.metrics.commit.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		deliver(batch, nil, errNoMaster) // these three come before the entry is appended
		return
	default:
		deliver(batch, nil, errUnknown)
		return
	}
	applied, ok := future.Response().(fsm.Outcome)
	if !ok || len(applied) != len(batch) {
		deliver(batch, nil, errUnknown) // committed, but this member's own state machine has failed
		return
	}
	start = time.Now()
	released := reign.push.AwaitReleased(m.ctx, m.seen(applied))
	m.released(time.Since(start))
	if !released {
		deliver(batch, nil, errUnknown)
		return
	}
	for i, it := range batch {
		m.metrics.count(applied[i])
		it.done <- outcome{results: applied[i]}
	}
}

// released counts an entry by what its release waited for. An ack that takes longer than tau is not waited for any more, but for the lease.
func (m *Member) released(took time.Duration) {
	m.metrics.release.Observe(took.Seconds())
	waited := "acks"
	if took > m.timings().AckTimeout {
		waited = "lease"
	}
	m.metrics.waits.WithLabelValues(waited).Inc()
}

// seen is the revision that must be visible before anybody is told of an outcome. A refusal, too, tells something of the state.
func (m *Member) seen(o fsm.Outcome) (revision uint64) {
	for _, results := range o {
		for i := range results {
			if results[i].Problem != nil {
				return m.machine.Revision()
			}
			revision = max(revision, results[i].Revision)
		}
	}
	return revision
}

// answer is how the master answers a forwarded post: with results or with what refused all of it.
type answer struct {
	Results []score.Result `json:"results,omitzero"`
	Problem *score.Problem `json:"problem,omitzero"`
	Unsent  bool           `json:"unsent,omitzero"`  // the member asked is not the master
	Unknown bool           `json:"unknown,omitzero"` // it was when it proposed the post
}

// forwardPosts hands posts to the master and waits for its answer, but hardly longer than it stays the master.
func (m *Member) forwardPosts(batch []*item) ([]outcome, error) {
	ctx, cancel := context.WithTimeout(m.ctx, m.scaled(patience))
	defer cancel()
	master, changed := m.masters.now()
	if master == "" {
		return nil, errNoMaster
	}
	go func() {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		// One that has handed over answers for what it has proposed.
		select {
		case <-time.After(m.scaled(lastWords)):
			cancel()
		case <-ctx.Done():
		}
	}()
	var body []byte
	for _, it := range batch {
		body = binary.AppendUvarint(body, uint64(it.post.Size()))
		body = append(body, it.post.Bytes()...)
	}
	m.metrics.forwarded.Add(float64(len(batch)))
	var answers []answer
	if err := m.port.Call(ctx, master, http.MethodPost, "/peer/v1/posts", bytes.NewReader(body), &answers); err != nil {
		var p *score.Problem
		switch {
		case peer.DialFailed(err):
			return nil, errNoMaster
		case !errors.As(err, &p):
			return nil, errUnknown
		case p.Code == score.NoMaster:
			return nil, errNoMaster
		}
		return nil, p // it has proposed nothing
	}
	if len(answers) != len(batch) {
		return nil, errUnknown
	}
	outcomes := make([]outcome, len(batch))
	for i, a := range answers {
		switch {
		case a.Unsent:
			outcomes[i].err = errNoMaster
		case a.Unknown:
			outcomes[i].err = errUnknown
		case a.Problem != nil:
			outcomes[i].err = a.Problem
		default:
			outcomes[i].results = a.Results
		}
	}
	return outcomes, nil
}

// takeForwarded is the master's side of forwardPosts. With an error, nothing has been proposed.
func (m *Member) takeForwarded(w http.ResponseWriter, r *http.Request) error {
	if m.raft.State() != raft.Leader {
		return peer.NotMaster()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPosts))
	if err != nil {
		return err
	}
	items, err := parseForwarded(body)
	if err != nil {
		return err
	}
	limit := time.Now().Add(ahead)
	for _, it := range items {
		if it.latest.After(limit) {
			it.done <- outcome{err: tooFarAhead(it.latest)}
		} else if err := m.gatherer.add(it); err != nil {
			it.done <- outcome{err: err}
		}
	}
	answers := make([]answer, len(items))
	for i, it := range items {
		select {
		case o := <-it.done:
			answers[i] = o.answer()
		case <-r.Context().Done():
			return nil // nobody reads the answer
		}
	}
	return json.MarshalWrite(w, answers)
}

func parseForwarded(body []byte) ([]*item, error) {
	var items []*item
	for len(body) > 0 {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return nil, errors.New("the forwarded posts are cut off")
		}
		post, latest, err := entry.ParsePost(body[n : n+int(size)])
		if err != nil {
			return nil, fmt.Errorf("forwarded post %d: %w", len(items), err)
		}
		body = body[n+int(size):]
		items = append(items, &item{post: post, latest: latest, forwarded: true, done: make(chan outcome, 1)})
	}
	return items, nil
}

func (o outcome) answer() answer {
	var p *score.Problem
	switch {
	case o.err == nil:
		return answer{Results: o.results}
	case errors.Is(o.err, errNoMaster), errors.Is(o.err, errStopping):
		return answer{Unsent: true}
	case errors.As(o.err, &p):
		return answer{Problem: p}
	}
	return answer{Unknown: true}
}
