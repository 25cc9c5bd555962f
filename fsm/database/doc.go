// Package database is the bbolt file in which the state machine keeps its state.
//
// It opens, verifies, replaces and closes the file (Open, Replace, Close), defines its
// buckets and the checksummed form of their records (Seal, Unseal, Get), and writes and
// reads snapshots of it (WriteSnapshot, Restore). It does not know what the records mean.
// Start reading at database.go, which explains when a file is trusted.
package database
