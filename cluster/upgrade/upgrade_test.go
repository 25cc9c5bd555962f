package upgrade

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/status"
	"laurel/score"
	"laurel/trust/access"
)

// group is what a Raiser at f1 knows of a group in format 2 with f2, which votes, and f3, which does not.
type group struct {
	*Raiser
	state   *access.State
	members map[raft.ServerID]status.Status
	absent  map[raft.ServerID]bool
	leads   bool
	now     time.Duration
	changes []access.Change
	err     error // of a change
}

func newGroup(newest uint64) *group {
	g := &group{
		state: access.NewState(), leads: true, absent: map[raft.ServerID]bool{},
		members: map[raft.ServerID]status.Status{
			"f2@a": {Member: "f2@a", OldestFormat: 1, NewestFormat: newest},
			"f3@a": {Member: "f3@a", OldestFormat: 1, NewestFormat: newest},
		},
	}
	g.state.Settings.Raised = 2
	g.Raiser = New(Config{
		Context: context.Background(), Self: "f1@a", Newest: newest, After: After,
		Servers: func() []raft.Server {
			return []raft.Server{{ID: "f1@a"}, {ID: "f2@a"}, {ID: "f3@a", Suffrage: raft.Nonvoter}}
		},
		Last:   func(id raft.ServerID) (status.Status, bool) { return g.members[id], !g.absent[id] },
		Access: func() *access.State { return g.state }, Leads: func() bool { return g.leads },
		Change: func(_ context.Context, c access.Change) error {
			g.changes = append(g.changes, c)
			return g.err
		},
		Clock: func() time.Duration { return g.now }, Go: func(f func()) { f() }, Logger: slog.New(slog.DiscardHandler),
	})
	return g
}

// after lets time pass, with a poll each second.
func (g *group) after(d time.Duration) {
	for end := g.now + d; g.now < end; g.now += time.Second {
		g.Run()
	}
	g.Run()
}

func TestTheMasterRaisesTheFormatWhenAllMembersHaveReadItForAMinute(t *testing.T) {
	g := newGroup(4)
	g.after(After - time.Second)
	if len(g.changes) > 0 {
		t.Fatal("it is raised too early")
	}
	g.after(time.Second)
	if len(g.changes) != 1 || *g.changes[0].Setting != (access.Setting{Name: "format", Value: "4"}) || g.changes[0].By != "f1" {
		t.Fatalf("the changes are %+v", g.changes)
	}
	g.state.Settings.Raised = 4
	g.after(2 * After)
	if len(g.changes) != 1 {
		t.Error("it is raised again")
	}
}

func TestTheFormatIsRaisedToTheLatestThatAllMembersRead(t *testing.T) {
	g := newGroup(4)
	f3 := g.members["f3@a"]
	f3.NewestFormat = 3
	g.members["f3@a"] = f3
	g.after(2 * After)
	if len(g.changes) == 0 || g.changes[0].Setting.Value != "3" {
		t.Errorf("the changes are %+v", g.changes)
	}
}

func TestWhatKeepsTheFormatFromBeingRaised(t *testing.T) {
	for name, keep := range map[string]func(g *group){
		"an absent voter":             func(g *group) { g.absent["f2@a"] = true },
		"an absent non-voter":         func(g *group) { g.absent["f3@a"] = true },
		"a version before formats":    func(g *group) { g.members["f2@a"] = status.Status{Member: "f2@a"} },
		"a non-voter of that version": func(g *group) { g.members["f3@a"] = status.Status{Member: "f3@a"} },
		"a hold":                      func(g *group) { g.state.Settings.FormatHold = true },
		"a sworn group":               func(g *group) { g.state.Settings.Sworn = true },
		"another master":              func(g *group) { g.leads = false },
		"the master's own latest one": func(g *group) { g.Newest = 2 },
		"a group that has it already": func(g *group) { g.state.Settings.Raised = 3 },
		"a member that comes and goes": func(g *group) {
			g.Clock = func() time.Duration { g.absent["f2@a"] = g.now%(After/2) == 0; return g.now }
		},
	} {
		g := newGroup(3)
		keep(g)
		g.after(3 * After)
		if len(g.changes) > 0 {
			t.Errorf("%s does not: %+v", name, g.changes)
		}
	}
}

func TestARaiseThatFailedIsTriedAgain(t *testing.T) {
	g := newGroup(3)
	g.err = errors.New("the master is lost")
	g.after(After + 5*time.Second)
	if len(g.changes) < 2 {
		t.Errorf("it was tried %d times", len(g.changes))
	}
}

func TestTheReasonNamesEachMemberThatCannotReadAFormat(t *testing.T) {
	g := newGroup(3)
	if p := g.Check(3); p != nil {
		t.Errorf("refused: %v", p)
	}
	g.absent["f2@a"] = true
	g.members["f3@a"] = status.Status{Member: "f3@a"}
	p := g.Check(3)
	if p == nil || p.Code != score.UnsupportedFormat || !strings.Contains(p.Detail, "f2 does not answer, f3 reads formats 1 to 1") {
		t.Errorf("got %v", p)
	}
	if p := g.Check(4); p == nil || !strings.Contains(p.Detail, "f1 reads formats 1 to 3") {
		t.Errorf("got %v", p)
	}
}
