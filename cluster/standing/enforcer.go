package standing

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/certify"
	"laurel/cluster/raftlog"
	"laurel/fsm"
	"laurel/score"
	"laurel/trust/access"
	"laurel/witness"
)

const (
	// weighEvery is how often, at a time scale of 1, what is known against others is weighed.
	weighEvery = 50 * time.Millisecond
	// restPause replaces it in a group that is not sworn, where nobody can be put out.
	restPause = time.Second
	// maxMasters is the number of terms whose masters are remembered.
	maxMasters = 64
)

// Enforcer acts on what is known against the frontends of a sworn group, this one among
// them: others are put out, and this one goes back.
type Enforcer struct {
	Self   string // the id of this frontend
	Keeper *Keeper
	// Access is what this frontend has ever known of operators and roster; nil for a group that
	// is not sworn. While the state is rebuilt it lacks keys, and nobody is taken back for that.
	Access    func() *access.State
	Machine   *fsm.Machine
	Certifier *certify.Certifier
	// False returns the frontends that answer readers falsely, as so many have found that one
	// of these is honest.
	False   func() []string
	Store   *raftlog.Store
	Origins *Origins // of the store's log
	// Master returns Raft's term and the frontend that it follows in that; "" for none.
	Master func() (term uint64, name string)
	// SealedElsewhere returns the newest round that a frontend other than the named one lately
	// said to have; it may be a lie.
	SealedElsewhere func(not string) uint64
	// Voters returns the voters of the latest configuration; nil if a frontend other than the
	// named one has lately reported a later one.
	Voters func(not string) []raft.Server
	// Votes returns the votes that another voter has lately said to have given, and when it was
	// asked.
	Votes     func(voter raft.ServerID) (votes raftlog.Votes, asked time.Time)
	StallTime time.Duration // scaled
	Scale     func(time.Duration) time.Duration
	End       func(error) // ends this frontend
	Fail      func(error) // ends it because its state cannot be read
	Logger    *slog.Logger

	sealed atomic.Pointer[sealed]

	mu      sync.Mutex
	masters map[uint64]string // by term
	// split is the last round on which no quorum could agree, and culprit who is blamed for
	// it; "" for nobody.
	split   uint64
	culprit string
	stall   stall
	acting  acting
	claims  claims
}

// sealed is a round that this frontend has cosigned, and the index of its seal.
type sealed struct {
	witness.Head
	index uint64
}

// Run weighs what is known until ctx ends.
func (e *Enforcer) Run(ctx context.Context) {
	for {
		pause := e.Scale(weighEvery)
		if e.Access() == nil {
			pause = e.Scale(restPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		e.weigh()
		e.settleReturn()
	}
}

func (e *Enforcer) weigh() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.noteMaster()
	e.CosignedIndex() // while it is known
	verdicts := e.Certifier.Verdicts()
	for _, v := range verdicts {
		if v.Fault == witness.Split && v.Size != e.split {
			e.split, e.culprit = v.Size, e.culpritOf(v.Size)
		}
	}
	_, master := e.Master()
	verdicts = slices.Concat(verdicts, e.unelected(), e.stalled(time.Now(), master), e.unapplied())
	e.hold(verdicts, e.culprit)
}

// Unreadable distrusts another frontend that has sent a log entry that cannot be parsed. An
// honest one has none in its log.
func (e *Enforcer) Unreadable(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := witness.Verdict{Frontend: name, Fault: Unreadable, Size: e.Cosigned().Size + 1}
	e.hold(append(slices.Clone(e.Certifier.Verdicts()), sent), e.culprit)
}

func (e *Enforcer) hold(verdicts []witness.Verdict, culprit string) {
	known := e.Access()
	if known == nil {
		return
	}
	verdicts = slices.Clone(verdicts)
	for _, name := range e.False() {
		verdicts = append(verdicts, witness.Verdict{Frontend: name, Fault: False})
	}
	_, master := e.Master()
	_, next := e.Machine.Rounds().Unsealed()
	e.Keeper.Weigh(Bench{
		Self: e.Self, Store: known.Settings.Lineage, Now: time.Now(), Verdicts: verdicts, Key: known.KeyOf,
		Culprit: culprit, Master: master, Next: next,
	})
}

// noteMaster remembers the master of the present term.
func (e *Enforcer) noteMaster() {
	term, name := e.Master()
	if name == "" {
		return
	}
	if e.masters == nil {
		e.masters = map[uint64]string{}
	}
	e.masters[term] = name
	if term != e.acting.term || name != e.acting.name {
		e.acting = acting{term, name, time.Now()}
	}
	for old := range e.masters {
		if old+maxMasters < term {
			delete(e.masters, old)
		}
	}
}

// culpritOf returns who is blamed if no quorum can agree on a round; "" for nobody.
//
// One of the suspects has misled somebody, and the one that is corrupt is among them each
// time: it is blamed when no other one is left. The second time within an hour the master
// is, if it is a suspect again. Otherwise a corrupt one could be vague for ever, by the terms
// that it writes into entries, and have all others go back until they stay down.
func (e *Enforcer) culpritOf(round uint64) string {
	names := e.Keeper.Narrow(e.suspectsOf(round), time.Now())
	_, master := e.Master()
	switch {
	case len(names) == 1:
		return names[0]
	case e.Store.Return().Lately(time.Now()) && slices.Contains(names, master):
		return master
	}
	return ""
}

// suspectsOf returns who may have told frontends something else in what follows the last
// round that this frontend has cosigned, up to the seal of another one.
func (e *Enforcer) suspectsOf(size uint64) []string {
	agreed, head, has := e.Machine.Rounds().Round(e.Cosigned().Size)
	round, _, known := e.Machine.Rounds().Round(size)
	if known && (has && head == e.Cosigned() || e.Cosigned().Size == 0) {
		names, known := suspects(e.Self, agreed.Index+1, round.Index, e.originOf)
		if known {
			return names
		}
	}
	var all []string
	if known := e.Access(); known != nil {
		for _, f := range known.Roster {
			all = append(all, f.Name)
		}
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == e.Self })
}

