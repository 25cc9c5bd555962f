package cluster

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/peer"
)

// operatorLogs keeps, by node, the lines that are logged at the default level.
type operatorLogs struct {
	mu    sync.Mutex
	lines map[string][]string
}

func newOperatorLogs() *operatorLogs { return &operatorLogs{lines: map[string][]string{}} }

// of makes a node log here.
func (l *operatorLogs) of(o *Options) {
	o.Logger = slog.New(slog.NewTextHandler(&nodeLog{l, o.ID}, nil))
}

// since returns the lines of a node after the first n.
func (l *operatorLogs) since(id string, n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines[id][n:])
}

// nodeLog is the log of one node.
type nodeLog struct {
	all *operatorLogs
	id  string
}

func (l *nodeLog) Write(b []byte) (int, error) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.all.lines[l.id] = append(l.all.lines[l.id], strings.TrimSpace(string(b)))
	return len(b), nil
}

// having returns the lines with all the parts.
func having(lines []string, parts ...string) (list []string) {
	for _, line := range lines {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			list = append(list, line)
		}
	}
	return list
}

// playLoss plays a script in which a follower is lost for a time, to its death or by a cut
// of the network, and returns the lines of all three until it is back.
func playLoss(t *testing.T, cut bool, away time.Duration) (master, lost, third string, lines map[string][]string) {
	t.Helper()
	logs := newOperatorLogs()
	runScript(t, func(n *worldNode) { logs.of(&n.opts) }, func(s *script) {
		if !s.post(3) || !s.until("there is a master", func() bool { return s.master() != nil }) {
			return
		}
		m := s.master()
		others := s.others(m.node)
		master, lost, third = m.node.id, others[0].id, others[1].id
		before := map[string]int{}
		for _, n := range s.list() {
			before[n.id] = len(logs.since(n.id, 0))
		}
		if cut {
			s.cutBoth(lost, master)
			s.cutBoth(lost, third)
		} else if !s.crash(others[0], false) {
			return
		}
		time.Sleep(away) // virtual
		if up := memberUp(t, m.Member, lost); up != 0 {
			s.problemf("laurel_member_up of the lost one is %v", up)
		}
		if up := memberUp(t, m.Member, third); up != 1 {
			s.problemf("laurel_member_up of the other one is %v", up)
		}
		if cut {
			s.healBoth(lost, master)
			s.healBoth(lost, third)
		} else {
			s.restart(others[0])
		}
		for _, other := range []*Member{m.Member, others[1].now.Load().Member} {
			s.until("it is up again", func() bool { return memberUp(t, other, lost) == 1 })
		}
		lines = map[string][]string{}
		for _, n := range s.list() {
			lines[n.id] = logs.since(n.id, before[n.id])
		}
	})
	return master, lost, third, lines
}

// memberUp returns laurel_member_up of a member; -1 if there is none.
func memberUp(t *testing.T, m *Member, id string) float64 {
	t.Helper()
	families, err := m.opts.Metrics.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, value := range f.GetMetric() {
			if f.GetName() == "laurel_member_up" && value.GetLabel()[0].GetValue() == id {
				return value.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func TestALostMemberIsOneLineWhenItGoesAndOneWhenItReturns(t *testing.T) {
	away := 5 * time.Minute
	if testing.Short() {
		away = time.Minute
	}
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%t", cut), func(t *testing.T) {
			master, lost, third, lines := playLoss(t, cut, away)
			if lines == nil {
				t.Fatal("the script did not end")
			}
			about := []string{"member=" + lost, "peer=" + lost + ":9000", "away="}
			for id, level := range map[string]string{master: "WARN", third: "INFO"} {
				gone := having(lines[id], append(about, "a frontend does not answer")...)
				back := having(lines[id], append(about, "a frontend answers again", "level=INFO")...)
				if len(gone) != 1 || len(back) != 1 || !strings.Contains(gone[0], "level="+level) {
					t.Errorf("%s: got %q and %q", id, gone, back)
				}
				if len(back) == 1 {
					_, says, _ := strings.Cut(back[0], " away=")
					says, _, _ = strings.Cut(says, " ")
					d, err := time.ParseDuration(says)
					if err != nil || d < away-10*time.Second || d >= away+time.Minute {
						t.Errorf("%s: it was away for %v: %q", id, away, back[0])
					}
				}
				if len(lines[id]) > 8 {
					t.Errorf("%s logged %d lines in %v:\n%s", id, len(lines[id]), away, strings.Join(lines[id], "\n"))
				}
				if warnings := having(lines[id], "level=WARN"); id == master && len(warnings) != 1 || id == third && len(warnings) > 0 {
					t.Errorf("%s warned:\n%s", id, strings.Join(warnings, "\n"))
				}
			}
			if cut && len(lines[lost]) > 12 {
				t.Errorf("%s logged %d lines in %v:\n%s",
					lost, len(lines[lost]), away, strings.Join(lines[lost], "\n"))
			}
		})
	}
}

