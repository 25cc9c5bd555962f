package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/cluster/standing"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

const (
	// maxClockSkew is how far the time of an event may be ahead of the master's clock.
	maxClockSkew = 5 * time.Minute
	// postTimeout is how long the outcome of a post is waited for.
	postTimeout = 5 * time.Second
	// seekTimeout is how long, at a time scale of 1, a post looks for a master. Elections
	// take a fraction of it. It is less than clients wait for one frontend, so that they
	// are told that nothing was done.
	seekTimeout = 2500 * time.Millisecond
	// retryPause is the longest wait between two attempts while there is no new master.
	retryPause = 50 * time.Millisecond
	// resultGrace is how long, at a time scale of 1, a forwarding frontend waits for the
	// results of the old master after the master has changed.
	resultGrace = 50 * time.Millisecond
	// roomTimeout is how long, at a time scale of 1, posts wait for room in the log before
	// they are refused.
	roomTimeout = time.Second
	// maxForwardedPosts bounds what one member forwards at once, in bytes. It forwards what
	// would be one log entry.
	maxForwardedPosts = maxLogEntry
	// maxForwarding is how many batches of posts one member may have forwarded at once:
	// those that it has in flight, and some whose connection's end is not noticed yet.
	maxForwarding = 8

	postsPath = "/peer/v1/posts" // see poster.serveForwarded
)

// poster is the path of posts: into the log at the master, and to the master elsewhere.
type poster struct {
	*replica
	access   *accessControl // set before the first post, as is proposer
	proposer *proposer
	enforcer *standing.Enforcer // nil in an insecure group
	batcher  *batch.Batcher
	refusals *peer.Refusals // of the tokens of forwarded posts
	// withoutRoom returns the voters for whose disks posts are refused; nil if they are not.
	withoutRoom func() []string
	timers      sync.Pool // see startTimer

	mu         sync.Mutex
	forwarding map[string]int // batches that are being answered, by the member that forwards
}

func newPoster(r *replica) *poster {
	p := &poster{replica: r}
	p.refusals = peer.NewRefusals(r.metrics.TokensRefused, r.log, slices.Collect(maps.Values(tokenReasons))...)
	send := p.send
	if lie := r.opts.hooks.send; lie != nil {
		send = func(posts []*batch.Post) { lie(posts, p.send) }
	}
	p.batcher = batch.New(send, func(events int) { r.metrics.EntryEvents.Observe(float64(events)) })
	return p
}

// Post applies events, here or at the master. It returns when a majority has stored them,
// the master has applied them, and all frontends may show them. The caller must not change
// the results. The error is a *score.Problem; with one, no event is known to be applied.
//
// If the master is lost, Post asks the next one, with the same identities: an event that
// the lost master has committed is a duplicate then. Post repeats a post of unknown
// outcome only if all its events have a seq. Others end with outcome_unknown, and the
// client may repeat them with the same ids.
func (p *poster) Post(ctx context.Context, post score.Post) ([]score.Result, error) {
	encoded, err := entry.EncodePost(post)
	if err != nil {
		return nil, score.Problemf(score.InvalidEvent, "%v", err)
	}
	if p.raft.State() == raft.Leader {
		if problem := checkTimes(post.Events); problem != nil {
			return nil, problem
		}
	}
	own := p.machine.Expect(encoded)
	defer own.Forget()
	timeout := p.startTimer(p.scaled(postTimeout))
	defer p.stopTimer(timeout)
	var outcome batch.Outcome
	begun, uncertain := time.Now(), false // an attempt may be applied
	_ = p.leader.Try(ctx, retryPause, func(string, <-chan struct{}) (done bool) {
		outcome = p.attempt(ctx, timeout.C, batch.NewPost(encoded, post.Secret))
		switch {
		case outcome.Problem == nil:
			return true
		case outcome.Problem.Code == score.OutcomeUnknown:
			uncertain = true
			if !encoded.Repeatable {
				return true
			}
		case outcome.Problem.Code != score.NoMaster:
			return true
		case !uncertain && time.Since(begun) > p.scaled(seekTimeout):
			return true
		}
		if time.Since(begun) >= p.scaled(postTimeout) {
			return true
		}
		p.metrics.Retries.Inc()
		return false
	})
	switch {
	case outcome.Problem == nil:
		return p.confirm(ctx, own, outcome)
	case uncertain:
		return nil, outcomeUnknown()
	case outcome.Problem.Code == score.NoMaster:
		return nil, score.Problemf(score.NoMaster,
			"no master was found within %s; nothing of this post was processed; retry", p.scaled(seekTimeout))
	}
	return nil, outcome.Problem
}

