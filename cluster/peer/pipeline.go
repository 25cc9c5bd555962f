package peer

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline ends at the first answer that is not a success. hashicorp/raft reads no
// answers after that one, and its own pipeline then takes no entries: the goroutine that
// hands one over would hang, the follower would get no more entries from this master, and
// Close would never return.
type pipeline struct {
	raft.AppendPipeline
	checkTerm func(term uint64) error
	answers   chan raft.AppendFuture
	closed    chan struct{}
	once      sync.Once
}

func newPipeline(inner raft.AppendPipeline, checkTerm func(term uint64) error) *pipeline {
	p := &pipeline{
		AppendPipeline: inner, checkTerm: checkTerm,
		answers: make(chan raft.AppendFuture), closed: make(chan struct{}),
	}
	go p.run()
	return p
}

// run passes answers on until the pipeline is closed.
func (p *pipeline) run() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() != nil || !f.Response().Success || f.Response().Term > f.Request().Term {
				p.AppendPipeline.Close()
			}
			if f.Error() == nil && p.checkTerm(f.Response().Term) != nil {
				continue // Raft would step down because of it
			}
			select {
			case p.answers <- f:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

// Consumer returns the answers, in order.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close ends the pipeline. It may be called again.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}
