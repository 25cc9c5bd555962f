package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
)

const (
	// maxClockSkew is how far the time of an event may be ahead of the master's clock.
	maxClockSkew = 5 * time.Minute
	// postTimeout is how long a post looks for a master. Elections take a fraction of it.
	postTimeout = 5 * time.Second
	// retryPause is the longest wait between two attempts while there is no new master.
	retryPause = 50 * time.Millisecond
)

var (
	// errNoMaster means that there is no master, or that the member asked is not the master. Nothing
	// was proposed.
	errNoMaster = errors.New("no master")
	// errUnknown means that the post may have been committed, or may be later.
	errUnknown = errors.New("outcome unknown")
	// errStopping means that this frontend is closing. Nothing was proposed.
	errStopping error = score.Problemf(score.NotReady, "this frontend is stopping; use another one")
)

// poster is the path of posts: into the log at the master, and to the master elsewhere.
type poster struct {
	*replica
	elections *elections
	access    *accessControl
	proposer  *proposer
	batch     *batcher
}

// post applies events: it returns when a majority has stored them, the master has applied them, and
// all frontends may show them. The error is a *score.Problem; with one, no event is known to be
// applied.
//
// If the master is lost, post asks the next one, with the same identities: an event that the lost
// master did commit is a duplicate then. It repeats a post of unknown outcome only if all its events
// have a seq. Others end with outcome_unknown, and the client may repeat them with the same ids.
func (p *poster) post(ctx context.Context, post score.Post) (results []score.Result, err error) {
	encoded, err := entry.EncodePost(post)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "%v", err)
	}
	if p.raft.State() == raft.Leader {
		if err := checkTimes(post.Events); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.scaled(postTimeout))
	defer cancel()
	uncertain := false // an earlier attempt may be applied
	pause := func() time.Duration { return rand.N(retryPause) }
	timedOut := p.withMaster(ctx, pause, func(string, <-chan struct{}) (done bool) {
		results, err = p.attempt(ctx, &pendingPost{post: encoded, done: make(chan outcome, 1)})
		switch {
		case err == nil:
			return true
		case errors.Is(err, errUnknown):
			uncertain = true
			if !encoded.Repeatable {
				return true
			}
		case !errors.Is(err, errNoMaster):
			return true
		}
		p.metrics.retries.Inc()
		return false
	})
	switch {
	case err == nil:
		return results, nil
	case uncertain:
		return nil, outcomeUnknown()
	case timedOut != nil:
		return nil, score.Problemf(score.NoMaster, "no master was found within %s; retry", p.scaled(postTimeout))
	}
	return nil, err
}

func outcomeUnknown() *score.Problem {
	return score.Problemf(score.OutcomeUnknown, "the master was lost while it wrote this post, which may or may not be applied; "+
		"repeat it with the same source and seq, or the same id: it will not count twice")
}

// checkTimes returns a problem if the time of an event is too far ahead of this member's clock.
func checkTimes(events []score.Event) error {
	limit := time.Now().Add(maxClockSkew)
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
	p := score.Problemf(score.InvalidEvent, "%s is more than %s ahead of the master's clock", t.Format(time.RFC3339), maxClockSkew)
	p.Field = "time"
	return p
}

// attempt sends a post once.
func (p *poster) attempt(ctx context.Context, pending *pendingPost) ([]score.Result, error) {
	if err := p.batch.add(pending); err != nil {
		return nil, err
	}
	select {
	case o := <-pending.done:
		return o.results, o.err
	case <-ctx.Done():
		return nil, errUnknown
	}
}

// send sends a batch to the master: into its log if this member is it, else over the peer port.
func (p *poster) send(batch []*pendingPost) {
	if p.raft.State() == raft.Leader {
		p.propose(batch)
		return
	}
	var own []*pendingPost
	for _, pending := range batch {
		if pending.forwarded {
			pending.done <- outcome{err: errNoMaster}
			continue
		}
		own = append(own, pending)
	}
	if len(own) == 0 {
		return
	}
	outcomes, err := p.forward(own)
	finish(own, outcomes, err)
}

// finish gives each post of a batch its outcome, or err to all.
func finish(batch []*pendingPost, outcomes []outcome, err error) {
	for i, pending := range batch {
		if err != nil {
			pending.done <- outcome{err: err}
			continue
		}
		pending.done <- outcomes[i]
	}
}

// propose makes one log entry of a batch and waits until all frontends may show it.
func (p *poster) propose(batch []*pendingPost) {
	l := p.elections.elected.Load()
	if l == nil || p.raft.CurrentTerm() != l.epoch || p.access.unguarded() {
		finish(batch, nil, errNoMaster) // elected, but the leadership has not begun
		return
	}
	posts := make([]entry.EncodedPost, len(batch))
	for i, pending := range batch {
		posts[i] = pending.post
	}
	start := time.Now()
	response, err := p.proposer.propose(context.Background(), entry.Encode(posts))
	p.metrics.commit.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
	case notAppended(err):
		finish(batch, nil, errNoMaster)
		return
	default:
		finish(batch, nil, errUnknown)
		return
	}
	applied, ok := response.(fsm.Outcome)
	if !ok || len(applied) != len(batch) {
		finish(batch, nil, errUnknown) // committed, but this member's state machine has failed
		return
	}
	start = time.Now()
	released := l.push.AwaitReleased(p.ctx, p.revealed(applied))
	p.observeRelease(time.Since(start))
	if !released {
		finish(batch, nil, errUnknown)
		return
	}
	for i, pending := range batch {
		p.metrics.countResults(applied[i])
		pending.done <- outcome{results: applied[i]}
	}
}

// observeRelease counts an entry by what its release waited for. The master waits for an ack at most
// for the AckTimeout, and then for the lease to expire.
func (p *poster) observeRelease(took time.Duration) {
	p.metrics.release.Observe(took.Seconds())
	waited := "acks"
	if took > p.timings().AckTimeout {
		waited = "lease"
	}
	p.metrics.releases.WithLabelValues(waited).Inc()
}

// revealed returns the revision that must be visible before anybody is told of an outcome. A refusal
// also reveals something of the state.
func (p *poster) revealed(o fsm.Outcome) (revision uint64) {
	for _, results := range o {
		for i := range results {
			if results[i].Problem != nil {
				return p.machine.Revision()
			}
			revision = max(revision, results[i].Revision)
		}
	}
	return revision
}
