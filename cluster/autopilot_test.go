package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/autopilot"
	"laurel/cluster/peer"
	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/access"
)

// hasty is a policy for groups in real time.
func hasty(minVoters int) func(*Options) {
	return func(o *Options) {
		o.hooks.policy = &autopilot.Policy{CleanUpAfter: 3 * time.Second, MinVoters: minVoters, Stabilize: time.Second}
	}
}

func setTo(m *Member, name, value string) error {
	return m.ChangeAccess(context.Background(), access.Change{By: "getafix", Setting: &access.Setting{Name: name, Value: value}})
}

// has reports whether the master's configuration has a member.
func has(m *Member, id string) bool {
	return slices.ContainsFunc(m.servers(), func(s raft.Server) bool { return peer.MemberID(s.ID) == id })
}

func TestADeadNonvoterGoesAfterTheTimeThatTheGroupHasSet(t *testing.T) {
	runScript(t, nil, func(s *script) {
		fourth := s.newNode()
		fourth.opts.Nonvoter = true
		if !s.start(fourth) || !s.mustJoin(fourth, false) || !s.post(3) {
			return
		}
		m := s.master()
		if err := setTo(m.Member, access.SettingCleanUpAfter, "1m"); err != nil {
			s.problemf("set: %v", err)
		}
		if !s.crash(fourth, true) {
			return
		}
		fourth.left.Store(true)
		time.Sleep(55 * time.Second) // virtual
		if !has(m.Member, fourth.id) {
			s.problemf("it is removed too early")
		}
		s.until("it is removed", func() bool { m := s.master(); return m != nil && !has(m.Member, fourth.id) })
		s.post(3)
	})
}

func TestADeadVoterGoesOnlyWhenEnoughStay(t *testing.T) {
	runScript(t, nil, func(s *script) {
		fourth := s.newNode()
		if !s.start(fourth) || !s.mustJoin(fourth, true) || !s.post(3) {
			return
		}
		m := s.master()
		if m.node == fourth {
			s.problemf("the newcomer is the master")
		}
		if err := setTo(m.Member, access.SettingCleanUpAfter, "1m"); err != nil {
			s.problemf("set: %v", err)
		}
		if !s.crash(fourth, true) {
			return
		}
		fourth.left.Store(true)
		time.Sleep(2 * time.Minute) // virtual
		a := s.master().Autopilot()
		i := slices.IndexFunc(a.Members, func(e score.AutopilotMember) bool { return e.ID == fourth.id })
		if e := a.Members[i]; !e.Dead || e.Healthy || !strings.Contains(e.Kept, access.SettingMinVoters) {
			s.problemf("it is %+v", e)
		}
		if a.FailureTolerance != 0 || a.Healthy {
			s.problemf("the group is %+v", a)
		}
		if err := setTo(s.master().Member, access.SettingMinVoters, "3"); err != nil {
			s.problemf("set: %v", err)
		}
		s.until("it is removed", func() bool { m := s.master(); return m != nil && !has(m.Member, fourth.id) })
		s.until("the group stands the loss of one", func() bool { return s.master().Frontends().FailureTolerance == 1 })
	})
}

// The removal of a dead voter waits for its turn while an operator changes the group. Then it
// may break the minimum.
func TestARemovalThatWaitedForAnOperatorKeepsTheMinimum(t *testing.T) {
	for name, change := range map[string]func(*membership, *raft.Server) error{
		"another voter is removed": func(m *membership, other *raft.Server) error { return m.drop(m.ctx, other) },
		"a voter more is to stay": func(m *membership, _ *raft.Server) error {
			return m.access.ChangeAccess(m.ctx, access.Change{
				By: "getafix", Setting: &access.Setting{Name: access.SettingMinVoters, Value: "5"},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			runScript(t, nil, func(s *script) {
				fourth, fifth := s.newNode(), s.newNode()
				for _, n := range []*worldNode{fourth, fifth} {
					if !s.start(n) || !s.mustJoin(n, true) {
						return
					}
				}
				m := s.master()
				for name, value := range map[string]string{access.SettingCleanUpAfter: "1m", access.SettingMinVoters: "4"} {
					if err := setTo(m.Member, name, value); err != nil {
						s.problemf("set: %v", err)
					}
				}
				if !s.crash(fourth, true) {
					return
				}
				fourth.left.Store(true)
				time.Sleep(30 * time.Second) // virtual
				m.membership.changing.Lock()
				removes := func() bool { last, _ := m.health.Last(); return last.Remove != "" }
				if !s.until("the master is to remove it", removes) {
					return
				}
				time.Sleep(time.Second) // virtual
				other, _ := peer.Find(m.servers(), fifth.now.Load().self)
				fifth.left.Store(name == "another voter is removed")
				err := change(m.membership, &other)
				m.membership.changing.Unlock()
				if err != nil {
					s.problemf("change: %v", err)
				}
				time.Sleep(time.Minute) // virtual
				if !has(m.Member, fourth.id) {
					s.problemf("BROKEN: it is removed: the group is %v", m.servers())
				}
			})
		})
	}
}

// A member can be silent for those who ask it for its status, and still have a lease.
func TestTheLeaseOfADeadMemberReturnsBeforeItIsRemoved(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, hasty(0))
	m := g.master().member()
	n := g.add(hasty(0), func(o *Options) { o.Nonvoter = true })
	var silent atomic.Bool
	n.changeStatus = func(s *status.Status, _ raft.ServerID) {
		if silent.Load() {
			s.Member = "nobody@nowhere"
		}
	}
	n.start()
	g.settle()
	eventually(t, "it has a lease", func() error {
		if !n.member().frontend.Leased() {
			return errors.New("not yet")
		}
		return nil
	})
	// Not before it has a lease: a busy machine may need longer for that than until it is dead.
	silent.Store(true)
	eventually(t, "it is removed", func() error {
		if has(m, n.opts.ID) {
			return errors.New("it is in the configuration")
		}
		if n.member().frontend.Leased() {
			t.Error("it is removed and has a lease")
		}
		return nil
	})
}

