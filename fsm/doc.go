// Package fsm is the state machine that every frontend runs. It applies the committed
// entries of the Raft log, in order, to a bbolt database of its own.
//
// It is deterministic: what an entry does depends on the state and the entry only, never
// on a clock, randomness, the iteration order of a map or another machine. Equal logs
// therefore give equal databases. The log is the durable truth. The database is written
// without fsync and is rebuilt from snapshot and log after a crash.
//
// Machine is the state machine, and Raft adapts it to hashicorp/raft.
// Start reading at Machine.Apply, which leads to batch.applyEvent, the function that
// applies one event. A new event type gets its effect in batch.applyEffect and, for
// voids, in replayer.apply; TestEveryEventTypeHasAnEffect fails without them. The
// sub-packages hold the format of log entries (entry), the file (database), what recognizes
// repeated events (identity), the timeline (timeline), the marks and start lists (ranked)
// and the index of contests in it (index), how it is read (view), the leaderboards in
// memory (leaderboard), and the rounds of a sworn group (rounds).
package fsm
