package raftlog

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

func TestAMemberRemembersItsLastVotesAndAfterARestartTheLastOne(t *testing.T) {
	stable := raft.NewInmemStore()
	vote := func(v *voteStore, term uint64, candidate string) {
		t.Helper()
		for _, write := range []func() error{
			func() error { return v.Set([]byte(voteCandidateKey), nil) },
			func() error { return v.SetUint64([]byte(voteTermKey), term) },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if got, known := v.votes.In(term); got != "" || !known {
				t.Errorf("term %d: it has voted for %q, %t before that is stored", term, got, known)
			}
		}
		if err := v.Set([]byte(voteCandidateKey), []byte(candidate)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(v *voteStore, what string, want map[uint64]string) {
		t.Helper()
		for term, want := range want {
			got := "unknown"
			if candidate, known := v.votes.In(term); known {
				got = candidate
			}
			if got != want {
				t.Errorf("%s, term %d: its vote is %q; want %q", what, term, got, want)
			}
		}
	}
	v, err := newVoteStore(stable)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetUint64([]byte(termKey), 9); err != nil {
		t.Fatal(err)
	}
	expect(v, "new", map[uint64]string{1: "", 9: ""})
	vote(v, 2, "a:1")
	vote(v, 4, "b:1")
	expect(v, "two votes", map[uint64]string{1: "", 2: "a:1", 3: "", 4: "b:1", 5: ""})
	shown := v.votes
	for term := uint64(5); term < 5+maxVotes; term++ {
		vote(v, term, fmt.Sprintf("c:%d", term))
	}
	expect(v, "many votes", map[uint64]string{1: "unknown", 4: "unknown", 5: "c:5", 4 + maxVotes: "c:12", 99: ""})
	if len(v.votes.Given) != maxVotes || len(shown.Given) != 2 || shown.Given[0].Candidate != "a:1" {
		t.Errorf("it remembers %+v, and showed %+v", v.votes, shown)
	}
	if v, err = newVoteStore(stable); err != nil {
		t.Fatal(err)
	}
	expect(v, "a restart", map[uint64]string{11: "unknown", 12: "c:12", 13: ""})
	if _, known := (Votes{}).In(7); known {
		t.Error("a member that reports no votes says something")
	}
}
