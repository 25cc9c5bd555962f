// Package timeline stores the events of each contest in the state machine's database, in
// the order of their revisions.
//
// A Writer writes events within a transaction. ScanContest and its variants read them as
// Rows, of which single fields can be read without decoding the event. The signatures of
// events that were posted together are stored apart, as runs. Start reading at
// timeline.go.
package timeline
