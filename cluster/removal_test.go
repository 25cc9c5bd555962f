package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
)

// falseReporter answers the other members that they were removed.
type falseReporter struct {
	lies     atomic.Bool // else it is honest
	byHeader bool        // says it as one says it to a member whose certificate is refused
	// superseded says it as a member of the group that was recovered without the others does.
	superseded bool
	// alter, if not nil, makes a false status of the true one, in place of a removal.
	alter func(*status.Status)
	mu    sync.Mutex
	told  map[string]int // how often, by server id
}

func (l *falseReporter) over(m *Member, honest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.lies.Load() {
			honest.ServeHTTP(w, r)
			return
		}
		if from := r.FormValue("from"); from != "" {
			l.mu.Lock()
			l.told[from]++
			l.mu.Unlock()
		}
		if l.alter != nil {
			if r.URL.Path != status.Path {
				honest.ServeHTTP(w, r)
				return
			}
			s := m.source.Status("")
			l.alter(&s)
			json.MarshalWrite(w, s)
			return
		}
		if l.superseded {
			w.Header().Set("Connection", "close") // as the honest one does: the next has the newest certificate
			peer.WriteSuperseded(w, "another")
			return
		}
		if l.byHeader {
			peer.WriteRemoved(w, math.MaxUint64, score.Problemf(score.Forbidden, "you were removed from the group"))
			return
		}
		if r.URL.Path != "/peer/v1/status" {
			m.writePeerError(w, r,
				score.Problemf(score.IDConflict, "you have the data of a group of which you are no member"))
			return
		}
		s := m.source.Status("")
		s.Leads, s.Term, s.Asker, s.Master = true, math.MaxUint64, &status.Place{}, m.opts.Peer
		s.Roster = &status.Listing{Index: math.MaxUint64}
		json.MarshalWrite(w, s)
	})
}

// awaitReplies waits until each of the nodes has often been told that it was removed.
func (l *falseReporter) awaitReplies(t *testing.T, nodes []*node) {
	t.Helper()
	l.lies.Store(true)
	for _, n := range nodes {
		id := string(n.member().self)
		eventually(t, n.opts.ID+" hears the lie", func() error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.told[id] < 3 {
				return fmt.Errorf("it heard it %d times", l.told[id])
			}
			return nil
		})
	}
}

// checkStaysMember checks that the node runs, is not marked as removed, and accepts a post.
func checkStaysMember(t *testing.T, n *node, source string) {
	t.Helper()
	checkRuns(t, n)
	if _, err := os.Stat(filepath.Join(n.opts.Dir, removedFile)); err == nil {
		t.Errorf("%s is marked as removed", n.opts.ID)
	}
	mustPost(t, n, alerts(source, 1, 1))
}

// groupKind makes secure or insecure groups.
type groupKind struct {
	name   string
	secure bool
}

var kindsOfGroup = []groupKind{{"insecure", false}, {"secure", true}}

// make returns a group of size voters that is not started, and a function that adds a node.
func (k groupKind) make(t *testing.T, size int) (g *group, add func(...func(*Options)) *node) {
	g = &group{t: t}
	add = g.add
	if k.secure {
		s := &secureGroup{group: g}
		add = s.addSecure
	}
	for range size {
		add()
	}
	return g, add
}

func (g *group) start() {
	g.t.Helper()
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
}

func TestOneFalseAnswerRemovesNobody(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		for _, voter := range []bool{true, false} {
			for _, byHeader := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/voter %t/by header %t", kind.name, voter, byHeader), func(t *testing.T) {
					t.Parallel()
					size := 2
					if !voter {
						size = 3
					}
					g, add := kind.make(t, size)
					n := add(func(o *Options) { o.Nonvoter = !voter })
					n.falseReporter = &falseReporter{byHeader: byHeader, told: map[string]int{}}
					g.start()
					honest := g.others(n)
					n.falseReporter.awaitReplies(t, honest)
					n.stop()
					for i, h := range honest {
						checkStaysMember(t, h, fmt.Sprintf("bard/%d", i))
					}
				})
			}
		}
	}
}

