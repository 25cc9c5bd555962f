package peer

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Raft elects nobody while a majority of the voters has heard of a leader within the
// election timeout. hashicorp/raft refuses a pre-vote for longer: until its own timer, which
// runs for one to two timeouts at random, has fired, too. The candidate then waits for
// another one to two timeouts, and two candidates that hear of each other too late split
// the votes. So the transport
//
//   - delivers a pre-vote when this member has heard nothing for an election timeout, and
//     lets Raft look at its timer first;
//   - holds the pre-votes of this member back for a while after those of another candidate,
//     and so those that it got, if the two asked at the same time and the other has the lower id.
//     A pre-vote that Raft refuses, as that of a member whose log lags, holds nobody back;
//   - lets Raft look at its timer as soon as a timeout has passed after the master closed its
//     connection, as a process that is killed does: one member after the other, so that
//     the first is elected before the next stands.
//
// What Raft decides by its timer, its votes and the logs is the same as ever.

// candidateStep is the time between two members that stand for election after the master
// closed its connection, and candidateRespect the time for which another candidate goes
// first, as fractions of the election timeout.
const (
	candidateStep    = 6
	candidateRespect = 2
	lostChecks       = 2
	// Raft looks at its timer within timerChecks times timerPause.
	timerChecks = 20
	timerPause  = time.Millisecond
)

var errOtherCandidate = errors.New("another member stands for election")

// silence returns for how long Raft has not heard of its leader.
func (t *Transport) silence() time.Duration { return time.Since(t.raft.LastContact()) }

// checkTimer makes Raft, if it is a follower, look at once whether it has heard nothing of a
// leader for an election timeout. It does so when it gets a shorter timeout.
func (t *Transport) checkTimer() {
	t.reloading.Lock()
	defer t.reloading.Unlock()
	c := t.raft.ReloadableConfig()
	longer := c
	longer.HeartbeatTimeout++
	longer.ElectionTimeout++ // which must not be shorter
	err := t.raft.ReloadConfig(longer)
	if err = cmp.Or(err, t.raft.ReloadConfig(c)); err != nil {
		t.config.Logger.Error("raft refuses its own configuration", "err", err)
	}
}

// LostMaster notes that the master of a term has closed its connection.
func (t *Transport) LostMaster(master raft.ServerID, term uint64) {
	voters := Voters(t.raft)
	slices.SortFunc(voters, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	voters = slices.DeleteFunc(voters, func(s raft.Server) bool { return s.ID == master })
	rank := slices.IndexFunc(voters, func(s raft.Server) bool { return s.ID == t.config.Port.config.ServerID })
	if rank < 0 {
		return
	}
	timeout := t.config.ElectionTimeout
	for range lostChecks { // Raft may take in the last round of the master meanwhile
		if !t.pause(timeout - t.silence() + time.Duration(rank)*timeout/candidateStep) {
			return
		}
		switch following, leader, _ := t.follow(); {
		case following != term || leader != master:
			return
		case t.silence() >= timeout:
			t.checkTimer()
			return
		}
	}
}

// deliverPreVote gives a pre-vote of another member to Raft. If this member has not heard
// of its leader for a while, it waits until it hears of it again or has heard nothing for an
// election timeout.
func (t *Transport) deliverPreVote(call raft.RPC) {
	timeout := t.config.ElectionTimeout
	silent := t.silence()
	for t.follows() && silent >= timeout/2 && silent < timeout {
		if !t.pause(timeout - silent) {
			break
		}
		silent = t.silence()
	}
	if t.follows() && silent < timeout {
		t.Deliver(call)
		return
	}
	id := raft.ServerID(call.Command.(*raft.RequestPreVoteRequest).ID)
	other := &candidate{id, time.Now(), make(chan struct{})}
	t.candidate.Store(other)
	if t.follows() {
		t.checkTimer()
		for n := 0; n < timerChecks && t.follows() && t.pause(timerPause); n++ {
		}
	}
	answer, err := t.Call(raft.RPC{Command: call.Command})
	if got, ok := answer.Response.(*raft.RequestPreVoteResponse); !ok || !got.Granted {
		close(other.refused)
	}
	call.Respond(answer.Response, err)
}

// candidate is another member that has asked for a pre-vote that it may get.
type candidate struct {
	id      raft.ServerID
	at      time.Time
	refused chan struct{} // closed when Raft has refused it, because the log of the other lags
}

// respectCandidate waits, before this member stands for election in a term, if another one
// that goes first has just asked for a pre-vote. It returns an error if that one has asked
// for votes meanwhile.
func (t *Transport) respectCandidate(term uint64, goesFirst func(raft.ServerID) bool) error {
	other := t.candidate.Load()
	if other == nil || !goesFirst(other.id) {
		return nil
	}
	left := t.config.ElectionTimeout/candidateRespect - time.Since(other.at)
	if left <= 0 {
		return nil
	}
	select {
	case <-time.After(left):
	case <-other.refused:
	case <-t.ctx.Done():
	}
	if t.raft.CurrentTerm() >= term {
		return errOtherCandidate
	}
	return nil
}

// follows reports whether Raft follows a leader.
func (t *Transport) follows() bool {
	term, leader, _ := t.follow()
	return term > 0 && leader != ""
}

// pause waits for d. It returns false if the transport is closed before.
func (t *Transport) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-t.ctx.Done():
		return false
	}
}
