package cluster

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cluster/metrics"
	"laurel/cluster/peer"
	"laurel/cluster/raftlog"
	"laurel/cluster/status"
	"laurel/fsm"
	"laurel/internal/address"
	"laurel/score"
)

// replica is what all parts of a member share: its Raft, its state machine, its cache,
// its port, its leadership if it is the master, and its lifetime.
type replica struct {
	opts     Options
	places   []address.Place // those of opts.Join
	self     raft.ServerID
	log      *slog.Logger
	metrics  *metrics.Metrics
	clock    func() time.Duration
	storage  *raftlog.Store
	machine  *fsm.Machine
	frontend *cache.Frontend
	port     *peer.Port
	witness  ed25519.PrivateKey // this member's key in a roster; nil in an insecure group
	raft     *raft.Raft
	leader   *status.LeaderWatch
	elected  atomic.Pointer[leadership] // since Raft elected this member
	serving  atomic.Pointer[leadership] // since the leadership serves

	stopping atomic.Bool   // see Stopping
	draining atomic.Bool   // see drains
	drained  chan struct{} // wakes drains.keepFollowing

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	stopped chan struct{} // closed when Raft has stopped
	running sync.WaitGroup
	ended   chan error
	once    sync.Once

	beginning sync.Mutex // guards closed, and orders running.Go before running.Wait
	closed    bool
}

// run runs f on a goroutine that Close waits for. Once Close waits it does nothing: the handler
// of a request that has outlived the wait for it may still change the group.
func (r *replica) run(f func()) {
	r.beginning.Lock()
	defer r.beginning.Unlock()
	if !r.closed {
		r.running.Go(f)
	}
}

// awaitRunning waits for the goroutines of run, of which no more begin.
func (r *replica) awaitRunning() {
	r.beginning.Lock()
	r.closed = true
	r.beginning.Unlock()
	r.running.Wait()
}

// end ends the member with an error.
func (r *replica) end(err error) { r.once.Do(func() { r.ended <- err }) }

// Stopping notes that Close follows. From then on, lost connections and members are no news
// and are logged at DEBUG alone.
func (r *replica) Stopping() { r.stopping.Store(true) }

// fail ends the member because it cannot store what it learns, or because that
// contradicts what it has promised to others.
func (r *replica) fail(err error) { r.end(raftlog.Failure(r.opts.Dir, err)) }

// scaled stretches d by the time scale.
func (r *replica) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * r.opts.TimeScale)
}

func (r *replica) timings() cache.Timings { return cache.DefaultTimings.Scaled(r.opts.TimeScale) }

// servers returns the latest configuration.
func (r *replica) servers() []raft.Server { return peer.Servers(r.raft) }

// voters returns the voters of the latest configuration.
func (r *replica) voters() []raft.Server { return peer.Voters(r.raft) }

// await waits for a future until ctx ends or the member is closed. When Raft is shut down
// it forgets the entries that its state machine has not applied, so their futures are
// never answered.
func (r *replica) await(ctx context.Context, f raft.Future) error {
	answered := make(chan error, 1)
	go func() { answered <- f.Error() }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stopped:
		return raft.ErrRaftShutdown
	}
}

// CacheMode returns the mode of the group, as far as this member knows.
func (r *replica) CacheMode() score.CacheMode {
	if r.frontend.Leased() {
		return score.Push // the master knows the mode, and grants leases in no other
	}
	return r.machine.CacheMode()
}
