// Package score defines events, records, and the problems with which an event is refused.
//
// The package and those below it are pure. They read no clock, start no goroutine and do
// no I/O, so every frontend that folds the same events has the same scores, and a client
// needs neither Raft nor a database to know what an event is.
//
// Start with [Event] and the types of [Data] (what a bard reports), [Decode] (what a valid
// event is), and [Record] (what readers see). Package fold has the rules of contests,
// package ranking leaderboards, and package medal the medals.
package score