func TestAMemberThatAnswersIsNeverEvicted(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	master := g.master()
	n := g.others(master)[0]
	refused(t, master.member().evict(t.Context(), n.member().self, func() bool { return true }, "test"), score.IDConflict)
	if !has(master.member(), n.opts.ID) {
		t.Error("it is removed")
	}
	checkRuns(t, n)
}

// newInstance makes a node with the id of another one and a directory of its own.
func (g *group) newInstance(of *node, change ...func(*Options)) *node {
	n := newNode(g.t, of.opts.ID, change...)
	n.opts.Dir = filepath.Join(g.t.TempDir(), "new")
	for _, other := range g.nodes {
		if other != of {
			n.opts.Join = append(n.opts.Join, other.server.URL)
		}
	}
	return n
}

func TestANewInstanceTakesThePlaceOfADeadMember(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, hasty(0))
	master := g.master()
	dead := g.others(master)[0]
	mustPost(t, master, alerts("bard/one", 1, 3))
	old := dead.member().self
	dead.stop()
	replacing := func(o *Options) { o.Replace = true }
	n := g.newInstance(dead, hasty(0), replacing, func(o *Options) { o.Peer = dead.opts.Peer })
	n.start()
	eventually(t, "it is a voter in the place of the dead one", func() error {
		for _, v := range master.member().voters() {
			if v.ID == n.member().self {
				return nil
			}
		}
		return fmt.Errorf("it is %s; the voters are %v", n.member().self, master.member().voters())
	})
	if _, in := peer.Find(master.member().servers(), old); in || len(master.member().servers()) != 3 {
		t.Errorf("the configuration is %v", master.member().servers())
	}
	n.stop()
	dead.start() // with its old data
	if why := ended(t, dead); !errors.Is(why, ErrRemoved) {
		t.Errorf("the dead one ended with %v", why)
	}
}

func TestADeadMemberStaysIfNobodyCanTakeItsPlace(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, hasty(0))
	master := g.master()
	dead := g.others(master)[0]
	old := dead.member().self
	dead.stop()
	n := g.newInstance(dead, hasty(0), func(o *Options) { o.Replace, o.MaxFormat = true, 1 })
	n.start()
	if why := ended(t, n); score.CodeOf(errors.Unwrap(why)) != score.UnsupportedFormat {
		t.Errorf("it ended with %v", why)
	}
	if _, in := peer.Find(master.member().voters(), old); !in {
		t.Errorf("the dead one is removed: the group is %v", master.member().servers())
	}
}

func TestALivingMemberIsNotReplaced(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, hasty(0))
	living := g.others(g.master())[0]
	n := g.newInstance(living, func(o *Options) { o.Replace = true })
	n.start()
	if why := ended(t, n); score.CodeOf(errors.Unwrap(why)) != score.IDConflict || !strings.Contains(why.Error(), "not dead") {
		t.Errorf("it ended with %v", why)
	}
	checkRuns(t, living)
	g.settle()
}

func TestAMemberThatWasHeardAMomentAgoIsNotReplaced(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, func(o *Options) {
		o.hooks.policy = &autopilot.Policy{CleanUpAfter: time.Hour, Stabilize: time.Hour}
	})
	master := g.master()
	silent := g.others(master)[0]
	old := silent.member().self
	silent.stop()
	n := g.newInstance(silent, func(o *Options) { o.Replace = true })
	n.start()
	asked := n.asNew()
	asked.Replace = true
	eventually(t, "it is refused because the silent one was heard", func() error {
		err := g.master().member().Join(t.Context(), asked, false)
		if err == nil {
			t.Fatal("it takes the place of one that was just heard")
		}
		if score.CodeOf(err) != score.NotReady || !strings.Contains(err.Error(), "was heard") {
			return err
		}
		return nil
	})
	if _, in := peer.Find(master.member().voters(), old); !in {
		t.Errorf("the silent one is removed: the group is %v", master.member().servers())
	}
}

