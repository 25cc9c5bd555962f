// Package cache decides what may be seen. It holds the answers of one frontend with the revision at which each is true, and the two sides
// of the push protocol, which keeps them true everywhere: the master's, which pushes changes, counts acks, grants leases and
// releases revisions, and the frontend's, which takes them in and answers from memory while its lease lasts.
//
// Everything here is logic: messages, readings of a clock and Raft's term come in, messages go out. Streams, timers and Raft itself
// stand around it, in package cluster. What it guarantees, and why, is in docs/architecture.md.
//
// Read message.go for what the two sides say, master.go, lease.go and handover.go for the master's side, session.go and frontend.go for
// the frontend's, read.go and load.go for how a question is answered, fresh.go for answers that are not kept, and
// records.go for where the others are. pull.go and schedule.go are the
// other mode.
//
// A clock reading is a time.Duration since some moment of the machine, by a clock that also counts while the machine is suspended. Two
// frontends' readings are never compared: only durations cross the wire, shortened for clocks that drift.
package cache
