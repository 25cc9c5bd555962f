package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/batch"
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

// poster is the path of posts: into the log at the master, and to the master elsewhere.
type poster struct {
	*replica
	access   *accessControl
	proposer *proposer
	batcher  *batch.Batcher
}

// Post applies events, here or at the master. It returns when a majority has stored them, the master has applied them, and
// all frontends may show them. The error is a *score.Problem; with one, no event is known to be
// applied.
//
// If the master is lost, post asks the next one, with the same identities: an event that the lost
// master did commit is a duplicate then. It repeats a post of unknown outcome only if all its
// events have a seq. Others end with outcome_unknown, and the client may repeat them with the same
// ids.
func (p *poster) Post(ctx context.Context, post score.Post) (results []score.Result, err error) {
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
	uncertain := false          // an earlier attempt may be applied
	pause := rand.N(retryPause) // the posts of a lost master do not come to the next one all at once
	timedOut := p.withMaster(ctx, pause, func(string, <-chan struct{}) (done bool) {
		results, err = p.attempt(ctx, encoded)
		switch {
		case err == nil:
			return true
		case errors.Is(err, batch.ErrUnknown):
			uncertain = true
			if !encoded.Repeatable {
				return true
			}
		case !errors.Is(err, batch.ErrNoMaster):
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
	return score.Problemf(score.OutcomeUnknown,
		"the master was lost while it wrote this post, which may or may not be applied; "+
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
	return score.Problemf(score.InvalidEvent,
		"%s is more than %s ahead of the master's clock", t.Format(time.RFC3339), maxClockSkew).At("time")
}

// attempt sends a post once.
func (p *poster) attempt(ctx context.Context, encoded entry.EncodedPost) ([]score.Result, error) {
	post := batch.NewPost(encoded)
	if err := p.batcher.Add(post); err != nil {
		return nil, err
	}
	select {
	case o := <-post.Done():
		return o.Results, o.Err
	case <-ctx.Done():
		return nil, batch.ErrUnknown
	}
}

// send sends posts to the master: into its log if this member is it, else over the peer port.
func (p *poster) send(posts []*batch.Post) {
	if p.raft.State() == raft.Leader {
		p.propose(posts)
		return
	}
	var own []*batch.Post
	for _, post := range posts {
		if post.Forwarded {
			post.Finish(batch.Outcome{Err: batch.ErrNoMaster})
			continue
		}
		own = append(own, post)
	}
	if len(own) == 0 {
		return
	}
	outcomes, err := p.forward(own)
	batch.Finish(own, outcomes, err)
}

// propose makes one log entry of posts and waits until all frontends may show it.
func (p *poster) propose(posts []*batch.Post) {
	l := p.elected.Load()
	if l == nil || p.raft.CurrentTerm() != l.epoch || p.access.unguarded() {
		batch.Finish(posts, nil, batch.ErrNoMaster) // elected, but the leadership has not begun
		return
	}
	encoded := make([]entry.EncodedPost, len(posts))
	for i, post := range posts {
		encoded[i] = post.EncodedPost
	}
	start := time.Now()
	response, err := p.proposer.propose(context.Background(), entry.Encode(encoded))
	p.metrics.commit.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
	case notAppended(err):
		batch.Finish(posts, nil, batch.ErrNoMaster)
		return
	default:
		batch.Finish(posts, nil, batch.ErrUnknown)
		return
	}
	applied, ok := response.(fsm.Outcome)
	if !ok || len(applied) != len(posts) {
		batch.Finish(posts, nil, batch.ErrUnknown) // committed, but this member's state machine has failed
		return
	}
	start = time.Now()
	released := l.push.AwaitReleased(p.ctx, p.revealed(applied))
	p.observeRelease(time.Since(start))
	if !released {
		batch.Finish(posts, nil, batch.ErrUnknown)
		return
	}
	for i, post := range posts {
		p.metrics.countResults(applied[i])
		post.Finish(batch.Outcome{Results: applied[i]})
	}
}

// observeRelease counts an entry by what its release waited for. The master waits for an ack at
// most for the AckTimeout, and then for the lease to expire.
func (p *poster) observeRelease(took time.Duration) {
	p.metrics.release.Observe(took.Seconds())
	waited := "acks"
	if took > p.timings().AckTimeout {
		waited = "lease"
	}
	p.metrics.releases.WithLabelValues(waited).Inc()
}

// revealed returns the revision that must be visible before anybody is told of an outcome. A
// refusal also reveals something of the state.
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
