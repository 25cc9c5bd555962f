// Package raftlog is what a member of the Raft group keeps on its disk, apart from the
// state machine's own file: its identity, its log, its term and vote, and its snapshots.
//
// Open opens a data directory and returns its Store. A directory is trusted only as a
// whole: a part that is damaged or missing, or that contradicts what the member has
// acknowledged, gives a *ContradictionError, and a disk that fails or is full a
// *StorageError. Store.Log, Store.Stable and Store.Snapshots are what hashicorp/raft
// uses. They repair or refuse what the libraries below and above them get wrong;
// docs/decisions/0001-guards-around-raft.md lists every such guard. Start reading at
// Open.
package raftlog