// It used a token that let it join as a new member, when nobody had that id.
func TestAFrontendDoesNotReplaceAMemberThatCameAfterItsToken(t *testing.T) {
	t.Parallel()
	g := &secureGroup{group: &group{t: t}}
	for range 2 {
		g.addSecure(hasty(0)).start()
	}
	g.settle()
	early := g.newInstance(&node{opts: Options{ID: "f3"}}, hasty(0), func(o *Options) { o.Replace = true })
	early.opts.Identity = g.enroll(g.options(&early.opts), access.Terms{})
	early.serveTLS()
	dead := g.addSecure(hasty(0))
	dead.start()
	g.settle()
	old := dead.member().self
	dead.stop()
	early.start()
	if why := ended(t, early); score.CodeOf(errors.Unwrap(why)) != score.Forbidden {
		t.Errorf("it ended with %v", why)
	}
	if _, in := peer.Find(g.master().member().servers(), old); !in {
		t.Errorf("the dead one is removed: the group is %v", g.master().member().servers())
	}
}

// streamsLost returns how many streams to members the node has lost as the master.
func streamsLost(t *testing.T, n *node) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "laurel_streams_lost_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("lost streams are not counted")
	return 0
}

func TestOnlyATokenForItLetsADeadMemberBeReplaced(t *testing.T) {
	t.Parallel()
	g := &secureGroup{group: &group{t: t}}
	for range 3 {
		g.addSecure(hasty(0)).start()
	}
	g.settle()
	master := g.master()
	dead := g.others(master)[0]
	old := dead.member().self
	n := g.newInstance(dead, hasty(0), func(o *Options) { o.Replace = true })
	n.opts.Peer = dead.opts.Peer
	enroll := func(terms access.Terms) (err error) {
		n.opts.Identity, err = g.tryEnroll(g.options(&n.opts), terms)
		return err
	}
	n.serveTLS()
	refuses := func(code score.Code, terms access.Terms) {
		t.Helper()
		g.refusedByMaster(code, func(*Member) error { return enroll(terms) })
	}
	eventually(t, "a token for one that is connected is refused", func() error {
		n := g.master()
		m := n.member()
		connected, lost := m.issuer.Connected(old), streamsLost(t, n)
		err := enroll(access.Terms{Replace: dead.opts.ID})
		if score.CodeOf(err) == score.NotReady {
			return nil
		}
		if err == nil && connected && m.issuer.Connected(old) && streamsLost(t, n) == lost {
			t.Fatal("the token is used")
		}
		return cmp.Or(err, errors.New("it was not connected all the time"))
	})
	dead.stop()
	refuses(score.IDConflict, access.Terms{})
	refuses(score.Forbidden, access.Terms{Replace: "f9"})
	eventually(t, "a token for it is used", func() error { return enroll(access.Terms{Replace: dead.opts.ID}) })
	n.start()
	eventually(t, "it is a voter in the place of the dead one", func() error {
		if _, in := peer.Find(master.member().voters(), n.member().self); !in {
			return fmt.Errorf("%v", master.member().servers())
		}
		return nil
	})
	if !master.member().auth.Removed(old) {
		t.Error("the certificate of the dead one is still good")
	}
}

func TestASwornGroupRemovesNobodyAndSaysWhoIsDead(t *testing.T) {
	t.Parallel()
	logs := newOperatorLogs()
	g := newSwornGroup(t, 4, logs.of, hasty(3))
	master := g.master()
	dead := g.others(master)[0]
	dead.stop()
	eventually(t, "the master says who is dead", func() error {
		master = g.master() // a busy machine may have lost the one before
		lines := having(logs.since(master.opts.ID, 0), "a dead frontend is still in the group", "member="+dead.opts.ID)
		if len(lines) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	eventually(t, "it alone is counted, and kept", func() error {
		for _, e := range master.member().Autopilot().Members {
			if e.ID == dead.opts.ID && (!e.Dead || !strings.Contains(e.Kept, "sworn")) {
				return fmt.Errorf("it is %+v", e)
			}
		}
		if last, _ := master.member().health.Last(); last.Dead() != 1 {
			return fmt.Errorf("%d are dead", last.Dead())
		}
		return nil
	})
	if !has(master.member(), dead.opts.ID) {
		t.Error("it is removed")
	}
}

func TestASettingOfALaterFormatIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, func(o *Options) { o.MaxFormat = 1 })
	p := refused(t, setTo(g.master().member(), access.SettingMinVoters, "3"), score.UnsupportedFormat)
	if !strings.Contains(p.Detail, "the setting min_voters needs format 2 of the group, and the group has format 1") {
		t.Errorf("got %s", p.Detail)
	}
	if got := g.master().member().policy(); got.MinVoters != 0 || got.CleanUpAfter != 72*time.Hour {
		t.Errorf("the policy is %+v", got)
	}
}
