// Package index finds contests by sport, status and competitor.
//
// It keeps an inverted index in a bucket of the state machine's database: for each term (Terms) a posting
// for each contest that has it. Find intersects the postings of the terms of a filter. The state machine
// updates the postings of a contest with Diff in the transaction that changes the contest; Build writes
// the whole index. Start reading at index.go.
package index
