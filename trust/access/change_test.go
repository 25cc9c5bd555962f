package access

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

var accessDay = time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)

func testKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

// keyGrant returns a grant that lets the holder of testKey(n) post as name.
func keyGrant(n byte, name string) *Grant {
	public := testKey(n).Public().(ed25519.PublicKey)
	return &Grant{ID: score.KeyID(public), Name: name, Role: RoleBard, Public: public, Created: accessDay}
}

func tokenGrant(id, name string, role Role) *Grant {
	hash := sha256.Sum256([]byte(id))
	return &Grant{ID: id, Name: name, Role: role, Hash: hash[:], Created: accessDay}
}

func joinToken(id string, uses int) *JoinToken {
	return &JoinToken{ID: id, Hash: make([]byte, sha256.Size), Uses: uses, Expires: accessDay.Add(time.Hour)}
}

// accessTest applies changes to a State.
type accessTest struct {
	t *testing.T
	*State
}

func newAccessTest(t *testing.T) *accessTest { return &accessTest{t, NewState()} }

func (a *accessTest) stamp(c Change) *Change {
	if c.At.IsZero() {
		c.At = accessDay
	}
	if c.By == "" {
		c.By = "getafix"
	}
	return &c
}

func (a *accessTest) change(c Change) (summary string) {
	a.t.Helper()
	next, summary, p := a.State.Apply(a.stamp(c), OldestFormat)
	if p != nil {
		a.t.Fatal(p)
	}
	a.State = next
	return summary
}

// wantRefused checks that a change is refused and changes nothing.
func (a *accessTest) wantRefused(code score.Code, words string, c Change) {
	a.t.Helper()
	before := text(a.t, a.State)
	next, _, p := a.State.Apply(a.stamp(c), OldestFormat)
	if p == nil || p.Code != code || !strings.Contains(p.Error(), words) || next != nil {
		a.t.Errorf("got %v, want %s with %q", p, code, words)
	}
	if text(a.t, a.State) != before {
		a.t.Error("the refused change changed the state")
	}
}

