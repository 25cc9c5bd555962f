package cluster

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"laurel/cache/queries"
	"laurel/cluster/poll"
	"laurel/score"
	"laurel/trust/access"
)

// agreeOn waits until all running nodes have the settings.
func (g *group) agreeOn(want access.Settings) {
	g.t.Helper()
	for _, n := range g.running() {
		eventually(g.t, n.opts.ID+" has the settings", func() error {
			if has := n.member().Access().Settings; has != want {
				return fmt.Errorf("it has %+v; want %+v", has, want)
			}
			return nil
		})
	}
}

func TestTheFounderGivesTheStoreItsLineageIncarnationAndPrivacy(t *testing.T) {
	t.Parallel()
	private := func(o *Options) { o.Private = true }
	for _, change := range [][]func(*Options){{guardedGroup}, {guardedGroup, private}} {
		g := newGroup(t, 3, change...)
		want := g.master().member().Access().Settings
		if want.Private != (len(change) > 1) || want.CacheMode != score.Push ||
			len(want.Lineage) < 26 || len(want.Incarnation) < 10 {
			t.Errorf("the settings are %+v", want)
		}
		g.agreeOn(want)
		for _, n := range g.nodes {
			n.opts.Private = !want.Private // it does not change what the group has
			n.stop()
		}
		for _, n := range g.nodes {
			n.start()
		}
		g.settle()
		g.agreeOn(want)
	}
	one, other := newGroup(t, 1).master().member().Access().Settings, newGroup(t, 1).master().member().Access().Settings
	if one.Lineage == other.Lineage || one.Incarnation == other.Incarnation {
		t.Errorf("two stores have the settings %+v and %+v", one, other)
	}
}

func TestAChangeOfASettingHoldsAtEveryFrontend(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, guardedGroup)
	want := g.master().member().Access().Settings
	set := func(name, value string) access.Change {
		return access.Change{By: "getafix", Setting: &access.Setting{Name: name, Value: value}}
	}
	mustChangeAccess(t, g, set("private", "true"))
	want.Private = true
	g.agreeOn(want)
	mustChangeAccess(t, g, set("private", "false"), set("cache_mode", "pull"))
	for _, n := range g.nodes {
		if n.member().frontend.Leased() {
			t.Errorf("%s has a lease in pull mode", n.opts.ID)
		}
	}
	want.Private, want.CacheMode = false, score.Pull
	g.agreeOn(want)
	ctx := context.Background()
	change := func(c access.Change) func(*Member) error {
		return func(m *Member) error { return m.ChangeAccess(ctx, c) }
	}
	for _, bad := range []access.Change{set("crown", "true"), set("private", "1"), set("cache_mode", "")} {
		g.refusedByMaster(score.InvalidEvent, change(bad))
	}
	g.refusedByMaster(score.StatusConflict, change(set("lineage", "rome")))
	refused(t, g.others(g.master())[0].member().ChangeAccess(ctx, set("private", "true")), score.NoMaster)
	g.agreeOn(want)
	var trail []string
	if _, _, err := g.master().member().Stale(func(v queries.View) error {
		list, _, err := v.Audit(0, 100)
		for _, line := range list {
			trail = append(trail, line.By+": "+line.What)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"getafix: the setting private was false; now it is true",
		"getafix: the setting private was true; now it is false",
		"getafix: the setting cache_mode was push; now it is pull",
	} {
		if !slices.Contains(trail, line) {
			t.Errorf("the audit trail is %q; want %q in it", trail, line)
		}
	}
}

func TestAnOpenGroupCannotBePrivate(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	refused(t, g.master().member().ChangeAccess(context.Background(), access.Change{
		By: "getafix", Setting: &access.Setting{Name: access.SettingPrivate, Value: "true"},
	}), score.StatusConflict)
}

// Its own clients need no token yet, and an answer may be newer than its settings.
func TestAFrontendThatDoesNotKnowThatTheGroupIsPrivateGetsNoAnswers(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2, guardedGroup)
	set := func(name, value string) access.Change {
		return access.Change{By: "getafix", Setting: &access.Setting{Name: name, Value: value}}
	}
	mustChangeAccess(t, g, set("cache_mode", "pull"))
	ask := func(private bool) error {
		master := g.master()
		body := strings.NewReader(fmt.Sprintf(`{"private":%t,"items":[]}`, private))
		return g.others(master)[0].member().port.Call(t.Context(), master.member().Peer(), http.MethodPost, poll.Path,
			body, nil)
	}
	for _, private := range []string{"false", "true", "false"} {
		mustChangeAccess(t, g, set("private", private))
		// In pull mode the master answers only when the other voter says in time that it leads.
		eventually(t, "private "+private+": a frontend that keeps answers for readers gets one", func() error {
			return ask(true)
		})
		if private == "false" {
			eventually(t, "a frontend that answers everybody gets an answer", func() error { return ask(false) })
		} else if ask(false) == nil {
			t.Error("a frontend that answers everybody got an answer of a private group")
		}
	}
}
