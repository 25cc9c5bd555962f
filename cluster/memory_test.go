package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/join"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/fsm"
	"laurel/fsm/entry"
	"laurel/score"
)

// copyDir copies the data directory of a stopped node to a new one, whose path it
// returns.
func copyDir(t *testing.T, n *node) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(n.opts.Dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// putBack replaces the data directory of a stopped node by an older copy.
func putBack(t *testing.T, n *node, old string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(n.opts.Dir), os.Rename(old, n.opts.Dir)); err != nil {
		t.Fatal(err)
	}
}

// groupThatOneForgot returns a group of three of which one, stopped, has its directory of
// before the last posts again, and another one remembers what it held.
func groupThatOneForgot(t *testing.T, kind groupKind) (g *group, forgetful, witness, third *node) {
	g, _ = kind.make(t, 3)
	g.start()
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	third = g.master()
	forgetful, witness = g.others(third)[0], g.others(third)[1]
	forgetful.stop()
	old := copyDir(t, forgetful)
	forgetful.start()
	mustPost(t, third, alerts("bard/a", 4, 10))
	g.agree(13)
	eventually(t, "the witness hears what the other one holds", func() error {
		held := witness.member().source.HeldBy(forgetful.member().self)
		if last := entries(forgetful.member()); held == nil || held.Index < last {
			return fmt.Errorf("it has heard of %+v; want %d", held, last)
		}
		return nil
	})
	forgetful.stop()
	putBack(t, forgetful, old)
	g.makeMaster(third) // which the witness may have become meanwhile
	return g, forgetful, witness, third
}

func forgotten(n *node) uint64 { return n.member().source.Status("").Forgot }

func TestAMemberThatForgotGivesNoVoteUntilItHasEverythingAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, forgetful, witness, third := groupThatOneForgot(t, kind)
			third.stop()
			var log lockedBuffer
			forgetful.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			forgetful.start()
			eventually(t, "it knows that it forgot", func() error {
				if at := forgotten(forgetful); at == 0 || gauge(t, forgetful, "laurel_forgotten_entry") != float64(at) {
					return errors.New("it does not")
				}
				return nil
			})
			eventually(t, "it says so", func() error {
				if text := log.tail(1 << 20); !strings.Contains(text, "has forgotten what it acknowledged") ||
					!strings.Contains(text, "heard_by="+witness.opts.ID) {
					return errors.New(text)
				}
				return nil
			})
			eventually(t, "it refuses its vote often", func() error {
				if n := metric(t, forgetful, "laurel_raft_refused_total", "forgot"); n < 5 {
					return fmt.Errorf("%v times", n)
				}
				return nil
			})
			for _, n := range g.running() {
				if n.member().raft.State() == raft.Leader {
					t.Errorf("%s leads", n.opts.ID)
				}
			}
			third.start()
			g.settle()
			g.agree(13)
			eventually(t, "it has everything again", func() error {
				if at := forgotten(forgetful); at != 0 {
					return fmt.Errorf("it lacks entry %d", at)
				}
				return nil
			})
			g.master().stop() // its vote counts again
			mustPost(t, g.running()[0], alerts("bard/a", 14, 1))
			g.agree(14)
		})
	}
}

// An acknowledged post is remembered before any member asks another one for its status.
func TestWhoHoldsAnAckedPostIsRememberedAtOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	g.agree(0)
	for seq := uint64(1); seq <= 50; seq++ {
		master := g.master()
		mustPost(t, master, alerts("bard/a", seq, 1))
		m := master.member()
		last := m.machine.Applied()
		var byMaster, ofMaster int
		for _, other := range g.others(master) {
			if held := m.source.HeldBy(other.member().self); held != nil && held.Index >= last {
				byMaster++
			}
			if held := other.member().source.HeldBy(m.self); held != nil && held.Index >= last {
				ofMaster++
			}
		}
		if master == g.master() && (byMaster == 0 || ofMaster == 0) {
			t.Fatalf("post %d: the master knows of %d others that hold it, and %d know of the master",
				seq, byMaster, ofMaster)
		}
	}
}

