package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/score"
)

const (
	postsPath = "/peer/v1/posts" // see poster.serveForwarded
	// resultGrace is how long, at a time scale of 1, a forwarding frontend waits for the results of
	// the old master after the master has changed.
	resultGrace = 50 * time.Millisecond
	// maxForwardedPosts bounds what one member forwards at once, in bytes.
	maxForwardedPosts = 64 << 20
)

// forward sends posts to the master and waits for its answer, at most resultGrace longer than it
// stays the master.
func (p *poster) forward(posts []*batch.Post) ([]batch.Outcome, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.scaled(postTimeout))
	defer cancel()
	master, changed := p.leader.Current()
	if master == "" {
		return nil, batch.ErrNoMaster
	}
	go func() {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		// A master that transferred its leadership still answers for what it has proposed.
		select {
		case <-time.After(p.scaled(resultGrace)):
			cancel()
		case <-ctx.Done():
		}
	}()
	p.metrics.forwarded.Add(float64(len(posts)))
	body := bytes.NewReader(batch.Encode(posts))
	var answers []batch.Answer
	if err := p.port.Call(ctx, master, http.MethodPost, postsPath, body, &answers); err != nil {
		var problem *score.Problem
		switch {
		case peer.DialFailed(err):
			return nil, batch.ErrNoMaster
		case !errors.As(err, &problem):
			return nil, batch.ErrUnknown
		case problem.Code == score.NoMaster:
			return nil, batch.ErrNoMaster
		}
		return nil, problem // nothing was proposed
	}
	if len(answers) != len(posts) {
		return nil, batch.ErrUnknown
	}
	outcomes := make([]batch.Outcome, len(posts))
	for i := range answers {
		outcomes[i] = answers[i].Outcome()
	}
	return outcomes, nil
}

// serveForwarded answers forwarded posts at the master. With an error, nothing was proposed.
func (p *poster) serveForwarded(w http.ResponseWriter, r *http.Request) error {
	if p.raft.State() != raft.Leader {
		return peer.NotMaster()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForwardedPosts))
	if err != nil {
		return err
	}
	posts, err := batch.Decode(body)
	if err != nil {
		return err
	}
	limit := time.Now().Add(maxClockSkew)
	for _, post := range posts {
		if post.Latest.After(limit) {
			post.Finish(batch.Outcome{Err: tooFarAhead(post.Latest)})
		} else if err := p.batcher.Add(post); err != nil {
			post.Finish(batch.Outcome{Err: err})
		}
	}
	answers := make([]batch.Answer, len(posts))
	for i, post := range posts {
		select {
		case o := <-post.Done():
			answers[i] = o.Answer()
		case <-r.Context().Done():
			return nil // nobody reads the answer
		}
	}
	return json.MarshalWrite(w, answers)
}
