// Package score is Laurel's vocabulary and its rules: events, contests, ranks, medal tables and the problems with which an
// event is refused. It is pure. It reads no clock, keeps no goroutine and does no I/O, so that every frontend that folds the
// same events comes to the same scores, and so that a client can know what an event is without Raft or a database.
//
// Read event.go for what a bard may say, contest.go for what it does to a contest, medals.go for the medal table.
package score