// In an insecure group anybody may send messages of Raft under any name.
func TestOnlyMembersAreRememberedToHoldEntries(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	m := g.master().member()
	stranger := newFakePeer(t, "127.0.0.1:0", "f9@x")
	request := &raft.AppendEntriesRequest{
		RPCHeader: stranger.header(), Term: m.Epoch(), PrevLogEntry: 1, PrevLogTerm: 1, // which m has, too
	}
	var answer raft.AppendEntriesResponse
	to := peer.Address(m.self, raft.ServerAddress(m.Peer()))
	if err := stranger.over.AppendEntries(m.self, to, request, &answer); err != nil || !answer.Success {
		t.Fatalf("the message was answered %+v, %v", answer, err)
	}
	if held := m.source.HeldBy(stranger.id); held != nil {
		t.Errorf("a stranger is remembered to hold %+v", *held)
	}
}

// An old copy of its directory may lack the vote.
func TestAMemberThatHasJustStartedVotesInNoTermThatOthersKnew(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	n, third := g.others(g.master())[0], g.others(g.master())[1]
	n.stop()
	old := copyDir(t, n)
	n.start()
	g.settle()
	g.makeMaster(third)
	n.stop()
	putBack(t, n, old)
	term := third.member().Epoch()
	n.start()
	g.settle()
	eventually(t, "it may vote", func() error { return n.member().source.Gate.Check() })
	m, candidate := n.member(), newFakePeer(t, "127.0.0.1:0", third.member().self)
	ask := func(term uint64) error {
		var answer raft.RequestVoteResponse
		return candidate.over.RequestVote(m.self, peer.Address(m.self, raft.ServerAddress(m.Peer())),
			&raft.RequestVoteRequest{RPCHeader: candidate.header(), Term: term, LeadershipTransfer: true}, &answer)
	}
	if err := ask(term); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("may have voted in term %d", term)) {
		t.Errorf("in term %d, in which it may have voted: %v", term, err)
	}
	if err := ask(m.Epoch() + 1); err != nil {
		t.Errorf("in a later term: %v", err)
	}
}

func TestAMemberThatForgotCannotBeMadeTheMaster(t *testing.T) {
	t.Parallel()
	_, forgetful, _, third := groupThatOneForgot(t, kindsOfGroup[0])
	third.stop()
	m := forgetful.start()
	eventually(t, "it knows that it forgot", func() error {
		if forgotten(forgetful) == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	term := m.raft.CurrentTerm()
	var vote raft.RequestVoteResponse
	s := m.voters()[0]
	request := &raft.RequestVoteRequest{Term: term + 1, LeadershipTransfer: true}
	err := m.transport.RequestVote(s.ID, s.Address, request, &vote)
	if err == nil || !strings.Contains(err.Error(), "has forgotten entry") {
		t.Errorf("it asks for a vote: %v", err)
	}
}

func TestAFalseMemoryKeepsNoRunningMemberFromVoting(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			liar := g.nodes[2]
			liar.falseReporter = &falseReporter{told: map[string]int{}, alter: func(s *status.Status) {
				s.Held = &status.Held{Index: 1 << 40, Term: 1 << 20}
			}}
			g.start()
			honest := g.nodes[:2]
			mustPost(t, g.master(), alerts("bard/a", 1, 3))
			g.agree(3)
			liar.falseReporter.awaitReplies(t, honest)
			for _, n := range honest {
				if forgotten(n) != 0 || n.member().source.Gate.Check() != nil {
					t.Errorf("%s believes the liar", n.opts.ID)
				}
			}
			liar.stop()
			master := g.master()
			eventually(t, "the other one is the master", func() error {
				return g.master().member().Transfer(context.Background(), "")
			})
			mustPost(t, master, alerts("bard/a", 4, 1))
			g.agree(4)
		})
	}
}

