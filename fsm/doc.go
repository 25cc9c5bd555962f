// Package fsm is the state machine that every frontend runs: it applies the committed entries of the Raft log, in order, to a bbolt
// database of its own. It is deterministic. What it does depends on its state and the entry alone, never on a clock, on chance, on the
// order of a map or on another machine, so equal logs give equal databases.
//
// The log is the truth and is on disk before an entry comes here. So the database is written without waiting for the disk: after a crash
// of the process it goes on where it was, after a crash of the machine it is thrown away and built anew (database.go).
//
//	entry.go     what stands in the log
//	machine.go   applying entries, many in one transaction
//	access.go    who may do what, and the trail of its changes
//	signature.go whether events are by those who say so
//	identity.go  exactly once: a source's seqs and ids
//	effects.go   what each event does to contests and medals
//	timeline.go  the events themselves, by contest
//	void.go      as if an event had never been
//	again.go     what is left of a contest without it
//	marks.go     the marks of ranked contests, in order
//	view.go      reading
//	index.go     by what contests are found
//	find.go      finding those that a filter chooses
//	snapshot.go  writing the state out and reading it in
//	database.go  opening the file, or doing without it
//	raft.go      the same as a hashicorp/raft FSM
package fsm
