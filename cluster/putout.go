package cluster

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/certify"
	"laurel/cluster/peer"
	"laurel/cluster/standing"
	"laurel/score"
	"laurel/witness"
)

const (
	// putOutEvery is how often, at a time scale of 1, a member weighs what is known against
	// others.
	putOutEvery = 50 * time.Millisecond
	// scrubTime is the time in which all answers are compared with the newest round, and
	// scrubEvery how often some are, at a time scale of 1.
	scrubTime  = 2 * time.Minute
	scrubEvery = time.Second
	// maxMasters is the number of terms whose masters are remembered.
	maxMasters = 64
)

// putOut acts on what is known against the frontends of a sworn group, this one among
// them: others are put out, and this one goes back.
type putOut struct {
	*replica
	certifier *certify.Certifier
	keeper    *standing.Keeper

	mu      sync.Mutex
	masters map[uint64]string // by term
}

// run weighs what is known until the member is closed.
func (p *putOut) run() {
	for {
		pause := p.scaled(putOutEvery)
		if !p.machine.Access().Settings.Sworn {
			pause = p.scaled(time.Second) // nobody can be put out
		}
		select {
		case <-p.ctx.Done():
			return
		case <-time.After(pause):
		}
		p.weigh()
		p.settleReturn()
	}
}

func (p *putOut) weigh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteMaster()
	access := p.machine.Access()
	p.keeper.Weigh(standing.Bench{
		Self: p.opts.ID, Now: time.Now(), Verdicts: p.certifier.Verdicts(), Key: access.KeyOf, Master: p.masterOf,
	})
}

// noteMaster remembers the master of the present term.
func (p *putOut) noteMaster() {
	term := p.raft.CurrentTerm()
	_, id := p.raft.LeaderWithID()
	if id == "" || p.raft.CurrentTerm() != term {
		return
	}
	p.masters[term] = peer.MemberID(id)
	for old := range p.masters {
		if old+maxMasters < term {
			delete(p.masters, old)
		}
	}
}

// masterOf returns the master in whose term a round was sealed; "" if it is not known.
func (p *putOut) masterOf(number uint64) string {
	var e raft.Log
	round, _, known := p.machine.Rounds().Round(number)
	if !known || p.storage.Log.GetLog(round.Index, &e) != nil {
		return ""
	}
	return p.masters[e.Term]
}

// goBack ends this member, which leaves its history after a round that it has cosigned when
// it is started again. Nothing of the log is kept if it does not have that round.
func (p *putOut) goBack(to witness.Head) {
	p.weigh() // what lasts must be on the disk
	reason, proven := "a quorum of frontends has certified another history", true
	for _, v := range p.certifier.Verdicts() {
		if v.Fault == witness.Split {
			reason, proven = fmt.Sprintf("no quorum of frontends can agree on round %d", v.Size), false
		}
	}
	if !proven && to.Size == 0 {
		p.log.Error("no round was certified yet, so there is none to go back to", "err", reason)
		return
	}
	p.end(p.leave(to, reason, proven))
}

// leave notes that this member leaves its history after a round, and returns the error with
// which it ends.
func (p *putOut) leave(to witness.Head, reason string, proven bool) error {
	index := uint64(0)
	if round, head, known := p.machine.Rounds().Round(to.Size); known && head == to {
		index = round.Index
	}
	return p.storage.GoBack(index, reason, proven)
}

// diverged returns the error with which this member ends because most voters report another
// state than it has.
func (m *Member) diverged(reason string) error {
	if to := m.putOut.cosigned(); to.Size > 0 {
		return m.putOut.leave(to, reason, true)
	}
	return m.storage.MarkDiverged(reason)
}

// rewritten returns the error with which this member ends because a master has removed what
// it has applied; nil in a group that is not sworn. Nobody has proven that the master may.
func (p *putOut) rewritten(err error) error {
	if to := p.cosigned(); to.Size > 0 {
		return p.leave(to, err.Error(), false)
	}
	return nil
}

// scrub compares all answers of the state with those of the newest round, again and again.
// An answer that is not sealed anew does not show otherwise that its record has changed in
// memory or on the disk. It returns when it has found one: this member goes back then.
func (p *putOut) scrub() {
	tick := time.NewTicker(p.scaled(scrubEvery))
	defer tick.Stop()
	for next := uint64(0); ; {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		for checked, most := uint64(0), uint64(1); checked < most; checked++ {
			answers, wrong, err := p.machine.CheckAnswer(next)
			switch {
			case err != nil:
				p.failApply(err)
				return
			case wrong != "":
				p.damaged(wrong)
				return
			}
			most = answers/uint64(scrubTime/scrubEvery) + 1
			if next++; next >= answers {
				next = 0
				break
			}
		}
	}
}

// damaged ends this member, whose state is not what it has certified.
func (p *putOut) damaged(key string) {
	reason := fmt.Sprintf("its answer to %s is not the one of the newest round, although nothing has changed it", key)
	to := p.cosigned()
	if to.Size == 0 {
		p.log.Error("the state of this frontend is damaged, and no round was certified yet to go back to", "err", reason)
		return
	}
	p.end(p.leave(to, reason, true))
}

// cosigned returns the last round that this member has cosigned; the zero value in a group
// that is not sworn.
func (p *putOut) cosigned() witness.Head {
	if p == nil {
		return witness.Head{}
	}
	return p.certifier.Cosigned()
}

// settleReturn lets a member take part in elections again that has forgotten what it had
// cosigned, once it has that again.
func (p *putOut) settleReturn() {
	if !p.storage.Return().Forgetful() {
		return
	}
	if round, _ := p.certifier.Newest(); round > 0 && round >= p.cosigned().Size {
		if err := p.storage.SettleReturn(); err != nil {
			p.log.Warn("could not record that this frontend is back", "err", err)
		}
	}
}

// show says in a list of the group who is put out.
func (p *putOut) show(f *score.Frontends) {
	if p == nil {
		return
	}
	for i := range f.Frontends {
		if s := p.keeper.Of(f.Frontends[i].ID); s != nil {
			f.Frontends[i].PutOut = &score.PutOut{
				Reason: string(s.Reason), Text: s.Text(), Since: s.Since.UTC(), ForGood: s.Shunned,
			}
		}
	}
}

// newPutOut returns what acts on verdicts. The members are not connected yet.
func (m *Member) newPutOut() *putOut {
	p := &putOut{replica: m.replica, masters: map[uint64]string{}}
	p.keeper = standing.Open(standing.Config{
		Dir: m.opts.Dir, PutOut: m.metrics.MemberPutOut, Logger: m.log,
		Changed: func() { m.port.Recheck() },
	})
	return p
}
