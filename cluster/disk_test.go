package cluster

import (
	"errors"
	"sync"
	"syscall"
	"testing"
)

var errFull = syscall.ENOSPC

// checkStorageError checks that a node's member ends with a storage error.
func checkStorageError(t *testing.T, n *node) {
	t.Helper()
	why := ended(t, n)
	var e *StorageError
	if !errors.As(why, &e) || e.Dir != n.opts.Dir {
		t.Errorf("%s ended with %v", n.opts.ID, why)
	}
}

func TestFailingDiskEndsTheMemberAndLosesNothingAcked(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"master", "follower"} {
		t.Run("at the "+at, func(t *testing.T) {
			t.Parallel()
			gates := map[string]*gate{}
			g := newGroup(t, 3, func(o *Options) {
				gates[o.ID] = new(gate)
				gates[o.ID].behind(o)
			})
			over := make(chan struct{})
			acked := make([]uint64, 3)
			var posters sync.WaitGroup
			for i, n := range g.nodes {
				posters.Go(func() {
					for ; ; acked[i]++ {
						select {
						case <-over:
							return
						default:
							mustPost(t, n, alerts("bard/"+n.opts.ID, acked[i]+1, 1))
						}
					}
				})
			}
			bad := g.master()
			if at == "follower" {
				bad = g.others(bad)[0]
			}
			gates[bad.opts.ID].fail(errFull)
			checkStorageError(t, bad)
			mustPost(t, g.master(), alerts("bard/meanwhile", 1, 1))
			gates[bad.opts.ID].fail(nil)
			bad.start()
			g.settle()
			close(over)
			posters.Wait()
			g.agree(acked[0] + acked[1] + acked[2] + 1)
		})
	}
}

func TestFailingDiskStopsTheStart(t *testing.T) {
	t.Parallel()
	var g gate
	g.fail(errFull)
	n := newNode(t, "f1", g.behind, func(o *Options) { o.Bootstrap = true })
	_, err := Start(n.again())
	var e *StorageError
	if !errors.As(err, &e) || !errors.Is(err, errFull) {
		t.Fatalf("got %v", err)
	}
	g.fail(nil)
	eventually(t, "it starts when the disk has room", func() error {
		m, err := Start(n.again())
		if err == nil {
			m.ServeForwarded(n.handler(false), nil)
			n.current.Store(m)
		}
		return err
	})
}

func TestStalledWriteEndsTheMember(t *testing.T) {
	t.Parallel()
	var slow gate
	g := newGroup(t, 1, slow.behind) // no shorter times: a sync on a busy machine may take seconds
	n := g.nodes[0]
	slow.close()
	t.Cleanup(slow.open) // before the node stops, which would wait for the write
	go n.member().Post(t.Context(), alerts("bard/a", 1, 1))
	<-slow.held
	var why error
	eventually(t, "it ends", func() error {
		select {
		case why = <-n.member().Ended():
			return nil
		default:
			return errors.New("it is running")
		}
	})
	var e *StorageError
	if !errors.As(why, &e) {
		t.Errorf("it ended with %v", why)
	}
}
