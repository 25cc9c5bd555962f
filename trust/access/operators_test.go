package access

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func operatorKey(n byte, name string) *Grant {
	g := keyGrant(n, name)
	g.Role = RoleOperator
	return g
}

func endingOperator(id string, after time.Duration) *Grant {
	g := tokenGrant(id, "impedimenta", RoleOperator)
	g.Expires = accessDay.Add(after)
	return g
}

func TestTheLastOperatorCannotBeRevoked(t *testing.T) {
	a := newAccessTest(t)
	a.change(Change{Grant: tokenGrant("one", "getafix", RoleOperator)})
	a.wantRefused(score.StatusConflict, "only operator", Change{Revoke: "one"})
	a.wantRefused(score.StatusConflict, "only operator", Change{Grant: tokenGrant("one", "getafix", RoleBard)})
	a.wantRefused(score.StatusConflict, "only operator", Change{Grant: endingOperator("one", time.Hour)})
	a.change(Change{Grant: tokenGrant("two", "vitalstatistix", RoleOperator)})
	a.change(Change{Revoke: "one"})
	a.wantRefused(score.StatusConflict, "only operator", Change{Revoke: "two"})
}

// Some day none of them could change the group, and nobody could grant the role again.
func TestOperatorsWhoseTokensEndAndKeysOfOperatorsDoNotCount(t *testing.T) {
	for what, other := range map[string]*Grant{
		"a token that ends in two seconds": endingOperator("two", 2*time.Second),
		"a token that ends in ten years":   endingOperator("two", 87_600*time.Hour),
		"a token that has expired":         endingOperator("two", -time.Hour),
		"a key":                            operatorKey(2, "vitalstatistix"),
		"a bard":                           tokenGrant("two", "bard/a", RoleBard),
		"a reader":                         tokenGrant("two", "press", RoleReader),
	} {
		t.Run(what, func(t *testing.T) {
			a := newAccessTest(t)
			a.change(Change{Grant: tokenGrant("one", "getafix", RoleOperator)})
			a.change(Change{Grant: other})
			a.wantRefused(score.StatusConflict, "only operator", Change{Revoke: "one"})
			a.change(Change{Revoke: other.ID}) // it was never needed
			a.change(Change{Grant: tokenGrant("three", "vitalstatistix", RoleOperator)})
			a.change(Change{Revoke: "one"})
		})
	}
}

func TestAnOperatorWhoseTokenEndsIsRevokedWithoutAnother(t *testing.T) {
	a := newAccessTest(t) // of an open group, where everybody is an operator
	a.change(Change{Grant: endingOperator("two", time.Hour)})
	a.change(Change{Revoke: "two"})
	a.change(Change{Grant: operatorKey(1, "getafix")})
	a.change(Change{Revoke: operatorKey(1, "").ID})
}

func TestRestrictionsThatHaveNoEffectAreRefused(t *testing.T) {
	restrictions := map[string]func(g *Grant){
		"grant.competitions": func(g *Grant) { g.Competitions = []string{"OG50BC"} },
		"grant.types":        func(g *Grant) { g.Types = []score.Type{score.TypeAlert} },
		"grant.rate":         func(g *Grant) { g.Rate = 10 },
		"grant.public":       func(g *Grant) { g.ID, g.Public, g.Hash = keyGrant(1, "").ID, keyGrant(1, "").Public, nil },
		"grant.expires":      func(g *Grant) { g.Expires = accessDay.Add(time.Hour) },
	}
	effects := map[Role][]string{
		RoleReader:   {"grant.expires"},
		RoleBard:     {"grant.competitions", "grant.expires", "grant.public", "grant.rate", "grant.types"},
		RoleOperator: {"grant.expires", "grant.public", "grant.rate"},
	}
	for _, role := range Roles {
		for field, restrict := range restrictions {
			a := newAccessTest(t)
			g := tokenGrant("press", "press", role)
			restrict(g)
			if slices.Contains(effects[role], field) {
				a.change(Change{Grant: g})
			} else {
				a.wantRefused(score.InvalidEvent, field, Change{Grant: g})
				a.wantRefused(score.InvalidEvent, "has no effect", Change{Grant: g})
			}
		}
	}
}

// The restriction of a bard would have no effect any more.
func TestARestrictedBardBecomesNeitherReaderNorOperator(t *testing.T) {
	a := newAccessTest(t)
	g := tokenGrant("feed", "bard/feed", RoleBard)
	g.Competitions = []string{"OG50BC"}
	a.change(Change{Grant: g})
	for _, role := range []Role{RoleReader, RoleOperator} {
		changed := *g
		changed.Role = role
		a.wantRefused(score.InvalidEvent, "has no effect", Change{Grant: &changed})
	}
}

