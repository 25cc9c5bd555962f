package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/score"
)

func TestTransferMakesTheNamedMemberTheMaster(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, to := range append(g.others(g.master()), g.master()) {
		eventually(t, "transfer to "+to.opts.ID, func() error {
			return g.master().member().Transfer(context.Background(), to.opts.ID)
		})
		eventually(t, to.opts.ID+" is the master", func() error {
			if !to.member().Master() {
				return errors.New("it is not")
			}
			return nil
		})
	}
	// An election may come before the transfer.
	eventually(t, "a transfer is no success if another one than was named became the master", func() error {
		master := g.master()
		third := g.others(master)[0]
		if err := third.member().awaitMaster(context.Background(), master.opts.ID); err != nil {
			return err // there was an election
		}
		if err := third.member().awaitMaster(context.Background(), third.opts.ID); err == nil ||
			!strings.Contains(err.Error(), master.opts.ID) {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	transfer := func(id string) func(*Member) error {
		return func(m *Member) error { return m.Transfer(context.Background(), id) }
	}
	g.refusedByMaster(score.NotFound, transfer("f9"))
	g.askMaster("to itself", func(m *Member) error { return m.Transfer(context.Background(), m.ID()) })
	dead := g.others(g.master())[0]
	dead.stop()
	g.refusedByMaster(score.StatusConflict, transfer(dead.opts.ID))
	mustPost(t, g.master(), alerts("bard/a", 1, 1))
	was := g.master()
	eventually(t, "to any that lives", func() error { return g.master().member().Transfer(context.Background(), "") })
	mustPost(t, was, alerts("bard/a", 2, 1))
	alone := newGroup(t, 1)
	refused(t, alone.master().member().Transfer(context.Background(), ""), score.StatusConflict)
}

func TestHandOverSkipsADeadMember(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	dead := g.others(master)[0]
	dead.stop()
	eventually(t, "another one is the master", func() error {
		// It hands over to nobody if the third does not answer in time.
		master.member().HandOver(context.Background())
		if master.member().Master() {
			return errors.New("it is still the master")
		}
		return nil
	})
	mustPost(t, master, alerts("bard/a", 1, 1))
	alone := newGroup(t, 1).master().member()
	alone.HandOver(context.Background())
}

func TestMasterWithAWedgedRaftEnds(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	m := g.master().member()
	for _, step := range []struct {
		handing int32
		err     error
		after   time.Duration
		ends    bool
		elected bool // anew, before that
	}{
		{handing: 1, err: raft.ErrLeadershipTransferInProgress},
		{handing: 1, err: raft.ErrLeadershipTransferInProgress, after: time.Hour}, // one is under way
		{err: raft.ErrLeadershipTransferInProgress, after: time.Hour},             // the first without
		{after: time.Second},
		{err: raft.ErrLeadershipTransferInProgress, after: time.Hour},
		{err: raft.ErrLeadershipTransferInProgress, after: time.Second},
		{err: raft.ErrLeadershipTransferInProgress, after: time.Hour, elected: true},
		{err: raft.ErrLeadershipTransferInProgress, after: time.Second},
		{err: raft.ErrLeadershipTransferInProgress, after: time.Hour, ends: true},
	} {
		if step.elected {
			m.proposer.beginEpoch()
		}
		m.proposer.transfers.Store(step.handing)
		if since := m.proposer.refusedSince.Load(); since != 0 {
			m.proposer.refusedSince.Store(since - int64(step.after))
		}
		m.proposer.checkWedged(step.err)
		select {
		case err := <-m.Ended():
			if !step.ends || !errors.Is(err, errWedged) {
				t.Errorf("%+v ended it: %v", step, err)
			}
		default:
			if step.ends {
				t.Errorf("%+v did not end it", step)
			}
		}
	}
}
