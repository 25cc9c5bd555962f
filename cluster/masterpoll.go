package cluster

import (
	"bytes"
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"laurel/cluster/peer"
	"laurel/cluster/polling"
	"laurel/score"
)

// masterPoll connects package polling to the master: it polls the master, and confirms at the
// master that this member is it.
type masterPoll struct {
	*replica
	elections *elections
	readIndex *readIndex
	server    *polling.Server
}

// newPolling returns both sides of the pull mode.
func newPolling(e *elections, index *readIndex, mode *cacheMode) (*polling.Puller, *polling.Server) {
	r := e.replica
	master := &masterPoll{replica: r, elections: e, readIndex: index}
	master.server = &polling.Server{Machine: r.machine, Confirm: master.confirm, AwaitReleased: master.awaitReleased}
	return polling.NewPuller(r.ctx, polling.Config{
		MaxBytes:  answersBytes,
		Frontend:  mode.frontend,
		InPull:    func() bool { return mode.get() == score.Pull },
		Clock:     r.clock,
		Timeout:   r.scaled(polling.PollTimeout),
		FirstWait: r.scaled(masterTimeout),
		Poll:      master.poll,
		Retry: func(ctx context.Context, poll func() bool) error {
			return r.withMaster(ctx, retryPause, func(string, <-chan struct{}) bool { return poll() })
		},
		Polls: r.metrics.polls,
		Ages:  r.metrics.pulledAge,
	}), master.server
}

// poll polls the master once, which may be this member.
func (p *masterPoll) poll(ctx context.Context, items []polling.Item) (answers []polling.Answer, err error) {
	if p.elections.current() != nil {
		return p.server.Answer(ctx, items)
	}
	master := p.otherMaster()
	if master == "" {
		return nil, peer.NoMaster()
	}
	body, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	if err := p.port.Call(ctx, master, http.MethodPost, polling.Path, bytes.NewReader(body), &answers); err != nil {
		return nil, peer.NoMaster()
	}
	return answers, nil
}

func (p *masterPoll) confirm(ctx context.Context) error {
	if p.elections.current() == nil {
		return peer.NotMaster()
	}
	return p.readIndex.confirm(ctx)
}

func (p *masterPoll) awaitReleased(ctx context.Context, revision uint64) error {
	lead := p.elections.current()
	if lead == nil {
		return peer.NotMaster()
	}
	if !lead.push.AwaitReleased(ctx, revision) {
		return peer.NoMaster()
	}
	return nil
}