func TestAnswerOfAJoiningFrontendRemovesNobody(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		for _, byHeader := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/by header %t", kind.name, byHeader), func(t *testing.T) {
				t.Parallel()
				g, add := kind.make(t, 1)
				g.start()
				joiner := add(func(o *Options) { o.Nonvoter = true })
				joiner.opts.Join = []string{"http://127.0.0.1:1"} // the test asks for it
				joiner.falseReporter = &falseReporter{byHeader: byHeader, told: map[string]int{}}
				joiner.falseReporter.lies.Store(true)
				joiner.start()
				master := g.nodes[0]
				asks := joiner.asNew()
				asks.Voter = false
				err := master.member().Join(context.Background(), asks, true)
				if byHeader {
					refused(t, err, score.NotReady)
				}
				joiner.stop()
				checkStaysMember(t, master, "bard/a")
			})
		}
	}
}

func TestLeaderBelievesNobodyThatItWasRemoved(t *testing.T) {
	t.Parallel()
	g, _ := kindsOfGroup[0].make(t, 3)
	for _, n := range g.nodes {
		n.falseReporter = &falseReporter{told: map[string]int{}}
		steady(&n.opts) // a master that has lost its office believes them
	}
	g.start()
	master := g.master()
	for _, n := range g.others(master) {
		n.falseReporter.awaitReplies(t, []*node{master})
	}
	checkStaysMember(t, master, "bard/a")
}

func TestMemberLearnsThatItWasRemoved(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		for _, size := range []int{2, 3} {
			for _, asleep := range []bool{false, true} {
				if asleep && size == 2 {
					continue // there is no master without the other one
				}
				t.Run(fmt.Sprintf("%s/of %d/asleep %t", kind.name, size, asleep), func(t *testing.T) {
					t.Parallel()
					g, _ := kind.make(t, size)
					g.start()
					master := g.master()
					gone := g.others(master)[0]
					eventually(t, "it knows that it has joined as a voter", func() error {
						newest, _ := master.member().roster.Lists("")
						if index, in := gone.member().roster.Lists(gone.member().self); !in || index < newest {
							return errors.New("it does not")
						}
						return nil
					})
					if asleep {
						gone.stop()
					}
					eventually(t, "a master removes it", func() error {
						err := g.master().member().Leave(context.Background(), gone.opts.ID, true)
						if score.CodeOf(err) == score.NotFound { // an attempt of unknown outcome has removed it
							return nil
						}
						return err
					})
					if asleep {
						gone.start()
					}
					if why := ended(t, gone); why != ErrRemoved {
						t.Errorf("it ended with %v", why)
					}
					mark, err := os.ReadFile(filepath.Join(gone.opts.Dir, removedFile))
					if err != nil || !strings.Contains(string(mark), "entry ") {
						t.Errorf("the mark is %q, %v; want the entry that removed it", mark, err)
					}
					for range 2 {
						if _, err := Start(gone.again()); !errors.Is(err, ErrRemoved) {
							t.Errorf("started again, it got %v", err)
						}
					}
				})
			}
		}
	}
}

// The other members are gone, so its log alone decides.
func TestMemberBelievesItsLogThatItWasRemoved(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	n := g.others(g.master())[0]
	m := n.member()
	self := m.self
	for _, other := range g.others(n) {
		eventually(t, "it has applied all", func() error {
			if m.raft.AppliedIndex() < other.member().raft.LastIndex() {
				return errors.New("it has not")
			}
			return nil
		})
		other.stop()
	}
	var servers []raft.Server
	for _, s := range m.servers() {
		if s.ID != self {
			servers = append(servers, s)
		}
	}
	without := raft.Configuration{Servers: servers}
	removal := &raft.Log{Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(without)}
	appendAs(t, m, servers[0], removal)
	if why := ended(t, n); why != ErrRemoved {
		t.Errorf("it ended with %v", why)
	}
	mark, err := os.ReadFile(filepath.Join(n.opts.Dir, removedFile))
	if want := fmt.Sprintf("entry %d of its log", removal.Index); err != nil || !strings.Contains(string(mark), want) {
		t.Errorf("the mark is %q, %v; want %q", mark, err, want)
	}
}

