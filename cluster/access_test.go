package cluster

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"laurel/cache/queries"
	"laurel/cluster/batch"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

func bardKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

// grantTo returns a change that allows the holder of bardKey(n) to post as name.
func grantTo(n byte, name string) access.Change {
	public := bardKey(n).Public().(ed25519.PublicKey)
	grant := &access.Grant{ID: score.KeyID(public), Name: name, Role: access.RoleBard, Public: public}
	return access.Change{By: "getafix", Grant: grant}
}

// setCacheMode sets the cache mode of the group at m.
func setCacheMode(ctx context.Context, m *Member, mode score.CacheMode) error {
	return m.ChangeAccess(ctx, access.Change{
		By: "getafix", Setting: &access.Setting{Name: access.SettingCacheMode, Value: string(mode)},
	})
}

func guardedGroup(o *Options) { o.Guarded = true }

// signedBy returns alerts of a source, signed by bardKey(n) for the store of a member.
func signedBy(t *testing.T, at *node, n byte, source string, first uint64, count int) score.Post {
	t.Helper()
	p := alerts(source, first, count)
	for i := range p.Events {
		p.Events[i].Time, p.Events[i].TimeGiven = time.Now().UTC(), true
	}
	if err := signing.Sign(bardKey(n), at.member().Lineage(), p.Events); err != nil {
		t.Fatal(err)
	}
	return p
}

// mustChangeAccess changes the access control at the current master.
func mustChangeAccess(t *testing.T, g *group, changes ...access.Change) {
	t.Helper()
	for _, c := range changes {
		unknown := false
		g.askMaster("change the access", func(m *Member) error {
			err := m.ChangeAccess(context.Background(), c)
			if unknown && c.Revoke != "" && score.CodeOf(err) == score.StatusConflict {
				return nil // the attempt of unknown outcome has revoked it
			}
			unknown = unknown || score.CodeOf(err) == score.OutcomeUnknown
			return err
		})
	}
}

// checkRefused posts an event that the state machine must refuse.
func checkRefused(t *testing.T, n *node, p score.Post, code score.Code) {
	t.Helper()
	var results []score.Result
	eventually(t, "post", func() (err error) {
		results, err = n.member().Post(context.Background(), p)
		return err
	})
	if r := results[len(results)-1]; r.Problem == nil || r.Problem.Code != code {
		t.Errorf("got %+v, want %s", r, code)
	}
}

func TestGuardedGroupAcceptsOnlyAuthorizedEvents(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, guardedGroup)
	for _, n := range g.nodes {
		checkRefused(t, n, alerts("bard/a", 1, 1), score.Unauthorized)
		checkRefused(t, n, signedBy(t, g.nodes[0], 1, "bard/a", 1, 1), score.Unauthorized)
	}
	mustChangeAccess(t, g, grantTo(1, "bard/a"))
	p := signedBy(t, g.nodes[0], 1, "bard/a", 1, 3)
	p.Events[2].Data = &score.Alert{Text: "altered on the way"}
	checkRefused(t, g.nodes[0], p, score.Unauthorized)
	mustPost(t, g.nodes[1], signedBy(t, g.nodes[0], 1, "bard/a", 3, 1))
	g.agree(3)
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	checkRefused(t, g.nodes[2], alerts("bard/a", 4, 1), score.Unauthorized)
	mustPost(t, g.nodes[2], signedBy(t, g.nodes[0], 1, "bard/a", 4, 1))
	for _, n := range g.nodes {
		if a := n.member().Access(); !a.Guarded || len(a.Grants) != 1 {
			t.Errorf("%s has %+v", n.opts.ID, a)
		}
	}
}

func TestGroupThatBecomesGuardedStaysGuarded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 1))
	g.nodes[0].stop()
	g.nodes[0].opts.Guarded = true
	g.nodes[0].start()
	g.settle()
	checkRefused(t, g.nodes[0], alerts("bard/a", 2, 1), score.Unauthorized)
	g.nodes[0].stop()
	g.nodes[0].opts.Guarded = false // it does not open again by an option
	g.nodes[0].start()
	g.settle()
	checkRefused(t, g.nodes[0], alerts("bard/a", 2, 1), score.Unauthorized)
}

// Not parallel: it posts without a pause.
func TestNothingIsAcceptedBeforeTheStoreIsGuarded(t *testing.T) {
	for i := range 4 {
		n := newNode(t, fmt.Sprint("f", i), guardedGroup, func(o *Options) { o.Bootstrap = true })
		m := n.start()
		post, err := entry.EncodePost(alerts("bard/a", 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		// Without a pause, so that it is proposed as soon as possible. If leadership is lost
		// meanwhile the outcome is unknown: had the event been accepted, it would be a duplicate.
		var outcome batch.Outcome
		for outcome.Results == nil {
			outcome = m.poster.attempt(t.Context(), nil, batch.NewPost(post, ""))
			if p := outcome.Problem; p != nil && p.Code != score.NoMaster && p.Code != score.OutcomeUnknown {
				t.Fatal(p)
			}
		}
		if outcome.Results[0].Problem == nil {
			t.Fatalf("it took %+v", outcome.Results)
		}
		n.stop()
	}
}

func TestRevocationHoldsForEveryLaterPost(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, guardedGroup)
	mustChangeAccess(t, g, grantTo(1, "bard/a"))
	mustPost(t, g.others(g.master())[0], signedBy(t, g.nodes[0], 1, "bard/a", 1, 1))
	mustChangeAccess(t, g, access.Change{By: "getafix", Revoke: grantTo(1, "").Grant.ID})
	for _, n := range g.nodes {
		checkRefused(t, n, signedBy(t, g.nodes[0], 1, "bard/a", 2, 1), score.Unauthorized)
	}
}

func TestOnlyTheMasterChangesTheAccessControl(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, steady)
	master := g.master()
	for _, n := range g.others(master) {
		refused(t, n.member().ChangeAccess(context.Background(), grantTo(1, "bard/a")), score.NoMaster)
	}
	m := master.member()
	ctx := context.Background()
	if err := m.ChangeAccess(ctx, grantTo(1, "bard/a")); err != nil {
		t.Fatal(err)
	}
	if m.Access().Grants[grantTo(1, "").Grant.ID] == nil {
		t.Error("ChangeAccess has returned, and the grant is not there")
	}
	_, _, err := m.Stale(func(v queries.View) error {
		list, next, err := v.Audit(3, 10) // after the format, the lineage and the incarnation
		if len(list) != 1 || next != 0 || list[0].By != "getafix" || time.Since(list[0].At) > time.Minute {
			t.Errorf("the trail is %+v, %d", list, next)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	refused(t, m.ChangeAccess(ctx, access.Change{By: "getafix", Revoke: "nobody"}), score.NotFound)
	refused(t, m.ChangeAccess(ctx, access.Change{By: "getafix"}), score.InvalidEvent)
	refused(t, m.ChangeAccess(ctx, access.Change{Note: "by nobody"}), score.InvalidEvent)
	invalid := access.Change{By: "getafix", AddAuthority: []byte("no certificate")}
	refused(t, m.ChangeAccess(ctx, invalid), score.InvalidEvent)
	odd := grantTo(2, "bard/b")
	odd.Grant.Types = []score.Type{"score.invent"}
	refused(t, m.ChangeAccess(ctx, odd), score.InvalidEvent)
}