func TestAFalseMemoryAndGoalOfAMasterEndWithTheNextMaster(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	liar := g.others(g.master())[0]
	liar.stop()
	liar.falseReporter = &falseReporter{told: map[string]int{}, alter: func(s *status.Status) {
		s.Held = &status.Held{Index: 1 << 40, Term: 1 << 20}
		s.Applied = 1 << 40
	}}
	liar.start()
	g.settle()
	g.makeMaster(liar)
	honest := g.others(liar)
	liar.falseReporter.awaitReplies(t, honest)
	started := honest[0]
	started.stop()
	started.start()
	eventually(t, "it follows the liar, and believes that it forgot", func() error {
		g.makeMaster(liar) // a busy machine may take its office from it
		if _, master := started.member().raft.LeaderWithID(); master != liar.member().self || forgotten(started) == 0 {
			return fmt.Errorf("it follows %q, and lacks entry %d", master, forgotten(started))
		}
		return nil
	})
	liar.falseReporter.mu.Lock()
	clear(liar.falseReporter.told)
	liar.falseReporter.mu.Unlock()
	liar.falseReporter.awaitReplies(t, honest[:1])
	g.makeMaster(honest[1])
	eventually(t, "it has everything of the next master", func() error {
		if at := forgotten(started); at != 0 {
			return fmt.Errorf("it lacks entry %d", at)
		}
		return nil
	})
	liar.stop()
	mustPost(t, started, alerts("bard/a", 1, 1))
}

// A group whose members all start at once has nobody that remembers.
func TestAMemberVotesThoughNobodyAnswersWhatItHeld(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	for _, n := range g.nodes {
		n.stop()
	}
	silent, err := net.Listen("tcp", g.nodes[2].opts.Peer) // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	g.nodes[0].start()
	g.nodes[1].start()
	mustPost(t, g.nodes[0], alerts("bard/a", 4, 1))
	g.agree(4)
}

// applyAlone makes the state of a node's member contradict that of the others: it applies
// an event that is not in the log.
func applyAlone(t *testing.T, n *node) {
	t.Helper()
	m := n.member().machine
	post, err := entry.EncodePost(alerts("bard/false", 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	index := m.Applied()
	alone := fsm.Entry{Index: index + 1, Data: entry.Encode([]entry.EncodedPost{post})}
	if _, err := m.Apply([]fsm.Entry{alone}, index+1); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberThatContradictsTheMajorityStops(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		for _, leads := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/leads %t", kind.name, leads), func(t *testing.T) {
				t.Parallel()
				g, _ := kind.make(t, 3)
				g.start()
				mustPost(t, g.master(), alerts("bard/a", 1, 3))
				g.agree(3)
				wrong := g.master()
				if !leads {
					wrong = g.others(wrong)[0]
				}
				others := g.others(wrong)
				applyAlone(t, wrong)
				postUntilEnded(t, wrong, others[0])
				checkEndsByContradiction(t, wrong)
				mark, err := os.ReadFile(filepath.Join(wrong.opts.Dir, "diverged"))
				if err != nil || !strings.Contains(string(mark), others[0].opts.ID+" (entry ") {
					t.Errorf("the mark is %q, %v; want the entry", mark, err)
				}
				checkContradiction(t, wrong)
				for _, n := range others {
					checkRuns(t, n)
				}
				mustPost(t, others[0], alerts("bard/b", 1, 1))
			})
		}
	}
}

// postUntilEnded posts at a node until the member of another one has ended.
func postUntilEnded(t *testing.T, n, at *node) {
	t.Helper()
	seq := uint64(3)
	eventually(t, n.opts.ID+" ends", func() error {
		seq++
		mustPost(t, at, alerts("bard/a", seq, 1))
		select {
		case err := <-n.member().Ended():
			n.member().ended <- err // for the caller
			return nil
		default:
			return errors.New("it goes on")
		}
	})
}

func TestAFalseStateStopsNobody(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			liar := g.nodes[2]
			liar.falseReporter = &falseReporter{told: map[string]int{}, alter: func(s *status.Status) {
				s.Digest[0]++
			}}
			g.start()
			mustPost(t, g.master(), alerts("bard/a", 1, 3))
			g.agree(3)
			liar.falseReporter.awaitReplies(t, g.nodes[:2])
			for _, n := range g.nodes[:2] {
				eventually(t, n.opts.ID+" counts the contradiction", func() error {
					if got := gauge(t, n, "laurel_contradicting_voters"); got != 1 {
						return fmt.Errorf("it counts %v", got)
					}
					return nil
				})
			}
			liar.stop()
			for i, n := range g.nodes[:2] {
				checkRuns(t, n)
				mustPost(t, n, alerts(fmt.Sprintf("bard/%d", i), 1, 1))
			}
		})
	}
}

