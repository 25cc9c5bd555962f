package cache

import "time"

// Timings are the durations of the push protocol. All frontends of a group have the same.
type Timings struct {
	Beat  time.Duration // between two rounds
	Lease time.Duration // L: for how long after a round's start the master may grant leases
	// AckTimeout (tau) is how long a frontend may take to ack a push before it gets no
	// new lease.
	AckTimeout time.Duration
}

// DefaultTimings are for a local network and a time scale of 1. A lease lasts ten beats,
// so a few lost moments cost nobody its lease. A write waits for a frontend that hangs
// for at most AckTimeout + Lease.
var DefaultTimings = Timings{
	Beat:       20 * time.Millisecond,
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
