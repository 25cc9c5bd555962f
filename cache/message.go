package cache

import "time"

// Message is what the two sides say to each other on one stream, in order. A stream belongs to one master in one epoch and one frontend.
type Message interface{ message() }

// From the master to a frontend.
type (
	// Hello begins a stream of Master, a server id. Lease is the master's: only with the same timings everywhere can a lease be known to be over.
	Hello struct {
		Epoch  uint64
		Lease  time.Duration
		Master string
	}
	// Beat is a numbered heartbeat.
	Beat struct {
		Round    uint64
		Released uint64
	}
	// Start begins a session: the records held so far are dropped, and all changes behind At will be pushed.
	Start struct {
		At       uint64
		Released uint64
	}
	// Push has every change of the revisions From+1 to To.
	Push struct {
		From, To uint64
		// Records are those that changed and that some frontend holds, with their new values.
		Records []Record
		// Stale are the keys of the other records that changed, and the tags of the answers that changed with them.
		Stale    []string
		Released uint64
	}
	// Release says how far changes may be seen.
	Release struct{ Released uint64 }
	// Grant lets the frontend answer for Remaining from the moment At at which it sent the ack, by its own clock.
	Grant struct {
		At        time.Duration
		Remaining time.Duration
	}
	// Recall asks the lease back.
	Recall struct{}
	// Retire says that no lease stands on any round up to this one, nor ever will.
	Retire struct{ Round uint64 }
)

// From a frontend to the master.
type (
	// Welcome answers a Hello.
	Welcome struct {
		// Age is how long ago the frontend last acked a round of an older epoch, or how long it has been running if it never did.
		Age time.Duration
		// None says that no lease can stand on an older ack of this frontend: the older master has retired.
		NoLease bool
	}
	// Ack says what the frontend has. Round is that of the beat which it acks, 0 for none.
	Ack struct {
		Round  uint64
		Pushed uint64
		At     time.Duration // by the frontend's clock; the grant says it again
		// Held are the keys of records that were loaded here since the last ack: from now on their new values are wanted.
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
