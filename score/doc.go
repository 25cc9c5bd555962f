// Package score holds the rules of contests and medals: events, contests, ranks, medal
// tables, and the problems with which an event is refused.
//
// The package is pure. It reads no clock, starts no goroutine and does no I/O, so every
// frontend that folds the same events has the same scores, and a client needs neither
// Raft nor a database to know what an event is.
//
// Start with [Event] and the types of [Data] (what a bard reports), [Contest.Fold] (what
// an event does to a contest), and [Contest.Record] (what readers see).
// Package medal counts the medals.
package score