func text(t *testing.T, v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestApplyDoesNotModifyThePreviousState(t *testing.T) {
	a := newAccessTest(t)
	first, second := []byte("first"), []byte("second")
	for _, c := range []Change{
		{Guard: true},
		{Grant: keyGrant(1, "bard/a")}, {Grant: tokenGrant("desk", "desk", RoleOperator)}, {Revoke: keyGrant(1, "").ID},
		{Recover: recovery("new")}, {JoinToken: joinToken("j", 2)}, {JoinKey: make([]byte, 32), UseJoinToken: "j"}, {JoinKey: make([]byte, 32), UseJoinToken: "j"}, {Revoke: "j"},
		{AddAuthority: first}, {AddAuthority: second}, {DropAuthority: Fingerprint(first)}, {RemoveMember: "f4@x"},
		{Setting: &Setting{SettingPrivate, "true"}}, {Setting: &Setting{SettingLineage, "gaul"}}, {Note: "f4 left"},
	} {
		was, before := a.State, text(t, a.State)
		if summary := a.change(c); summary == "" {
			t.Errorf("%+v left no line in the audit trail", c)
		}
		if text(t, was) != before {
			t.Errorf("%+v changed the previous state", c)
		}
	}
	if !a.Guarded || !a.Settings.Private || a.Settings.Lineage != "gaul" || len(a.Authorities) != 1 || len(a.JoinTokens) != 0 || len(a.Grants) != 3 {
		t.Errorf("the state is %s", text(t, a.State))
	}
	if summary := a.change(Change{Guard: true}); summary != "" {
		t.Errorf("guarding a guarded store changes nothing, but left the line %q", summary)
	}
}

func TestInvalidGrantsAreRefused(t *testing.T) {
	a := newAccessTest(t)
	for words, change := range map[string]func(g *Grant){
		"grant.id":                 func(g *Grant) { g.ID = "other" },
		"grant.name":               func(g *Grant) { g.Name = "bard//a" },
		"grant.role":               func(g *Grant) { g.Role = "king" },
		"both a key and a token":   func(g *Grant) { g.Hash = make([]byte, 32) },
		"or neither":               func(g *Grant) { g.Public = nil },
		"an Ed25519 key has 32":    func(g *Grant) { g.Public = g.Public[1:] },
		"a SHA-256 has 32":         func(g *Grant) { g.Public, g.Hash = nil, []byte("x") },
		"grant.competitions.1":     func(g *Grant) { g.Competitions = []string{"A", "A/1"} },
		"grant.competitions":       func(g *Grant) { g.Competitions = []string{"A", "A"} },
		"grant.types":              func(g *Grant) { g.Types = make([]score.Type, 300) },
		"grant.rate":               func(g *Grant) { g.Rate = -1 },
		"a new grant cannot be re": func(g *Grant) { g.Revoked = true },
	} {
		g := keyGrant(1, "bard/a")
		change(g)
		a.wantRefused(score.InvalidEvent, words, Change{Grant: g})
	}
	long := tokenGrant(strings.Repeat("x", 65), "bard/a", RoleBard)
	a.wantRefused(score.InvalidEvent, "grant.id", Change{Grant: long})
	a.wantRefused(score.InvalidEvent, "by", Change{By: "a\nb", Note: "x"})
	a.wantRefused(score.InvalidEvent, "note", Change{Note: strings.Repeat("x", maxNote+1)})
	if _, _, p := a.State.Apply(&Change{By: "a", Note: "x"}, OldestFormat); p == nil || p.Field != "at" {
		t.Errorf("a change without a time: %v", p)
	}
}

func TestARevokedGrantStaysRevoked(t *testing.T) {
	a := newAccessTest(t)
	g := keyGrant(1, "bard/a")
	a.change(Change{Grant: g})
	a.change(Change{Revoke: g.ID})
	if !a.Grants[g.ID].Revoked || g.Revoked {
		t.Error("it is not revoked, or the one that was given is")
	}
	a.wantRefused(score.StatusConflict, "revoked", Change{Grant: keyGrant(1, "bard/a")})
	a.wantRefused(score.StatusConflict, "is already revoked", Change{Revoke: g.ID})
	a.wantRefused(score.NotFound, "no grant", Change{Revoke: "nobody"})
}

func TestAGrantChangesItsRightsButNotItsKey(t *testing.T) {
	a := newAccessTest(t)
	g := keyGrant(1, "bard/a")
	a.change(Change{Grant: g})
	wider := *g
	wider.Competitions = []string{"OG50BC"}
	if summary := a.change(Change{Grant: &wider}); !strings.Contains(summary, "for OG50BC") || len(a.Grants) != 1 {
		t.Errorf("the audit line is %q", summary)
	}
	other := tokenGrant(g.ID, "bard/a", RoleBard)
	a.wantRefused(score.IDConflict, "taken", Change{Grant: other})
	a.change(Change{JoinToken: joinToken("j", 1)})
	a.wantRefused(score.IDConflict, "taken", Change{Grant: tokenGrant("j", "bard/b", RoleBard)})
	a.wantRefused(score.IDConflict, "taken", Change{JoinToken: joinToken(g.ID, 1)})
}

func TestAJoinTokenIsValidForItsUsesUntilItExpires(t *testing.T) {
	a := newAccessTest(t)
	a.change(Change{JoinToken: joinToken("j", 2)})
	a.wantRefused(score.IDConflict, "taken", Change{JoinToken: joinToken("j", 5)})
	a.change(Change{JoinKey: make([]byte, 32), UseJoinToken: "j"})
	late := accessDay.Add(time.Hour + time.Second)
	a.wantRefused(score.Unauthorized, "expired at", Change{JoinKey: make([]byte, 32), UseJoinToken: "j", At: late})
	a.change(Change{JoinKey: make([]byte, 32), UseJoinToken: "j"})
	a.wantRefused(score.Unauthorized, "used up", Change{JoinKey: make([]byte, 32), UseJoinToken: "j"})
	a.wantRefused(score.Unauthorized, "unknown or revoked", Change{JoinKey: make([]byte, 32), UseJoinToken: "k"})
	a.change(Change{JoinToken: joinToken("k", 1)})
	a.change(Change{Revoke: "k"})
	a.wantRefused(score.Unauthorized, "unknown or revoked", Change{JoinKey: make([]byte, 32), UseJoinToken: "k"})
	for words, change := range map[string]func(j *JoinToken){
		"join_token.id": func(j *JoinToken) { j.ID = "a/b" }, "uses": func(j *JoinToken) { j.Uses = 0 },
		"hash": func(j *JoinToken) { j.Hash = nil }, "expires": func(j *JoinToken) { j.Expires = time.Time{} },
	} {
		j := joinToken("l", 1)
		change(j)
		a.wantRefused(score.InvalidEvent, words, Change{JoinToken: j})
	}
}

func TestGrantsTokensAndAuthoritiesAreLimited(t *testing.T) {
	a := newAccessTest(t)
	for i := range MaxGrants {
		g := tokenGrant(fmt.Sprint("g", i), "bard/a", RoleBard)
		a.Grants[g.ID] = g
	}
	a.wantRefused(score.TooLarge, "10000 grants", Change{Grant: tokenGrant("more", "bard/a", RoleBard)})
	a.change(Change{Grant: tokenGrant("g7", "bard/b", RoleBard)})
	wide := tokenGrant("g7", "bard/b", RoleBard)
	for i := range 256 {
		wide.Competitions = append(wide.Competitions, fmt.Sprint("C", i))
	}
	for i := range MaxScopes / 256 {
		g := tokenGrant(fmt.Sprint("g", i+100), "bard/b", RoleBard)
		g.Competitions = wide.Competitions
		a.change(Change{Grant: g})
	}
	a.wantRefused(score.TooLarge, "100000 competitions and types", Change{Grant: wide})
	again := tokenGrant("g100", "bard/b", RoleBard)
	again.Competitions = wide.Competitions
	a.change(Change{Grant: again})
	for i := range MaxJoinTokens {
		a.JoinTokens[fmt.Sprint("j", i)] = joinToken(fmt.Sprint("j", i), 1)
	}
	a.wantRefused(score.TooLarge, "1000 valid join tokens", Change{JoinToken: joinToken("more", 1)})
	a.change(Change{JoinKey: make([]byte, 32), UseJoinToken: "j3"}) // a used-up token is deleted if there is no room
	a.change(Change{JoinToken: joinToken("more", 1)})
	later := joinToken("later", 1)
	later.Expires = accessDay.Add(3 * time.Hour)
	a.change(Change{At: accessDay.Add(2 * time.Hour), JoinToken: later})
	if len(a.JoinTokens) != 1 {
		t.Errorf("%d join tokens are left; all but one were over", len(a.JoinTokens))
	}
	for i := range MaxAuthorities {
		a.change(Change{AddAuthority: []byte{byte(i)}})
	}
	a.wantRefused(score.TooLarge, "4 authorities", Change{AddAuthority: []byte("more")})
	a.wantRefused(score.IDConflict, "already trusted", Change{AddAuthority: []byte{0}})
	a.wantRefused(score.NotFound, "fingerprint", Change{DropAuthority: "00"})
	for i := range MaxAuthorities - 1 {
		a.change(Change{DropAuthority: Fingerprint([]byte{byte(i)})})
	}
	a.wantRefused(score.StatusConflict, "the only authority",
		Change{DropAuthority: Fingerprint([]byte{MaxAuthorities - 1})})
	a.wantRefused(score.TooLarge, "certificate", Change{AddAuthority: make([]byte, maxAuthority+1)})
}

func TestTheAuditTrailHasNoSecrets(t *testing.T) {
	a := newAccessTest(t)
	g, j := tokenGrant("desk", "desk", RoleOperator), joinToken("j", 1)
	g.Hash, j.Hash = []byte("SECRETSECRETSECRETSECRETSECRETXY"), []byte("SECRETSECRETSECRETSECRETSECRETXY")
	hex := fmt.Sprintf("%x", g.Hash)
	for _, c := range []Change{{Grant: g}, {Grant: g}, {JoinToken: j}, {JoinKey: make([]byte, 32), UseJoinToken: "j"}, {Revoke: "j"}} {
		if summary := a.change(c); strings.Contains(summary, "SECRET") || strings.Contains(summary, hex[:8]) ||
			strings.Contains(summary, "U0VDUk") {
			t.Errorf("the audit line is %q", summary)
		}
	}
}

func TestARemovedMemberIsRememberedForAsLongAsItsCertificateLasts(t *testing.T) {
	a := newAccessTest(t)
	for i := range MaxRemoved + 1 {
		a.change(Change{At: accessDay.Add(time.Duration(i) * time.Second), RemoveMember: fmt.Sprint("f", i, "@x")})
	}
	if _, first := a.Removed["f0@x"]; first || len(a.Removed) != MaxRemoved {
		t.Errorf("%d are remembered, the first %t", len(a.Removed), first)
	}
	a.change(Change{At: accessDay.Add(removedRetention), RemoveMember: "late@x"})
	if _, last := a.Removed["f1000@x"]; !last {
		t.Error("a member was dropped whose certificate may still be valid")
	}
	a.change(Change{At: accessDay.Add(removedRetention + time.Hour), RemoveMember: "later@x"})
	if len(a.Removed) != 2 {
		t.Errorf("%d are remembered, of which all but 2 are over", len(a.Removed))
	}
	a.wantRefused(score.InvalidEvent, "remove_member", Change{RemoveMember: strings.Repeat("x", 200)})
}

// A field that Actions does not count could be set beside another one and be ignored
// silently.
func TestActionsCountsEveryField(t *testing.T) {
	c := reflect.New(reflect.TypeFor[Change]()).Elem()
	for i, f := range slices.Collect(c.Type().Fields()) {
		switch f.Name {
		case "At", "By", "JoinKey", "HeldKeys": // the last two are beside others
			continue
		}
		one := Change{}
		v := reflect.ValueOf(&one).Elem().Field(i)
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.String:
			v.SetString("x")
		case reflect.Slice:
			v.SetBytes([]byte("x"))
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		}
		if one.Actions() != 1 {
			t.Errorf("%s alone counts as %d", f.Name, one.Actions())
		}
	}
	if n := (&Change{Guard: true, Note: "x"}).Actions(); n != 2 {
		t.Errorf("two things count as %d", n)
	}
}