// A member that becomes the master warns of one that was lost before.
func TestNewMasterWarnsOfAMemberThatWasLostBefore(t *testing.T) {
	t.Parallel()
	logs := newOperatorLogs()
	g := newGroup(t, 3, logs.of, steady)
	old := g.master()
	lost, next := g.others(old)[0], g.others(old)[1]
	before := map[*node]int{} // a busy machine may have lost it for a moment
	for _, n := range g.nodes {
		before[n] = len(logs.since(n.opts.ID, 0))
	}
	warnings := func(n *node) []string {
		return having(logs.since(n.opts.ID, before[n]), "level=WARN", "does not answer", "member="+lost.opts.ID)
	}
	lost.stop()
	eventually(t, "the master warns", func() error {
		if w := warnings(old); len(w) != 1 {
			return fmt.Errorf("got %q", w)
		}
		return nil
	})
	eventually(t, "another one is the master", func() error {
		if next.member().Master() {
			return nil
		}
		return old.member().Transfer(t.Context(), next.opts.ID)
	})
	eventually(t, "the next master warns", func() error {
		if w := warnings(next); len(w) != 1 {
			return fmt.Errorf("got %q", w)
		}
		return nil
	})
	if w := warnings(old); len(w) != 1 {
		t.Errorf("the old master warned: %q", w)
	}
}

func TestRemovedMemberIsNotLost(t *testing.T) {
	t.Parallel()
	logs := newOperatorLogs()
	g := newGroup(t, 3, logs.of)
	master := g.master()
	leaver := g.others(master)[0]
	has := func() float64 { return memberUp(t, master.member(), leaver.opts.ID) }
	eventually(t, "the metric has it", func() error {
		if v := has(); v != 1 {
			return fmt.Errorf("got %v", v)
		}
		return nil
	})
	before := len(logs.since(master.opts.ID, 0)) // a busy machine may have lost it for a moment
	g.remove(leaver.opts.ID, false)
	ended(t, leaver)
	eventually(t, "the metric does not have it", func() error {
		if v := has(); v != -1 {
			return fmt.Errorf("got %v", v)
		}
		return nil
	})
	lines := having(logs.since(master.opts.ID, before), "does not answer", "member="+leaver.opts.ID)
	if len(lines) > 0 {
		t.Errorf("got %q", lines)
	}
}

func TestATransferToAMemberThatStopsIsNoNews(t *testing.T) {
	t.Parallel()
	logs := newOperatorLogs()
	n := newGroup(t, 1, logs.of).master()
	m := n.member()
	other := newFakePeer(t, "127.0.0.1:0", "x@x")
	m.Stopping()
	at := peer.Address(m.self, raft.ServerAddress(m.Peer()))
	request := &raft.TimeoutNowRequest{RPCHeader: other.header()}
	if err := other.over.TimeoutNow(m.self, at, request, new(raft.TimeoutNowResponse)); err == nil {
		t.Error("it stands for election")
	}
	if lines := having(logs.since(n.opts.ID, 0), "level=WARN"); len(lines) > 0 {
		t.Errorf("it logged:\n%s", strings.Join(lines, "\n"))
	}
}

// A whole group that is stopped does not warn of what was asked for.
func TestAStopThatWasAskedForWarnsOfNothing(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("secure=%t", secure), func(t *testing.T) {
			logs := newOperatorLogs()
			g := &secureGroup{group: &group{t: t}}
			for range 3 {
				if secure {
					logs.of(&g.addSecure().opts)
				} else {
					logs.of(&g.add().opts)
				}
			}
			for _, n := range g.nodes {
				n.start()
			}
			g.settle()
			if secure {
				g.holdKeys()
			}
			before := map[string]int{}
			for _, n := range g.nodes {
				before[n.opts.ID] = len(logs.since(n.opts.ID, 0))
			}
			var stops sync.WaitGroup
			// All of them first: one that is asked seconds later may warn of the others.
			for _, n := range g.nodes {
				n.member().Stopping()
			}
			for _, n := range g.nodes {
				stops.Go(func() {
					n.member().HandOver(t.Context())
					n.stop()
				})
			}
			stops.Wait()
			for _, n := range g.nodes {
				lines := logs.since(n.opts.ID, before[n.opts.ID])
				if len(having(lines, "level=WARN")) > 0 || len(lines) > 5 {
					t.Errorf("%s logged:\n%s", n.opts.ID, strings.Join(lines, "\n"))
				}
			}
		})
	}
}
