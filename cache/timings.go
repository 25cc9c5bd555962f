package cache

import "time"

// Timings of the push protocol. All frontends of a group have the same.
type Timings struct {
	Beat  time.Duration // between two rounds
	Lease time.Duration // L: how long a round lets the master grant
	// Tau is how long an ack of a push may take before a frontend gets no new lease.
	Tau time.Duration
}

// DefaultTimings are for a local network and a time scale of 1. A lease lasts ten beats, so that a few lost moments cost
// nobody its lease; a write waits for a frontend that hangs for at most Tau + Lease.
var DefaultTimings = Timings{Beat: 20 * time.Millisecond, Lease: 200 * time.Millisecond, Tau: 40 * time.Millisecond}

// Scaled stretches all timings, for slow networks.
func (t Timings) Scaled(by float64) Timings {
	scale := func(d time.Duration) time.Duration { return time.Duration(float64(d) * by) }
	return Timings{scale(t.Beat), scale(t.Lease), scale(t.Tau)}
}

// drift is rho: by how much, at the most, the clocks of two machines may run apart. Crystals are a thousand times better.
const drift = 0.01

// longer is d as a clock that runs too fast may see it, shorter as one that runs too slow.
func longer(d time.Duration) time.Duration  { return d + time.Duration(float64(d)*drift) }
func shorter(d time.Duration) time.Duration { return d - time.Duration(float64(d)*drift) }

// Break switches one rule of the protocol off, so that a test sees that its checker would notice. It is for tests alone; zero breaks nothing.
type Break uint16

// The rules of the push protocol (docs/design.md). BreakMachine and BreakOrder are broken by who asks: this package has no state machine, and no
// moment passes in it.
const (
	BreakAcks    Break = 1 << iota // release before the acks
	BreakWait                      // a new master waits for no older lease
	BreakOwnAcks                   // a deposed master forgets its own acks
	BreakCheck                     // answer without a look at the lease
	BreakAnchor                    // count a lease from the grant's arrival
	BreakEpoch                     // keep the records across epochs
	BreakGate                      // answer above what is released
	BreakSilent                    // drop a silent frontend from the set at once
	BreakFloor                     // load without waiting for the state machine
	BreakMachine                   // the master reads its state machine
	BreakOrder                     // a direct answer: look at P first, and at the lease after
)

func (b Break) has(rule Break) bool { return b&rule != 0 }
