// Package snapshots stores Raft's snapshots and receives those that the master sends.
//
// A Store is Raft's snapshot store. A Receiver takes a snapshot from the network while
// Raft goes on with other work, and gives it to Raft when the snapshot is on the disk and
// its state is built.
package snapshots
