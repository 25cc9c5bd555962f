package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
)

const (
	drainPath = "/peer/v1/drain" // see drains.serveDrain
	// drainCallTimeout bounds the master's request to the frontend, at a time scale of 1.
	drainCallTimeout = 5 * time.Second
	// handOverPause is the pause after which a draining master tries again to hand over.
	handOverPause = 500 * time.Millisecond
	maxDrainBody  = 1 << 10
)

// drains has frontends drained: they answer what still comes, and send their clients and
// their leadership to others, so that they can be stopped without anybody noticing. It is
// not stored: a frontend that is started again is not draining. It also has a master hand over
// that lacks room for posts.
type drains struct {
	*replica
	poller    *status.Poller
	transfers *transfers
	ordering  chanMutex // one order of the master at a time
	// lacksRoom reports whether posts go on for which this member's own disk has no room.
	lacksRoom func() bool
}

// drainOrder is the request of the master to a frontend.
type drainOrder struct {
	On bool `json:"on"`
}

// Drain has the frontend with an id drained, or ends that. Only the master can; the error
// is a *score.Problem.
func (d *drains) Drain(ctx context.Context, id string, on bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.scaled(drainCallTimeout))
	defer cancel()
	if d.leadership() == nil {
		return peer.NotMaster()
	}
	d.ordering.Lock()
	defer d.ordering.Unlock()
	servers := d.servers()
	to, in := peer.FindID(servers, id)
	switch {
	case !in:
		return score.Problemf(score.NotFound, "no frontend of the group has the id %q", id)
	case on && !d.othersServe(ctx, servers, to.ID):
		return score.Problemf(score.StatusConflict,
			"no other frontend serves, so nobody could take the clients of %q; start another one first", id)
	case to.ID != d.self:
		return d.order(ctx, to, drainOrder{on})
	}
	d.SetDraining(on)
	return nil
}

// othersServe reports whether a frontend other than one serves. It asks them: what they have
// reported may be from before an order to drain.
func (d *drains) othersServe(ctx context.Context, servers []raft.Server, one raft.ServerID) bool {
	if one != d.self && !d.draining.Load() {
		return true
	}
	_, answers := d.transfers.reachable(ctx, servers)
	delete(answers, one)
	for _, s := range answers {
		if s.State == score.Serving {
			return true
		}
	}
	return false
}

func (d *drains) order(ctx context.Context, to raft.Server, o drainOrder) error {
	body, err := json.Marshal(o)
	if err == nil {
		err = d.port.Call(ctx, string(to.Address), http.MethodPost, drainPath, bytes.NewReader(body), nil)
	}
	if err != nil {
		return score.Problemf(score.NotReady, "%q does not answer the master: %v", peer.MemberID(to.ID), err)
	}
	d.poller.PollNow()
	return nil
}

// serveDrain obeys the master.
func (d *drains) serveDrain(w http.ResponseWriter, r *http.Request) error {
	if from := peer.FromContext(r.Context()); d.opts.Identity != nil && from != string(d.followed()) {
		return score.Problemf(score.Forbidden, "only the master drains a frontend")
	}
	var o drainOrder
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxDrainBody), &o); err != nil {
		return fmt.Errorf("read the order to drain: %w", err)
	}
	d.SetDraining(o.On)
	return nil
}

// SetDraining begins to drain this frontend, or ends that.
func (d *drains) SetDraining(on bool) {
	if d.draining.Swap(on) == on {
		return
	}
	if !on {
		d.log.Info("this frontend is not draining any more")
		return
	}
	d.log.Info("draining: this frontend answers, and sends its watchers and its leadership to others")
	d.lookAtLeadership()
}

// lookAtLeadership has keepFollowing look whether this frontend should not lead.
func (d *drains) lookAtLeadership() {
	select {
	case d.drained <- struct{}{}:
	default: // it is about to look
	}
}

// keepFollowing hands over the leadership of a frontend that drains or lacks room, as often as
// it gets it.
func (d *drains) keepFollowing(ctx context.Context) {
	var tried time.Time // for lack of room, which is no reason to hold up posts often
	for {
		pause := time.After(d.scaled(handOverPause))
		if !d.draining.Load() {
			pause = nil
		}
		switch {
		case d.leadership() == nil:
		case d.draining.Load():
			d.handOver(ctx)
		case d.lacksRoom() && time.Since(tried) >= d.scaled(transferTimeout):
			d.handOver(ctx)
			tried = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-d.drained:
		case <-pause:
		}
	}
}

// handOver makes a voter that is not draining the master. A frontend that only lacks room
// hands over to one that has room.
func (d *drains) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.scaled(transferTimeout))
	defer cancel()
	successors, draining := d.transfers.successors(ctx, d.voters())
	if !d.draining.Load() {
		successors = slices.DeleteFunc(successors, func(s raft.Server) bool { return !d.poller.Reports.HasRoom(s.ID) })
	}
	if draining || len(successors) == 0 {
		return
	}
	if err := d.transfers.tryAll(ctx, successors); err != nil {
		d.log.Info("could not transfer the leadership of this frontend, which is draining or lacks room; trying again",
			"err", err)
	}
}
