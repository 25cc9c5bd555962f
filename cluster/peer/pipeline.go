package peer

import (
	"context"

	"github.com/hashicorp/raft"
)

// pipeline ends at the first answer that is not a success. hashicorp/raft reads no
// answers after that one, and its own pipeline then takes no entries: the goroutine that
// hands one over would hang, the follower would get no more entries from this master, and
// Close would never return.
type pipeline struct {
	raft.AppendPipeline
	check   func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error
	answers chan raft.AppendFuture
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
}

func newPipeline(
	inner raft.AppendPipeline, check func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error,
) *pipeline {
	p := &pipeline{AppendPipeline: inner, check: check, answers: make(chan raft.AppendFuture)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	go p.run()
	return p
}

// AppendEntries sends log entries.
func (p *pipeline) AppendEntries(
	q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse,
) (raft.AppendFuture, error) {
	shorten(q)
	return p.AppendPipeline.AppendEntries(q, a)
}

// run passes answers on until the pipeline is closed.
func (p *pipeline) run() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() != nil || !f.Response().Success || f.Response().Term > f.Request().Term {
				p.AppendPipeline.Close()
			}
			if f.Error() == nil && p.check(f.Request(), f.Response()) != nil {
				continue // Raft would step down because of it
			}
			select {
			case p.answers <- f:
			case <-p.ctx.Done():
				return
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// Consumer returns the answers, in order.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close ends the pipeline. It may be called again.
func (p *pipeline) Close() error {
	p.cancel()
	return p.AppendPipeline.Close()
}
