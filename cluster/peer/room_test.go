package peer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestMessageToAFollowerIsBoundedInBytes(t *testing.T) {
	const size = maxMessage / 4
	request := func(sizes ...int) *raft.AppendEntriesRequest {
		q := &raft.AppendEntriesRequest{}
		for i, n := range sizes {
			q.Entries = append(q.Entries, &raft.Log{Index: uint64(i + 1), Data: make([]byte, n)})
		}
		return q
	}
	for _, c := range []struct {
		q    *raft.AppendEntriesRequest
		want int
	}{
		{request(), 0},
		{request(1, 2, 3), 3},
		{request(size, size, size, size), 4},
		{request(size, size, size, size, 1), 4},
		{request(size, size, size, size+1), 3},
		{request(2*maxMessage, 1), 1},
	} {
		all := c.q.Entries
		shorten(c.q)
		if len(c.q.Entries) != c.want {
			t.Errorf("of %d entries, %d are sent; want %d", len(all), len(c.q.Entries), c.want)
		}
		for i := c.want; i < len(all); i++ {
			if all[i] != nil {
				t.Errorf("entry %d is held, though it is not sent", i)
			}
		}
	}
	sent := 0
	inner := &countingPipeline{fakePipeline: fakePipeline{closed: make(chan struct{})}, sent: &sent}
	p := newPipeline(inner, func(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error { return nil })
	defer p.Close()
	p.AppendEntries(request(maxMessage, maxMessage), nil)
	if sent != 1 {
		t.Errorf("a pipeline sends %d entries of %d bytes at once", sent, maxMessage)
	}
}

// countingPipeline counts the entries of the last request.
type countingPipeline struct {
	fakePipeline
	sent *int
}

func (p *countingPipeline) AppendEntries(
	q *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse,
) (raft.AppendFuture, error) {
	*p.sent = len(q.Entries)
	return nil, nil
}

func TestEntriesWaitForRoomInTheLogOfAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var full atomic.Bool
		full.Store(true)
		h := &Transport{ctx: ctx, config: TransportConfig{Full: full.Load, Timeout: 5 * time.Second}}
		began := time.Now()
		if err := h.awaitRoom(); !errors.Is(err, errFull) || time.Since(began) >= h.config.Timeout {
			t.Errorf("without room they waited for %v, with %v", time.Since(began), err)
		}
		time.AfterFunc(time.Second, func() { full.Store(false) })
		began = time.Now()
		if err := h.awaitRoom(); err != nil || time.Since(began) > time.Second+fullPause {
			t.Errorf("with room after 1 s they waited for %v, with %v", time.Since(began), err)
		}
		full.Store(true)
		cancel()
		if err := h.awaitRoom(); !errors.Is(err, raft.ErrRaftShutdown) {
			t.Errorf("at the end of the member: %v", err)
		}
	})
}
