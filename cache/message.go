package cache

import "time"

// Message is what the two sides of the protocol send each other on one stream, in order.
// A stream belongs to one master in one epoch and one frontend.
type Message interface{ message() }

// Messages from the master to a frontend.
type (
	// Hello opens a stream of Master, which is a member's id. Lease is the length of the
	// master's leases: only if all members have the same timings can a lease be known to
	// be over.
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
		// Records are the changed records that some frontend holds, with their new
		// values.
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
	// Retire announces that no lease stands on any round up to Round, nor ever will.
	Retire struct{ Round uint64 }
)

// Messages from a frontend to the master.
type (
	// Welcome answers a Hello.
	Welcome struct {
		// Age is the time since the frontend last acked a round of an older epoch, or
		// since it started if it never did.
		Age time.Duration
		// NoLease is true if no lease can stand on an older ack of this frontend, because
		// the older master has retired.
		NoLease bool
	}
	// Ack reports what the frontend has.
	Ack struct {
		Round  uint64 // of the Beat that this acks; 0 for none
		Pushed uint64
		At     time.Duration // when it was sent, by the frontend's clock; the Grant repeats it
		// Held are the keys of the records that were loaded here since the last ack. From
		// now on the frontend wants to be pushed their new values.
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