func recovery(id string) *Recovery {
	return &Recovery{ID: id, Hash: tokenGrant(id, "", RoleOperator).Hash}
}

func TestARecoveredOperatorCountsAndTheTrailNamesTheVoter(t *testing.T) {
	a := newAccessTest(t)
	a.change(Change{Grant: tokenGrant("lost", "operator", RoleOperator)})
	summary := a.change(Change{By: "f2", Recover: recovery("new")})
	if !strings.Contains(summary, "on the machine of f2") || !strings.Contains(summary, "token new") {
		t.Errorf("the audit line is %q", summary)
	}
	g := a.Grants["new"]
	if !g.operatesForever() || g.Name != "recovered/f2" || !g.Created.Equal(accessDay) {
		t.Errorf("the grant is %+v", g)
	}
	a.change(Change{Revoke: "lost"})
	a.wantRefused(score.StatusConflict, "only operator", Change{Revoke: "new"})
}

func TestARecoveryThatIsAskedForTwiceChangesNothing(t *testing.T) {
	a := newAccessTest(t)
	a.change(Change{By: "f2", Recover: recovery("new")})
	before := text(t, a.State)
	if summary := a.change(Change{By: "f2", Recover: recovery("new")}); summary != "" || text(t, a.State) != before {
		t.Errorf("it changed the state, with the audit line %q", summary)
	}
}

func TestEachVoterHasOneRecoveredOperator(t *testing.T) {
	a := newAccessTest(t)
	named := tokenGrant("feed", "recovered/f2", RoleBard) // not one that was recovered
	a.change(Change{Grant: named})
	for i := range 3 {
		for _, voter := range []string{"f1", "f2"} {
			a.change(Change{By: voter, Recover: recovery(fmt.Sprint(voter, "-", i))})
		}
	}
	if len(a.Grants) != 3 || a.Grants["f1-2"] == nil || a.Grants["f2-2"] == nil || a.Grants["feed"] == nil {
		t.Errorf("the grants are %s", text(t, a.Grants))
	}
}

// The next recovery would end it.
func TestNoOperatorIsGrantedTheNameOfARecoveredOne(t *testing.T) {
	a := newAccessTest(t)
	a.wantRefused(score.InvalidEvent, "choose another", Change{Grant: tokenGrant("one", "recovered/f2", RoleOperator)})
	a.change(Change{Grant: tokenGrant("two", "recovered", RoleOperator)})
	a.change(Change{By: "f2", Recover: recovery("new")})
	a.change(Change{By: "f2", Recover: recovery("newer")})
	if a.Grants["two"] == nil || a.Grants["new"] != nil || a.Grants["newer"] == nil {
		t.Errorf("the grants are %s", text(t, a.Grants))
	}
}

func TestAnOperatorIsRecoveredThoughThereIsNoRoomForGrants(t *testing.T) {
	a := newAccessTest(t)
	for i := range MaxGrants {
		g := tokenGrant(fmt.Sprint("g", i), "bard/a", RoleBard)
		a.Grants[g.ID] = g
	}
	a.wantRefused(score.TooLarge, "grants", Change{Grant: tokenGrant("more", "getafix", RoleOperator)})
	a.change(Change{By: "f2", Recover: recovery("new")})
	a.change(Change{By: "f2", Recover: recovery("newer")})
	if len(a.Grants) != MaxGrants+1 {
		t.Errorf("there are %d grants", len(a.Grants))
	}
}

func TestInvalidRecoveriesAreRefused(t *testing.T) {
	a := newAccessTest(t)
	a.change(Change{By: "f2", Recover: recovery("new")})
	a.change(Change{Grant: tokenGrant("one", "getafix", RoleOperator)})
	a.change(Change{Revoke: "new"})
	a.change(Change{JoinToken: joinToken("j", 1)})
	a.wantRefused(score.StatusConflict, "revoked for good", Change{By: "f2", Recover: recovery("new")})
	a.wantRefused(score.IDConflict, "taken", Change{By: "f2", Recover: recovery("one")})
	a.wantRefused(score.IDConflict, "taken", Change{By: "f2", Recover: recovery("j")})
	a.wantRefused(score.InvalidEvent, "SHA-256", Change{By: "f2", Recover: &Recovery{ID: "x", Hash: []byte("x")}})
	a.wantRefused(score.InvalidEvent, "want one of them", Change{By: "f2", Recover: &Recovery{ID: "x"}})
	a.wantRefused(score.InvalidEvent, "grant.id", Change{By: "f2", Recover: &Recovery{Hash: make([]byte, 32)}})
	a.wantRefused(score.InvalidEvent, "grant.name", Change{By: "f2 ", Recover: recovery("x")})
}
