package cluster

import (
	"context"
	"errors"
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
	m := g.master().member()
	refused(t, m.Transfer(context.Background(), "f9"), score.NotFound)
	if err := m.Transfer(context.Background(), m.ID()); err != nil {
		t.Errorf("to itself: %v", err)
	}
	dead := g.others(g.master())[0]
	dead.stop()
	refused(t, g.master().member().Transfer(context.Background(), dead.opts.ID), score.StatusConflict)
	mustPost(t, g.master(), alerts("bard/a", 1, 1))
	was := g.master()
	if err := was.member().Transfer(context.Background(), ""); err != nil {
		t.Errorf("to any that lives: %v", err)
	}
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
	m := master.member()
	m.HandOver(context.Background())
	if m.Master() {
		t.Error("it is still the master")
	}
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