func TestOfTwoVotersThatContradictEachOtherNoneStops(t *testing.T) {
	t.Parallel()
	g, _ := kindsOfGroup[0].make(t, 2)
	var log lockedBuffer
	for _, n := range g.nodes {
		n.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	g.start()
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	applyAlone(t, g.nodes[1])
	mustPost(t, g.nodes[0], alerts("bard/a", 4, 1))
	mustPost(t, g.nodes[0], alerts("bard/a", 5, 1))
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" counts the contradiction", func() error {
			if got := gauge(t, n, "laurel_contradicting_voters"); got != 1 {
				return fmt.Errorf("it counts %v", got)
			}
			return nil
		})
		checkRuns(t, n)
	}
	eventually(t, "the log has it", func() error {
		if !strings.Contains(log.tail(1<<20), "there is no majority against this one") {
			return fmt.Errorf("it has no word of it:\n%s", log.tail(4000))
		}
		return nil
	})
}

func TestACloneIsRefusedWhileTheFirstAnswers(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			g.start()
			first := g.others(g.master())[0]
			first.stop()
			dir := copyDir(t, first)
			first.start()
			g.settle()
			clone := newNode(t, first.opts.ID)
			clone.opts.Identity, clone.opts.Join = first.opts.Identity, []string{g.nodes[0].server.URL}
			clone.opts.Dir, clone.opts.Peer = dir, loopback()
			clone.start()
			var asked error
			eventually(t, "the master answers", func() error {
				if asked = g.master().member().Join(context.Background(), clone.asNew(), true); masterLost(asked) {
					return asked
				}
				return nil
			})
			if code := score.CodeOf(asked); code != score.IDConflict && code != score.NotReady {
				t.Errorf("the master answers %v", asked)
			}
			var twin *TwinError
			if why := ended(t, clone); !errors.As(why, &twin) || twin.Addr != first.opts.Peer ||
				!strings.Contains(why.Error(), dir) {
				t.Errorf("the clone ended with %v", why)
			}
			for _, s := range g.master().member().servers() {
				if s.ID == first.member().self && string(s.Address) != first.opts.Peer {
					t.Errorf("the group has the clone at %s", s.Address)
				}
			}
			for _, n := range g.nodes {
				checkRuns(t, n)
			}
			mustPost(t, first, alerts("bard/a", 1, 1))
		})
	}
}

// A request that ended says nothing about a member that did not answer in time for it.
func TestAMemberIsNotTakenForDeadBecauseARequestEnded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	master := g.master()
	first := g.others(master)[0]
	m := master.member()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	known, _ := peer.FindID(m.servers(), first.opts.ID)
	joiner := status.Status{Member: known.ID, Process: "another"}
	n := score.NewMember{ID: first.opts.ID, Peer: loopback()}
	for range 20 { // each way in which the request may end
		if p := m.checkTwin(ctx, joiner, n); p == nil {
			t.Fatal("the first of two frontends is taken for dead")
		}
		if p := m.checkSilent(ctx, known); p == nil {
			t.Fatal("a member that answers can be replaced")
		}
	}
}

// A machine that stops both for seconds uses up the time for the answer.
func TestAMemberIsAskedAgainWhenTheMasterWasHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := raft.Server{ID: "f9@x", Address: "f9"}
		asked := 0
		afterAStop := func(ctx context.Context, _ string) (s status.Status, err error) {
			if asked++; asked == 1 {
				time.Sleep(8 * time.Second)
				return s, ctx.Err()
			}
			s.Member = at.ID
			return s, nil
		}
		if a, answers, p := askAgain(t.Context(), at, time.Second, afterAStop); p != nil || !answers || a.Member != at.ID {
			t.Errorf("got %v, answers %t, %v", a.Member, answers, p)
		}
		silent := func(ctx context.Context, _ string) (s status.Status, err error) {
			<-ctx.Done()
			return s, ctx.Err()
		}
		begun := time.Now()
		_, answers, p := askAgain(t.Context(), at, time.Second, silent)
		if took := time.Since(begun); p != nil || answers || took != time.Second {
			t.Errorf("a silent one: answers %t, %v, after %s; want 1s", answers, p, took)
		}
	})
}