// appendAs gives m's Raft a committed entry as the leader of the next term would.
func appendAs(t *testing.T, m *Member, leader raft.Server, entry *raft.Log) {
	t.Helper()
	eventually(t, "the entry is taken", func() error {
		var last raft.Log
		at := m.raft.LastIndex()
		if err := m.storage.Log.GetLog(at, &last); err != nil {
			return err
		}
		entry.Index, entry.Term = at+1, m.raft.CurrentTerm()+1
		answer := make(chan raft.RPCResponse, 1)
		m.transport.Deliver(raft.RPC{RespChan: answer, Command: &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{
				ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader.ID),
				Addr: m.transport.EncodePeer(leader.ID, leader.Address),
			},
			Term: entry.Term, PrevLogEntry: last.Index, PrevLogTerm: last.Term, Entries: []*raft.Log{entry},
			LeaderCommitIndex: entry.Index,
		}})
		said := <-answer
		if a, ok := said.Response.(*raft.AppendEntriesResponse); said.Error != nil || !ok || !a.Success {
			return fmt.Errorf("it answered %+v, %v", said.Response, said.Error)
		}
		return nil
	})
}

func TestMemberLogsTooFewReportsOfItsRemoval(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	gone, third := g.others(master)[0], g.others(master)[1]
	eventually(t, "it knows that it has joined", func() error {
		if !gone.member().storage.Joined() {
			return errors.New("it does not")
		}
		return nil
	})
	id := gone.member().self
	gone.stop()
	g.remove(gone.opts.ID, false)
	eventually(t, "the first master knows that it is removed, by any of them", func() error {
		if _, in := master.member().roster.Lists(id); in {
			return errors.New("it does not")
		}
		return nil
	})
	third.stop()
	eventually(t, "nobody sends it the entry that removed it", func() error {
		if master.member().raft.State() == raft.Leader {
			return errors.New("the master leads still")
		}
		return nil
	})
	var log lockedBuffer
	gone.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	gone.start()
	eventually(t, "it logs what it hears", func() error {
		text := log.tail(1 << 20)
		if !strings.Contains(text, "too few to believe it") ||
			!strings.Contains(text, master.opts.ID+" (configuration of entry ") {
			return errors.New(text)
		}
		return nil
	})
	checkRuns(t, gone)
	third.start()
	if why := ended(t, gone); why != ErrRemoved {
		t.Errorf("it ended with %v", why)
	}
}

func TestRosterIsRestoredFromASnapshot(t *testing.T) {
	t.Parallel()
	often := func(o *Options) { o.SnapshotEntries = 5 }
	g := newGroup(t, 3, often)
	late := g.others(g.master())[0]
	if late == g.nodes[0] { // new members join there
		late = g.others(g.master())[1]
	}
	had := entries(late.member())
	late.stop()
	f4 := g.add(often)
	f4.start()
	eventually(t, "f4 has a vote", func() error {
		if !slices.Contains(voters(g.master().member()), "f4") {
			return errors.New("it has none")
		}
		return nil
	})
	id := f4.member().self
	postUntilSnapshots(t, g.master(), "bard/a", 2)
	eventually(t, "the master has dropped what the follower lacks", func() error {
		first, err := g.master().member().storage.Log.FirstIndex()
		if err == nil && first <= had+20 {
			mustPost(t, g.master(), alerts(fmt.Sprintf("bard/%d", first), 1, 1))
			err = fmt.Errorf("its log begins at %d", first)
		}
		return err
	})
	late.start()
	eventually(t, "f4 is on its roster", func() error {
		if _, in := late.member().roster.Lists(id); !in {
			return errors.New("it is not")
		}
		return nil
	})
	for _, n := range g.nodes {
		n.stop()
	}
	if _, in := late.start().roster.Lists(id); !in {
		t.Error("after a start without the others, f4 is on its roster no more")
	}
}