func outcomeUnknown() *score.Problem {
	return score.Problemf(score.OutcomeUnknown,
		"the master was lost while it wrote this post, which may or may not be applied; "+
			"repeat it with the same source and seq, or the same id: it will not count twice")
}

// checkTimes returns a problem if the time of an event is too far ahead of this member's
// clock.
func checkTimes(events []score.Event) *score.Problem {
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

// startTimer starts a timer, for stopTimer to stop. Timers are used again: a context with a
// timeout costs a post more than all its checks.
func (p *poster) startTimer(d time.Duration) *time.Timer {
	if t, ok := p.timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (p *poster) stopTimer(t *time.Timer) {
	t.Stop()
	p.timers.Put(t)
}

// attempt sends a post once. The problem no_master means that it was not proposed.
func (p *poster) attempt(ctx context.Context, timeout <-chan time.Time, post *batch.Post) batch.Outcome {
	if problem := p.batcher.Add(post); problem != nil {
		return batch.Outcome{Problem: problem}
	}
	select {
	case o := <-post.Done:
		return o
	case <-timeout:
	case <-ctx.Done():
	}
	return batch.Outcome{Problem: outcomeUnknown()}
}

// send sends posts to the master: into its log if this member is it, else over the peer
// port.
func (p *poster) send(posts []*batch.Post) {
	if p.raft.State() == raft.Leader {
		p.propose(posts)
		return
	}
	p.batcher.Written() // the master batches what arrives
	var own []*batch.Post
	for _, post := range posts {
		if post.Forwarded {
			post.Refuse(peer.NotMaster())
			continue
		}
		own = append(own, post)
	}
	if len(own) > 0 {
		p.forward(own)
	}
}

// propose makes one log entry of posts and waits until all frontends may show it.
func (p *poster) propose(posts []*batch.Post) {
	l := p.elected.Load()
	if l == nil || p.raft.CurrentTerm() != l.epoch || !p.access.founded() {
		batch.Refuse(posts, peer.NotMaster()) // elected, but the leadership has not begun
		return
	}
	if problem := p.awaitRoom(); problem != nil {
		batch.Refuse(posts, problem)
		return
	}
	encoded := make([]entry.EncodedPost, len(posts))
	for i, post := range posts {
		encoded[i] = post.EncodedPost
	}
	start := time.Now()
	response, err := p.proposer.propose(context.Background(), entry.Encode(encoded), nil)
	p.metrics.Commit.Observe(time.Since(start).Seconds())
	if notAppended(err) {
		batch.Refuse(posts, peer.NotMaster())
		return
	}
	applied, ok := response.(fsm.Outcome)
	if !ok || len(applied) != len(posts) {
		batch.Refuse(posts, outcomeUnknown()) // perhaps not committed, or this member's state machine has failed
		return
	}
	start = time.Now()
	released := l.push.AwaitReleased(p.ctx, p.revealed(applied))
	p.observeRelease(time.Since(start))
	if !released {
		batch.Refuse(posts, outcomeUnknown())
		return
	}
	for i, post := range posts {
		p.metrics.CountResults(applied[i])
		post.Done <- batch.Outcome{Results: applied[i]}
	}
}

// observeRelease counts an entry by what its release waited for. The master waits for an
// ack at most for the AckTimeout, and then for the lease to expire.
func (p *poster) observeRelease(took time.Duration) {
	p.metrics.Release.Observe(took.Seconds())
	waited := "acks"
	if took > p.timings().AckTimeout {
		waited = "lease"
	}
	p.metrics.Releases.WithLabelValues(waited).Inc()
}

// revealed returns the revision that must be visible before anybody is told of an
// outcome. A refusal also reveals something of the state.
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

// forward sends posts to the master and waits for its answer, at most resultGrace longer
// than it stays the master.
func (p *poster) forward(posts []*batch.Post) {
	ctx, cancel := context.WithTimeout(p.ctx, p.scaled(postTimeout))
	defer cancel()
	master, changed := p.leader.Current()
	if master == "" {
		batch.Refuse(posts, peer.NoMaster())
		return
	}
	go func() {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		// A master that transferred its leadership still answers for what it has
		// proposed.
		select {
		case <-time.After(p.scaled(resultGrace)):
			cancel()
		case <-ctx.Done():
		}
	}()
	p.metrics.Forwarded.Add(float64(len(posts)))
	var outcomes []batch.Outcome
	err := p.port.Call(ctx, master, http.MethodPost, postsPath, bytes.NewReader(batch.Encode(posts)), &outcomes)
	problem, refused := errors.AsType[*score.Problem](err)
	switch {
	case err == nil && len(outcomes) == len(posts):
		for i, post := range posts {
			outcomes[i].Complete()
			outcomes[i].By = master
			post.Done <- outcomes[i]
		}
	case refused:
		batch.Refuse(posts, problem) // nothing was proposed
	case peer.DialFailed(err):
		batch.Refuse(posts, peer.NoMaster())
	default:
		batch.Refuse(posts, outcomeUnknown())
	}
}

// enter takes a place for a batch that a member forwards, before its body is read. Members
// that do not authenticate each other are not bounded.
func (p *poster) enter(member string) (leave func(), refused *score.Problem) {
	if member == "" {
		return func() {}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forwarding[member] >= maxForwarding {
		return nil, score.Problemf(score.RateLimited,
			"the master is answering %d batches of posts that this member forwarded; retry in 1 s", maxForwarding)
	}
	if p.forwarding == nil {
		p.forwarding = map[string]int{}
	}
	p.forwarding[member]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.forwarding[member]--; p.forwarding[member] == 0 {
			delete(p.forwarding, member)
		}
	}, nil
}

// serveForwarded answers forwarded posts at the master. With an error, nothing was
// proposed.
func (p *poster) serveForwarded(w http.ResponseWriter, r *http.Request) error {
	if p.raft.State() != raft.Leader {
		return peer.NotMaster()
	}
	leave, refused := p.enter(peer.FromContext(r.Context()))
	if refused != nil {
		return refused
	}
	defer leave()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForwardedPosts))
	if err != nil {
		return err
	}
	posts, err := batch.Decode(body)
	if err != nil {
		return err
	}
	limit := time.Now().Add(maxClockSkew)
	tokens := tokenCheck{p, peer.FromContext(r.Context()), map[access.BearerToken]*score.Problem{}}
	for _, post := range posts {
		problem := tokens.check(post)
		if problem == nil && post.Latest.After(limit) {
			problem = tooFarAhead(post.Latest)
		}
		if problem == nil {
			problem = p.batcher.Add(post)
		}
		if problem != nil {
			post.Refuse(problem)
		}
	}
	outcomes := make([]batch.Outcome, len(posts))
	for i, post := range posts {
		select {
		case outcomes[i] = <-post.Done:
		case <-r.Context().Done():
			return nil // nobody reads the answer
		}
		if outcomes[i].Problem == batch.ErrStopping {
			outcomes[i].Problem = peer.NotMaster() // not soon: the post goes to the next master
		}
	}
	answer, err := batch.EncodeOutcomes(outcomes)
	if err == nil {
		_, err = w.Write(answer)
	}
	return err
}