func (e *Enforcer) originOf(index uint64) (o origin, known bool) {
	var entry raft.Log
	if err := e.Store.Log.GetLog(index, &entry); err != nil {
		return o, false
	}
	return origin{e.Origins.Of(index), e.masters[entry.Term], entry.Type != raft.LogCommand}, true
}

// distrustMaster distrusts the present master as one in whose term no quorum could agree.
// A frontend that has gone back has a certified history, and an honest master does not make
// it leave that again. A corrupt one could bring all others down so.
func (e *Enforcer) distrustMaster() {
	_, master := e.Master()
	split := witness.Verdict{Fault: witness.Split, Size: e.Cosigned().Size + 1}
	e.hold(append(slices.Clone(e.Certifier.Verdicts()), split), master)
}

// GoBack ends this frontend, which leaves its history after a round that it has cosigned when
// it is started again. Nothing of the log is kept if it does not have that round.
func (e *Enforcer) GoBack(to witness.Head, othersHave bool) {
	e.weigh() // what lasts must be on the disk
	reason := "a quorum of frontends has certified another history"
	for _, v := range e.Certifier.Verdicts() {
		if v.Fault == witness.Split {
			reason = fmt.Sprintf("no quorum of frontends agrees on round %d", v.Size)
		}
	}
	if !othersHave && to.Size == 0 {
		e.Logger.Error("no round was certified yet, so there is none to go back to", "err", reason)
		return
	}
	e.End(e.leave(reason, othersHave))
}

// StartOver ends this frontend, whose state at a round was another one than that of a quorum with
// the same history. What it has kept of its state may be what is wrong, so it keeps nothing.
func (e *Enforcer) StartOver(round uint64) {
	reason := fmt.Sprintf("a quorum of frontends with the same history had another state at round %d", round)
	e.End(e.Store.GoBack(0, reason, true))
}

// leave notes that this frontend leaves its history after the last round that it has
// cosigned, and returns the error with which it ends.
func (e *Enforcer) leave(reason string, proven bool) error {
	return e.Store.GoBack(e.CosignedIndex(), reason, proven)
}

// Unproven returns the error with which this frontend ends because of what nobody has proven:
// that its state is another one than that of most voters, who have signed nothing and may
// all differ, or that a master has removed what it has applied. It is nil if no round was
// certified, and in a group that is not sworn.
func (e *Enforcer) Unproven(reason string) error {
	if e.Cosigned().Size == 0 {
		return nil
	}
	if e.Store.Return().Lately(time.Now()) {
		e.distrustMaster()
	}
	return e.leave(reason, false)
}

// Cosigned returns the last round that this frontend has cosigned; the zero value in a group
// that is not sworn.
func (e *Enforcer) Cosigned() witness.Head {
	if e == nil {
		return witness.Head{}
	}
	return e.Certifier.Cosigned()
}

// CosignedIndex returns the index of the seal of the last round that this frontend has
// cosigned; 0 if there is none, or if it is not known. The state knows it for 1,024 rounds,
// and without certificates it is needed for longer.
func (e *Enforcer) CosignedIndex() uint64 {
	to := e.Cosigned()
	if to.Size == 0 {
		return 0
	}
	if s := e.sealed.Load(); s != nil && s.Head == to {
		return s.index
	}
	round, head, known := e.Machine.Rounds().Round(to.Size)
	if !known || head != to {
		return 0
	}
	e.sealed.Store(&sealed{to, round.Index})
	return round.Index
}

// settleReturn lets a frontend take part in elections again that has forgotten what it had
// cosigned, once it has that again.
func (e *Enforcer) settleReturn() {
	if !e.Store.Return().Forgetful() {
		return
	}
	if round, _ := e.Certifier.Newest(); round > 0 && round >= e.Cosigned().Size {
		if err := e.Store.SettleReturn(); err != nil {
			e.Logger.Warn("could not record that this frontend is back", "err", err)
		}
	}
}

// Show says in a list of the group who is put out.
func (e *Enforcer) Show(f *score.Frontends) {
	if e == nil {
		return
	}
	for i := range f.Frontends {
		if s := e.Keeper.Of(f.Frontends[i].ID); s != nil {
			f.Frontends[i].PutOut = &score.PutOut{
				Reason: string(s.Reason), Text: s.Text(), Since: s.Since.UTC(), ForGood: s.Shunned,
			}
		}
	}
}
