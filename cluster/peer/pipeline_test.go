package peer

import (
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// fakePipeline is a pipeline whose answers come from a channel.
type fakePipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
}

func (r *fakePipeline) Consumer() <-chan raft.AppendFuture { return r.answers }
func (r *fakePipeline) Close() error {
	select {
	case <-r.closed:
	default:
		close(r.closed)
	}
	return nil
}

type appended struct {
	raft.AppendFuture
	success bool
}

func (a appended) Error() error                        { return nil }
func (a appended) Request() *raft.AppendEntriesRequest { return &raft.AppendEntriesRequest{Term: 1} }
func (a appended) Response() *raft.AppendEntriesResponse {
	return &raft.AppendEntriesResponse{Term: 1, Success: a.success}
}

// Raft reads no answer after a refusal, so the pipeline must not block on a further entry.
func TestPipelineEndsAtTheFirstRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &fakePipeline{answers: make(chan raft.AppendFuture), closed: make(chan struct{})}
		p := newPipeline(inner, func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error { return nil })
		for _, success := range []bool{true, false} {
			inner.answers <- appended{success: success}
			if got := <-p.Consumer(); got.Response().Success != success {
				t.Errorf("got the answer %v", got)
			}
			synctest.Wait()
			select {
			case <-inner.closed:
				if success {
					t.Error("it ended at a success")
				}
			default:
				if !success {
					t.Error("it is open after a refusal")
				}
			}
		}
		p.Close()
		p.Close()
	})
}
