// Package index finds contests by sport, status and competitor.
//
// It keeps an inverted index in a bucket of the state machine's database: for each term
// (Terms) a posting for each contest that has it. A Writer updates the postings in the
// transaction that changes a contest, and Build writes the whole index. Find intersects
// the postings of the terms of a filter. Start reading at index.go.
package index
