package raftlog

import "testing"

func TestAppliedEntryIsRemovedOnlyIfASnapshotHasIt(t *testing.T) {
	for _, c := range []struct {
		what             string
		from, to         uint64
		applied          uint64
		snapshot, ofTerm uint64
		inLog, bad       bool
	}{
		{what: "the end, of which another master has other entries", from: 15, to: 20, applied: 14},
		{what: "the end, applied", from: 15, to: 20, applied: 15, bad: true},
		{what: "the end, applied, with a snapshot of it", from: 15, to: 20, applied: 17, snapshot: 17, bad: true},
		{what: "the beginning, with a snapshot", from: 10, to: 14, applied: 20, snapshot: 14},
		{what: "the beginning, without a snapshot", from: 10, to: 14, applied: 20, bad: true},
		{what: "the beginning, with a snapshot of less", from: 10, to: 14, applied: 20, snapshot: 13, bad: true},
		{what: "the beginning, not applied", from: 10, to: 14, applied: 9},
		{what: "all, for a snapshot of the master", from: 10, to: 20, applied: 12, snapshot: 30},
		{what: "all, for a snapshot of another history", from: 10, to: 20, applied: 12, snapshot: 15},
		{what: "all, for a snapshot of less than is applied", from: 10, to: 20, applied: 20, snapshot: 15, bad: true},
		{what: "all, for a snapshot whose last entry the log has", from: 10, to: 20, applied: 15, snapshot: 15, inLog: true, bad: true},
		{what: "all, for a snapshot that ends where the log does", from: 10, to: 20, applied: 20, snapshot: 20, inLog: true},
		{what: "all, of which nothing was applied, for another master's entries", from: 10, to: 20, applied: 9},
		{what: "the middle", from: 12, to: 14, bad: true},
	} {
		tr := truncation{from: c.from, to: c.to, first: 10, last: 20, applied: c.applied, inLog: c.inLog}
		tr.snapshot.index = c.snapshot
		if err := tr.check(); (err != nil) != c.bad {
			t.Errorf("%s: %v; want an error: %v", c.what, err, c.bad)
		}
	}
}
