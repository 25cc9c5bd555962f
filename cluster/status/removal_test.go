package status

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestOnlyAMajorityOfTheOtherVotersDecidesARemoval(t *testing.T) {
	server := func(id string, s raft.ServerSuffrage) raft.Server {
		return raft.Server{ID: raft.ServerID(id), Suffrage: s}
	}
	configuration := func(voters string, more ...raft.Server) (list []raft.Server) {
		for _, id := range strings.Fields(voters) {
			list = append(list, server(id, raft.Voter))
		}
		return append(list, more...)
	}
	reader := server("me", raft.Nonvoter)
	for _, c := range []struct {
		what    string
		servers []raft.Server
		said    map[raft.ServerID]uint64
		removed bool
	}{
		{"nobody is left", configuration("me"), map[raft.ServerID]uint64{"x": 9}, false},
		{"there is no configuration", nil, map[raft.ServerID]uint64{"x": 9}, false},
		{"the other one of two", configuration("me a"), map[raft.ServerID]uint64{"a": 9}, true},
		{"one of two others", configuration("me a b"), map[raft.ServerID]uint64{"a": 9}, false},
		{"both others", configuration("me a b"), map[raft.ServerID]uint64{"a": 9, "b": 8}, true},
		{
			"one of them has not applied where this one joined",
			configuration("me a b"), map[raft.ServerID]uint64{"a": 9, "b": 7}, false,
		},
		{"one of them and a stranger", configuration("me a b"), map[raft.ServerID]uint64{"a": 9, "x": 9}, false},
		{
			"one of them and one without a vote",
			configuration("me a b", server("n", raft.Nonvoter)), map[raft.ServerID]uint64{"a": 9, "n": 9}, false,
		},
		{"one of them and itself", configuration("me a b"), map[raft.ServerID]uint64{"a": 9, "me": 9}, false},
		{"two of three others", configuration("me a b c"), map[raft.ServerID]uint64{"a": 9, "b": 9}, true},
		{"two of four others", configuration("me a b c d"), map[raft.ServerID]uint64{"a": 9, "b": 9}, false},
		{"three of four others", configuration("me a b c d"), map[raft.ServerID]uint64{"a": 9, "b": 9, "d": 9}, true},
		{"the only voter, to one without a vote", configuration("a", reader), map[raft.ServerID]uint64{"a": 9}, true},
		{
			"one of two voters, to one without a vote",
			configuration("a b", reader), map[raft.ServerID]uint64{"a": 9}, false,
		},
	} {
		if v := judge(c.servers, "me", 7, c.said); v.removed != c.removed {
			t.Errorf("%s: removed is %t; want %t (%+v)", c.what, v.removed, c.removed, v)
		}
	}
}

func TestRosterKeepsTheNewestCommittedConfiguration(t *testing.T) {
	config := func(ids ...raft.ServerID) (c raft.Configuration) {
		for _, id := range ids {
			c.Servers = append(c.Servers, raft.Server{ID: id})
		}
		return c
	}
	var noted []uint64
	r := NewRoster("me", func(index uint64) { noted = append(noted, index) })
	for _, step := range []struct {
		index uint64
		c     raft.Configuration
		left  uint64
	}{
		{1, config("a"), 0}, // before it joined
		{3, config("a", "me"), 0},
		{2, config("a"), 0}, // an older one
		{5, config("a", "b", "me"), 0},
		{6, config("a", "b"), 6},
		{7, config("a"), 6},
		{9, config("a", "me"), 0},
	} {
		r.update(step.index, step.c)
		if left := r.removedAt(); left != step.left {
			t.Errorf("after entry %d it left at %d; want %d", step.index, left, step.left)
		}
	}
	if want := []uint64{3, 5, 9}; !slices.Equal(noted, want) {
		t.Errorf("it was in the configurations of %v; want %v", noted, want)
	}
}

func TestMemberThatRefusesConnectionsIsNotFresh(t *testing.T) {
	r := NewReports(func(d time.Duration) time.Duration { return 1000 * d })
	r.add(Status{Member: "a", URL: "http://a"}, 1)
	if _, fresh := r.Last("a"); !fresh {
		t.Error("the last report is not fresh")
	}
	r.addRefused("a")
	if s, fresh := r.Last("a"); fresh || s.URL != "http://a" {
		t.Errorf("after a connection was refused: %q, fresh %t", s.URL, fresh)
	}
}
