package cache

import "time"

// Message is what the two sides of the protocol send each other on one stream, in order.
// A stream belongs to one master in one epoch and one frontend.
type Message interface{ message() }

// Messages from the master to a frontend.
type (
	// Hello opens a stream of Master, which is a member's id. Lease is the longest lease:
	// only if all members have the same one can a lease be known to be over.
	Hello struct {
		Epoch  uint64
		Lease  time.Duration
		Master string
	}
	// Beat is a heartbeat. It begins the round that it names.
	Beat struct {
		Round    uint64
		Released uint64
	}
	// Start begins a session: the frontend drops its records, and is pushed all changes
	// after At.
	Start struct {
		At       uint64
		Released uint64
	}
	// Push has every change of the revisions From+1 to To.
	Push struct {
		From, To uint64
		// Records are the new values of the changed records that some frontend holds.
		Records []Record
		// Stale are the keys of the other changed records, and the tags of the answers
		// that changed with them.
		Stale    []string
		Released uint64
	}
	// Release lets readers see the changes up to Released.
	Release struct{ Released uint64 }
	// Grant is a lease: the frontend may answer for Remaining, counted from At, the
	// moment at which it sent the ack, by its own clock.
	Grant struct {
		At        time.Duration
		Remaining time.Duration
	}
	// Recall asks the frontend to return its lease.
	Recall struct{}
	// Retire announces that no lease depends on a round up to Round, now or later.
	Retire struct{ Round uint64 }
)

// Messages from a frontend to the master.
type (
	// Welcome answers a Hello.
	Welcome struct {
		// Age is the time since the frontend last acked a round of an older epoch, or
		// since it started if it never did.
		Age time.Duration
		// NoLease is true if no lease can depend on an older ack of this frontend,
		// because the older master has retired.
		NoLease bool
	}
	// Ack reports what the frontend has.
	Ack struct {
		Round  uint64 // of the Beat that this acks; 0 for none
		Pushed uint64
		At     time.Duration // when it was sent, by the frontend's clock; the Grant repeats it
		// Held are the keys of the records that were loaded since the last ack. From now
		// on their new values are pushed.
		Held []string
	}
	// Returned answers a Recall: the lease is over.
	Returned struct{}
	// Retired answers a Retire.
	Retired struct{ Round uint64 }
)

// Record is the answer to one question as of the revision that last changed it.
type Record struct {
	Key      string
	Revision uint64
	Body     []byte // nil: there is no such record
}

func (*Hello) message()    {}
func (*Beat) message()     {}
func (*Start) message()    {}
func (*Push) message()     {}
func (*Release) message()  {}
func (*Grant) message()    {}
func (*Recall) message()   {}
func (*Retire) message()   {}
func (*Welcome) message()  {}
func (*Ack) message()      {}
func (*Returned) message() {}
func (*Retired) message()  {}

// The key of an answer is its URL path behind /v1/, so a request finds it without
// allocating. A record's key is also the tag of the answers made from that record alone.

// AnyTag is the tag of answers that every event makes stale.
const AnyTag = "*"

// ScoreKey returns the key of a contest's record.
func ScoreKey(contestID string) string { return "scores/" + contestID }

// MedalsKey returns the key of a competition's medal table.
func MedalsKey(competition string) string { return "medals/" + competition }

// TimelineTag returns the tag of the pages of a contest's timeline.
func TimelineTag(contestID string) string { return "timeline/" + contestID }

// BoardTag returns the tag of the answers about a contest's leaderboard.
func BoardTag(contestID string) string { return "leaderboard/" + contestID }

// ListTag returns the tag of the lists of a competition's contests; for "", of the lists
// of all contests.
func ListTag(competition string) string {
	if competition == "" {
		return AnyTag
	}
	return "list/" + competition
}

// Timings are the durations of the push protocol. All frontends of a group have the same.
type Timings struct {
	Beat  time.Duration // between two rounds
	Lease time.Duration // L: for how long after a round's start the master may grant leases
	// AckTimeout (tau) is how long a frontend may take to ack a push before it gets no
	// new lease.
	AckTimeout time.Duration
}

// DefaultTimings are for a local network and a time scale of 1. A lease lasts four beats,
// so a lost moment costs nobody its lease. A write waits for a frontend that hangs
// for at most AckTimeout + Lease.
var DefaultTimings = Timings{
	Beat:       50 * time.Millisecond,
	Lease:      200 * time.Millisecond,
	AckTimeout: 40 * time.Millisecond,
}

// Scaled returns the timings multiplied by a factor, for slow networks.
func (t Timings) Scaled(by float64) Timings {
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * by) }
	return Timings{scale(t.Beat), scale(t.Lease), scale(t.AckTimeout)}
}

// drift (rho) bounds the relative difference in speed of two machines' clocks. Crystals
// are a thousand times better.
const drift = 0.01

// longer returns the most that d may last by another machine's clock.
func longer(d time.Duration) time.Duration { return d + time.Duration(float64(d)*drift) }

// shorter returns the least that d may last by another machine's clock.
func shorter(d time.Duration) time.Duration { return d - time.Duration(float64(d)*drift) }

// Mutation switches off one or more rules of the protocol. The tests use it for mutation
// testing: each rule that is off must be noticed by the checkers of the simulations. In
// production it is 0, which changes nothing.
type Mutation uint16

// The rules that can be switched off (docs/architecture.md). MutationReadStateMachine and
// MutationFloorBeforeLease are applied by the simulations themselves: this package has no
// state machine, and no time passes in it.
const (
	MutationReleaseBeforeAcks Mutation = 1 << iota // release a revision before it is acked
	MutationSkipLeaseWait                          // a new master waits for no older lease
	MutationForgetOwnAcks                          // a deposed master forgets its own acks
	MutationSkipLeaseCheck                         // answer without checking the lease
	MutationLeaseFromGrant                         // count a lease from the arrival of the grant
	MutationKeepRecords                            // keep the records across epochs
	MutationIgnoreRelease                          // answer what is not released
	MutationDropSilent                             // do not wait for a silent frontend's lease
	MutationIgnoreFloor                            // load without waiting for the state machine
	MutationReadStateMachine                       // the master answers from its state machine
	MutationFloorBeforeLease                       // a direct answer reads P before it checks the lease
)

func (m Mutation) has(rule Mutation) bool { return m&rule != 0 }
