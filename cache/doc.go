// Package cache decides what readers may see. It implements both sides of the push
// protocol, which keeps the answers in the memory of every frontend up to date. The
// master's side, Master, pushes changes to the frontends, counts their acks, grants
// leases and releases revisions. The frontend's side, Frontend, takes pushes in and
// answers from memory while its lease lasts.
//
// The package is pure logic: messages, clock readings and Raft's term come in, messages
// go out. Streams, timers and Raft itself are in package cluster. docs/architecture.md
// explains what the protocol guarantees and why; testdata/protocol has traces of it that
// a person can read.
//
// Start reading at protocol.go, which lists what the two sides send each other; then read
// Master in master.go and Frontend in frontend.go.
//
// A clock reading is a time.Duration since some moment of the machine, by a clock that
// also counts while the machine is suspended. Readings of two machines are never
// compared: only durations cross the wire, and they are shortened to allow for clocks
// that drift.
package cache
