package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/fsm/entry"
	"laurel/score"
)

const (
	postsPath = "/peer/v1/posts" // see poster.serveForwarded
	// resultGrace is how long, at a time scale of 1, a forwarding frontend waits for the results of the
	// old master after the master has changed.
	resultGrace = 50 * time.Millisecond
	// maxForwardedPosts bounds what one member forwards at once, in bytes.
	maxForwardedPosts = 64 << 20
)

// forwardedOutcome is the master's answer to one forwarded post.
type forwardedOutcome struct {
	Results []score.Result `json:"results,omitzero"`
	Problem *score.Problem `json:"problem,omitzero"` // refuses the whole post
	Unsent  bool           `json:"unsent,omitzero"`  // the member asked is not the master
	Unknown bool           `json:"unknown,omitzero"` // it was when it proposed the post
}

// forward sends posts to the master and waits for its answer, at most resultGrace longer than it
// stays the master.
func (p *poster) forward(batch []*pendingPost) ([]outcome, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.scaled(postTimeout))
	defer cancel()
	master, changed := p.leader.Current()
	if master == "" {
		return nil, errNoMaster
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
	var body []byte
	for _, pending := range batch {
		body = binary.AppendUvarint(body, uint64(pending.post.Size()))
		body = append(body, pending.post.Bytes()...)
	}
	p.metrics.forwarded.Add(float64(len(batch)))
	var answers []forwardedOutcome
	if err := p.port.Call(ctx, master, http.MethodPost, postsPath, bytes.NewReader(body), &answers); err != nil {
		var problem *score.Problem
		switch {
		case peer.DialFailed(err):
			return nil, errNoMaster
		case !errors.As(err, &problem):
			return nil, errUnknown
		case problem.Code == score.NoMaster:
			return nil, errNoMaster
		}
		return nil, problem // nothing was proposed
	}
	if len(answers) != len(batch) {
		return nil, errUnknown
	}
	outcomes := make([]outcome, len(batch))
	for i := range answers {
		outcomes[i] = answers[i].decode()
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
	batch, err := parseForwarded(body)
	if err != nil {
		return err
	}
	limit := time.Now().Add(maxClockSkew)
	for _, pending := range batch {
		if pending.latest.After(limit) {
			pending.done <- outcome{err: tooFarAhead(pending.latest)}
		} else if err := p.batch.add(pending); err != nil {
			pending.done <- outcome{err: err}
		}
	}
	answers := make([]forwardedOutcome, len(batch))
	for i, pending := range batch {
		select {
		case o := <-pending.done:
			answers[i] = o.encode()
		case <-r.Context().Done():
			return nil // nobody reads the answer
		}
	}
	return json.MarshalWrite(w, answers)
}

func parseForwarded(body []byte) ([]*pendingPost, error) {
	var batch []*pendingPost
	for len(body) > 0 {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return nil, errors.New("the forwarded posts are truncated")
		}
		post, latest, err := entry.ParsePost(body[n : n+int(size)])
		if err != nil {
			return nil, fmt.Errorf("forwarded post %d: %w", len(batch), err)
		}
		body = body[n+int(size):]
		batch = append(batch, &pendingPost{post: post, latest: latest, forwarded: true, done: make(chan outcome, 1)})
	}
	return batch, nil
}

func (o outcome) encode() forwardedOutcome {
	var p *score.Problem
	switch {
	case o.err == nil:
		return forwardedOutcome{Results: o.results}
	case errors.Is(o.err, errNoMaster), errors.Is(o.err, errStopping):
		return forwardedOutcome{Unsent: true}
	case errors.As(o.err, &p):
		return forwardedOutcome{Problem: p}
	}
	return forwardedOutcome{Unknown: true}
}

func (f forwardedOutcome) decode() outcome {
	switch {
	case f.Unsent:
		return outcome{err: errNoMaster}
	case f.Unknown:
		return outcome{err: errUnknown}
	case f.Problem != nil:
		return outcome{err: f.Problem}
	}
	return outcome{results: f.Results}
}