func TestMembersNoticeAnotherInstanceAtAMembersAddress(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			var log lockedBuffer
			for _, n := range g.nodes {
				n.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			}
			g.start()
			gone := g.others(g.master())[0]
			gone.stop()
			second, add := kind.make(t, 0)
			founder := add(func(o *Options) { o.Peer, o.Bootstrap = gone.opts.Peer, true })
			founder.opts.ID = "f1"
			second.start()
			for _, n := range g.running() {
				eventually(t, n.opts.ID+" counts it", func() error {
					families, err := n.registry.Gather()
					for _, f := range families {
						if f.GetName() == "laurel_foreign_answers_total" {
							return nil
						}
					}
					return cmp.Or(err, errors.New("it does not"))
				})
				checkRuns(t, n)
			}
			eventually(t, "the log has it", func() error {
				text := log.tail(1 << 20)
				if !strings.Contains(text, "another frontend answers at the address of a member") {
					return fmt.Errorf("it has no word of it:\n%s", text)
				}
				return nil
			})
		})
	}
}

// All of the others start again with a --join that names the member that lost its data.
func TestASecondGroupInThePlaceOfAMemberStopsNoOther(t *testing.T) {
	t.Parallel()
	g, _ := kindsOfGroup[0].make(t, 3)
	g.start()
	mustPost(t, g.master(), alerts("bard/a", 1, 3))
	g.agree(3)
	gone := g.others(g.master())[0]
	others := g.others(gone)
	gone.stop()
	second, add := kindsOfGroup[0].make(t, 0)
	founder := add(func(o *Options) { o.Peer, o.Bootstrap = gone.opts.Peer, true })
	second.start()
	for _, n := range others {
		n.stop()
		n.opts.Join = []string{founder.server.URL}
	}
	for i, n := range others {
		n.start()
		eventually(t, n.opts.ID+" asked at the address to join", func() error {
			families, err := n.registry.Gather()
			for _, f := range families {
				if f.GetName() == "laurel_foreign_answers_total" {
					return nil
				}
			}
			return cmp.Or(err, errors.New("it has not"))
		})
		if i > 0 {
			mustPost(t, n, alerts("bard/a", 4, 1))
		}
		checkRuns(t, n)
	}
	for _, n := range others {
		checkRuns(t, n)
	}
}

func TestJoinOfAnotherGroupOverDataIsRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			other, _ := kind.make(t, 1)
			other.start()
			g, _ := kind.make(t, 1)
			g.start()
			eventually(t, "the groups have names", func() error {
				if g.nodes[0].member().Incarnation() == "" || other.nodes[0].member().Incarnation() == "" {
					return errors.New("they have not")
				}
				return nil
			})
			n := g.nodes[0]
			n.stop()
			var log lockedBuffer
			n.opts.Join, n.opts.Logger = []string{other.nodes[0].server.URL}, slog.New(slog.NewTextHandler(&log, nil))
			n.start()
			if kind.secure { // the other group cannot prove what it says
				eventually(t, "it says so", func() error {
					if text := log.tail(1 << 20); !strings.Contains(text, "shows no certificate of this frontend's group") {
						return errors.New(text)
					}
					return nil
				})
				checkRuns(t, n)
				return
			}
			var wrong *join.GroupError
			if why := ended(t, n); !errors.As(why, &wrong) || wrong.Found != other.nodes[0].member().Incarnation() {
				t.Errorf("it ended with %v", why)
			}
		})
	}
}

func TestProcessesOfAMemberHaveDifferentNames(t *testing.T) {
	t.Parallel()
	n := newGroup(t, 1).nodes[0]
	names := map[string]bool{}
	for range 3 {
		names[n.member().source.Status("").Process] = true
		n.stop()
		n.start()
	}
	if len(names) != 3 || names[""] {
		t.Errorf("three processes have the names %v", slices.Collect(maps.Keys(names)))
	}
}

// gauge returns a gauge of the node's member.
func gauge(t testing.TB, n *node, name string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no gauge %s", name)
	return 0
}
