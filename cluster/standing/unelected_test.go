package standing

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/raftlog"
	"laurel/witness"
)

// votersOf returns the voters f1, f2 and so on.
func votersOf(n int) (list []raft.Server) {
	for i := range n {
		name := fmt.Sprintf("f%d", i+1)
		list = append(list, raft.Server{ID: raft.ServerID(name + "@x"), Address: raft.ServerAddress(name + ":1")})
	}
	return list
}

// given is what a voter says that has voted for a candidate in term 7.
func given(candidate string) raftlog.Votes {
	return raftlog.Votes{From: 3, Given: []raftlog.Vote{{Term: 3, Candidate: "f1:1"}, {Term: 7, Candidate: candidate}}}
}

// f4 acts as the master of term 7.
func TestOnlyAMasterThatCannotHaveHadAMajorityWasNotElected(t *testing.T) {
	none, forgotten := raftlog.Votes{From: 1}, raftlog.Votes{From: 8}
	for _, c := range []struct {
		what   string
		voters int
		say    string // what f1, f2 and so on say
		want   bool
	}{
		{"nobody has voted", 4, "nnnx", true},
		{"two have, for others", 4, "n12x", true},
		{"one has voted for it", 4, "n4nx", false},
		{"one does not answer", 4, "n?nx", false},
		{"one has forgotten its vote", 4, "nfnx", false},
		{"one has voted for an unknown address, perhaps a new one of the master's", 4, "nunx", false},
		{"all have voted for it", 4, "444x", false},
		{"it says itself that it has not", 4, "nn?n", false},
		{"three of five others deny it", 5, "nnnx?", false},
		{"four of five deny it", 5, "n1nxn", true},
		{"five of seven deny it", 7, "nnnxnn4", true},
		{"four of seven deny it", 7, "nnnxn44", false},
		{"it is none of the voters, as far as this frontend knows", 3, "nnn", false},
		{"nobody may vote", 0, "", false},
	} {
		voters := votersOf(c.voters)
		votes := func(id raft.ServerID) raftlog.Votes {
			switch say := c.say[id[1]-'1']; say {
			case 'n':
				return none
			case 'f':
				return forgotten
			case 'u':
				return given("new:1")
			case '?', 'x':
				return raftlog.Votes{}
			default:
				return given(fmt.Sprintf("f%c:1", say))
			}
		}
		a := acting{term: 7, name: "f4"}
		if got := a.unelected(voters, votes); got != c.want {
			t.Errorf("%s: it was not elected: %t; want %t", c.what, got, c.want)
		}
	}
}

// Each term a candidate gets the votes of some, and acts if that is a majority. One that is not
// the candidate lies, and others restart, do not answer, or vote later.
func TestNoElectedMasterIsFoundNotToBe(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 7))
	elected, found := 0, 0
	for range 20_000 {
		voters := votersOf(1 + random.IntN(7))
		master, liar := random.IntN(len(voters)), random.IntN(len(voters))
		says, got := map[raft.ServerID]raftlog.Votes{}, 0
		for i, s := range voters {
			choice := random.IntN(len(voters) + 1) // the last is nobody
			if i == master || random.IntN(3) == 0 {
				choice = master
			}
			v := raftlog.Votes{From: 1}
			if choice < len(voters) {
				v = given(string(voters[choice].Address))
			}
			if choice == master {
				got++
			}
			switch {
			case i == liar && i != master:
				v = raftlog.Votes{From: 1}
			case random.IntN(8) == 0:
				v = raftlog.Votes{From: 8}
			}
			says[s.ID] = v
		}
		a := acting{term: 7, name: fmt.Sprintf("f%d", master+1)}
		not := a.unelected(voters, func(id raft.ServerID) raftlog.Votes { return says[id] })
		switch majority := got >= len(voters)/2+1; {
		case majority && not:
			t.Fatalf("%s had %d of %d votes; they say %+v", a.name, got, len(voters), says)
		case majority:
			elected++
		case not:
			found++
		}
	}
	if elected < 1000 || found < 1000 {
		t.Errorf("%d were elected, and %d found not to be", elected, found)
	}
}

func TestAMasterThatWasNotElectedIsLeftUntilAnotherOneHasSealed(t *testing.T) {
	c := newCourt(t)
	unelected := witness.Verdict{Frontend: "f2", Fault: Unelected, Size: 7}
	c.sealed, c.leads = 6, "f2"
	c.weigh(unelected)
	since := c.now
	c.now = c.now.Add(time.Second)
	c.weigh(unelected)
	if s := c.keeper.Of("f2"); s == nil || !s.Since.Equal(since) || s.Shunned {
		t.Errorf("it is held against it: %+v", s)
	}
	c.leads = "f3"
	c.weigh()
	c.expect("another one is the master", nil, []string{"f2"})
	c.sealed = 7
	c.weigh()
	c.expect("that one has sealed", nil, nil)
}

// f2 leads in terms 5 and 8, and f3 brings entries in between.
func TestTheElectorsAreTheVotersBeforeTheFirstEntryOfATerm(t *testing.T) {
	o := &Origins{}
	o.index, o.term = 10, 3
	latest := votersOf(3)
	bring := func(by string, entries ...*raft.Log) {
		o.noteElections(entries, by, func() []raft.Server { return latest })
	}
	entry := func(index, term uint64) *raft.Log { return &raft.Log{Index: index, Term: term} }
	configuration := func(index, term uint64, voters int) *raft.Log {
		c := raft.Configuration{Servers: append(votersOf(voters), raft.Server{ID: "n@x", Suffrage: raft.Nonvoter})}
		return &raft.Log{Index: index, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}
	}
	bring("f2", entry(11, 3), configuration(12, 3, 4), entry(13, 5), configuration(14, 5, 5))
	latest = votersOf(5)
	bring("f2", entry(15, 5), entry(16, 5))
	bring("f3", entry(17, 5), configuration(18, 5, 6), configuration(19, 8, 7))
	latest = votersOf(7)
	bring("f2", entry(20, 8))
	for _, c := range []struct {
		term uint64
		by   string
		want int
	}{{5, "f2", 4}, {8, "f3", 6}, {8, "f2", 0}, {5, "f3", 0}, {3, "f2", 0}} {
		if got := o.Electors(c.term, c.by); len(got) != c.want {
			t.Errorf("%s, if it was elected in term %d, was by %+v; want %d", c.by, c.term, got, c.want)
		}
	}
	for term := range uint64(100) {
		bring("f2", entry(21+term, 9+term))
	}
	if len(o.elections) > maxElections {
		t.Errorf("%d elections are remembered", len(o.elections))
	}
}
