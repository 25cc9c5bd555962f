package score

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// How many of each the store keeps. Grants are never forgotten, for who wants to check an old signature needs its key, so they are the most.
const (
	MaxGrants      = 10_000
	MaxJoinTokens  = 1_000
	MaxAuthorities = 4
	MaxRemoved     = 1_000
)

const (
	maxAccessID  = 64
	maxServerID  = 2*maxAccessID + 1
	maxNote      = 1024
	maxAuthority = 8 << 10 // bytes of a certificate
	maxUses      = 1_000_000
	maxRate      = 1_000_000 // events a second
	hashSize     = 32
	keySize      = 32
)

// NewAccess is an open store's: everybody may post.
func NewAccess() *Access {
	return &Access{Grants: map[string]*Grant{}, JoinTokens: map[string]*JoinToken{}, Removed: map[string]time.Time{}}
}

// Things counts what the change does; it must be one.
func (c *AccessChange) Things() int {
	n := 0
	for _, does := range [...]bool{c.Guard, c.Grant != nil, c.Revoke != "", c.JoinToken != nil, c.UseJoinToken != "", len(c.AddAuthority) > 0, c.DropAuthority != "",
		c.RemoveMember != "", c.Note != ""} {
		if does {
			n++
		}
	}
	return n
}

// Change is who may do what after c, and a line for the trail; "" if c changes nothing. Refused, everything stays as it is.
//
// It must come to the same in every version and on every machine: so it neither looks at a clock, nor reads certificates, nor asks whether
// it knows a type of event. Whoever proposes the change does that before.
func (a *Access) Change(c *AccessChange) (next *Access, what string, refused *Problem) {
	if p := c.checkOrigin(); p != nil {
		return nil, "", p
	}
	after := *a
	switch {
	case c.Guard:
		if !a.Guarded {
			what = "events must be signed, or come with a token, from now on"
		}
		after.Guarded = true
	case c.Grant != nil:
		what, refused = after.grant(c.Grant)
	case c.Revoke != "":
		what, refused = after.revoke(c.Revoke)
	case c.JoinToken != nil:
		what, refused = after.addJoinToken(c.JoinToken, c.At)
	case c.UseJoinToken != "":
		what, refused = after.useJoinToken(c.UseJoinToken, c.At)
	case len(c.AddAuthority) > 0:
		what, refused = after.addAuthority(c.AddAuthority)
	case c.DropAuthority != "":
		what, refused = after.dropAuthority(c.DropAuthority)
	case c.RemoveMember != "":
		what = after.removeMember(c.RemoveMember, c.At)
	default:
		what = c.Note
	}
	if refused != nil {
		return nil, "", refused
	}
	return &after, what, nil
}

func (c *AccessChange) checkOrigin() *Problem {
	k := check{}
	k.text("by", c.By, maxID, required)
	k.time("at", c.At)
	k.text("note", c.Note, maxNote, optional)
	k.text("remove_member", c.RemoveMember, maxServerID, optional)
	return k.p
}

// grant takes in g. A revoked key may be known to others than its owner, and stays revoked.
func (a *Access) grant(g *Grant) (what string, refused *Problem) {
	if p := g.check(); p != nil {
		return "", p
	}
	was := a.Grants[g.ID]
	switch {
	case was == nil && len(a.Grants) >= MaxGrants:
		return "", Problemf(TooLarge, "the store has %d grants, which is the most; change one that is there", len(a.Grants))
	case a.JoinTokens[g.ID] != nil:
		return "", idTaken("grant.id", g.ID, "a join token")
	case was != nil && was.Revoked:
		p := Problemf(StatusConflict, "the %s %q of %q was revoked, for good; make a new one", was.kind(), was.ID, was.Name)
		p.Field = "grant.id"
		return "", p
	case was != nil && !bytes.Equal(was.Public, g.Public):
		return "", idTaken("grant.id", g.ID, "the "+was.kind()+" of "+was.Name)
	case was != nil && g.Role != RoleOperator && a.onlyOperator(was):
		return "", lastOperator(was)
	}
	a.Grants = with(a.Grants, g.ID, g)
	if was != nil {
		return fmt.Sprintf("the %s %s was %s; now it is %s", g.kind(), g.ID, was.rights(), g.rights()), nil
	}
	return fmt.Sprintf("new %s %s for %s", g.kind(), g.ID, g.rights()), nil
}

func idTaken(field, id, by string) *Problem {
	p := Problemf(IDConflict, "the id %q is taken by %s; choose another", id, by)
	p.Field = field
	return p
}

func (g *Grant) check() *Problem {
	k := check{}
	k.segment("grant.id", g.ID)
	k.path("grant.name", g.Name, maxID)
	if !slices.Contains(Roles, g.Role) {
		k.fail("grant.role", "got %q; want one of %s, %s, %s", clip(string(g.Role)), RoleReader, RoleBard, RoleOperator)
	}
	switch {
	case len(g.Public) > 0 && len(g.Hash) > 0, len(g.Public) == 0 && len(g.Hash) == 0:
		k.fail("grant", "has both a key and a token, or neither; want one of them")
	case len(g.Public) > 0 && len(g.Public) != keySize:
		k.fail("grant.public", "has %d bytes; an Ed25519 key has %d", len(g.Public), keySize)
	case len(g.Hash) > 0 && len(g.Hash) != hashSize:
		k.fail("grant.hash", "has %d bytes; a SHA-256 has %d", len(g.Hash), hashSize)
	case len(g.Public) > 0 && g.ID != KeyID(g.Public):
		k.fail("grant.id", "got %q; the id of this key is %q", clip(g.ID), KeyID(g.Public))
	}
	k.names("grant.competitions", g.Competitions, maxContestID)
	for i, c := range g.Competitions {
		if !plainSegment(c) {
			k.fail(fmt.Sprintf("grant.competitions.%d", i), "got %q; want a competition, the first segment of its contests' ids", clip(c))
		}
	}
	types := make([]string, len(g.Types))
	for i, t := range g.Types {
		types[i] = string(t)
	}
	k.names("grant.types", types, maxAccessID)
	if !(g.Rate >= 0 && g.Rate <= maxRate) || math.Signbit(g.Rate) {
		k.fail("grant.rate", "got %v; want 0 to %d events a second", g.Rate, maxRate)
	}
	if g.Revoked {
		k.fail("grant.revoked", "a new grant cannot be revoked; revoke it by its id")
	}
	return k.p
}

// segment checks an id: it stands in URLs.
func (c *check) segment(field, s string) {
	if c.p == nil && (len(s) > maxAccessID || !plainSegment(s)) {
		c.fail(field, "got %q; want 1 to %d letters, digits and ._~-", clip(s), maxAccessID)
	}
}

// rights are what a grant lets do, for the trail.
func (g *Grant) rights() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", g.Name, g.Role)
	if len(g.Competitions) > 0 {
		fmt.Fprintf(&b, ", for %s", strings.Join(g.Competitions, " "))
	}
	if len(g.Types) > 0 {
		b.WriteString(", of")
		for _, t := range g.Types {
			b.WriteString(" " + string(t))
		}
	}
	if g.Rate > 0 {
		fmt.Fprintf(&b, ", %v a second", g.Rate)
	}
	if !g.Expires.IsZero() {
		fmt.Fprintf(&b, ", until %s", g.Expires.UTC().Format(time.RFC3339))
	}
	return b.String()
}

func (a *Access) revoke(id string) (what string, refused *Problem) {
	if t := a.JoinTokens[id]; t != nil {
		a.JoinTokens = with(a.JoinTokens, id, nil)
		return fmt.Sprintf("took back the join token %s, which had %d uses left", id, t.Uses), nil
	}
	g := a.Grants[id]
	switch {
	case g == nil:
		return "", Problemf(NotFound, "there is no grant and no join token %q", clip(id))
	case g.Revoked:
		return "", Problemf(StatusConflict, "the %s %q of %q is revoked already", g.kind(), id, g.Name)
	case a.onlyOperator(g):
		return "", lastOperator(g)
	}
	revoked := *g
	revoked.Revoked = true
	a.Grants = with(a.Grants, id, &revoked)
	return fmt.Sprintf("revoked the %s %s of %s", g.kind(), id, g.rights()), nil
}

// onlyOperator tells whether nobody could change anything any more without g.
func (a *Access) onlyOperator(g *Grant) bool {
	if g.Role != RoleOperator {
		return false
	}
	for _, other := range a.Grants {
		if other.ID != g.ID && other.Role == RoleOperator && !other.Revoked {
			return false
		}
	}
	return true
}

func lastOperator(g *Grant) *Problem {
	return Problemf(StatusConflict, "%q is the only operator's %s; make another operator first, or nobody can change anything any more", g.ID, g.kind())
}

// addJoinToken takes in t. Those that are over by the master's clock make room for it.
func (a *Access) addJoinToken(t *JoinToken, at time.Time) (what string, refused *Problem) {
	k := check{}
	k.segment("join_token.id", t.ID)
	k.time("join_token.expires", t.Expires)
	if t.Uses < 1 || t.Uses > maxUses {
		k.fail("join_token.uses", "got %d; want 1 to %d", t.Uses, maxUses)
	}
	if len(t.Hash) != hashSize {
		k.fail("join_token.hash", "has %d bytes; a SHA-256 has %d", len(t.Hash), hashSize)
	}
	if k.p != nil {
		return "", k.p
	}
	if a.JoinTokens[t.ID] != nil || a.Grants[t.ID] != nil {
		return "", idTaken("join_token.id", t.ID, "another token")
	}
	left := with(a.JoinTokens, t.ID, t)
	maps.DeleteFunc(left, func(_ string, old *JoinToken) bool { return old != t && (old.Uses == 0 || at.After(old.Expires)) })
	if len(left) > MaxJoinTokens {
		return "", Problemf(TooLarge, "the store has %d join tokens that last, which is the most; take one back, or wait until one is over", MaxJoinTokens)
	}
	a.JoinTokens = left
	return fmt.Sprintf("new join token %s for %d frontends, until %s", t.ID, t.Uses, t.Expires.UTC().Format(time.RFC3339)), nil
}

func (a *Access) useJoinToken(id string, at time.Time) (what string, refused *Problem) {
	t := a.JoinTokens[id]
	switch {
	case t == nil:
		return "", Problemf(Unauthorized, "there is no join token %q, or it was taken back; make a new one (laurel cluster token)", clip(id))
	case t.Uses == 0:
		return "", Problemf(Unauthorized, "the join token %q is used up; make a new one (laurel cluster token)", id)
	case at.After(t.Expires):
		return "", Problemf(Unauthorized, "the join token %q is over since %s; make a new one (laurel cluster token)", id, t.Expires.UTC().Format(time.RFC3339))
	}
	used := *t
	used.Uses--
	a.JoinTokens = with(a.JoinTokens, id, &used)
	return fmt.Sprintf("used the join token %s, which has %d uses left", id, used.Uses), nil
}

func (a *Access) addAuthority(der []byte) (what string, refused *Problem) {
	known := slices.ContainsFunc(a.Authorities, func(old []byte) bool { return bytes.Equal(old, der) })
	switch {
	case len(der) > maxAuthority:
		return "", Problemf(TooLarge, "the certificate has %d bytes; the most is %d", len(der), maxAuthority)
	case known:
		return "", Problemf(IDConflict, "the authority %s is trusted already", Fingerprint(der))
	case len(a.Authorities) >= MaxAuthorities:
		return "", Problemf(TooLarge, "the store trusts %d authorities, which is the most; drop one first (laurel cluster ca)", MaxAuthorities)
	}
	a.Authorities = append(slices.Clone(a.Authorities), der)
	return fmt.Sprintf("trusts the authority %s, which issues from now on", Fingerprint(der)), nil
}

func (a *Access) dropAuthority(fingerprint string) (what string, refused *Problem) {
	at := slices.IndexFunc(a.Authorities, func(der []byte) bool { return Fingerprint(der) == fingerprint })
	switch {
	case at < 0:
		return "", Problemf(NotFound, "no authority that is trusted has the fingerprint %q", clip(fingerprint))
	case len(a.Authorities) == 1:
		return "", Problemf(StatusConflict, "it is the only authority, and without it no member is known; add another first")
	}
	a.Authorities = slices.Delete(slices.Clone(a.Authorities), at, at+1)
	return fmt.Sprintf("trusts the authority %s no more", fingerprint), nil
}

// removeMember is never refused for want of room: the oldest, whose certificate is the likeliest to be over, is forgotten for it.
func (a *Access) removeMember(id string, at time.Time) (what string) {
	left := maps.Clone(a.Removed)
	if left == nil {
		left = map[string]time.Time{}
	}
	left[id] = at
	maps.DeleteFunc(left, func(_ string, since time.Time) bool { return at.Sub(since) > RemovedFor })
	if len(left) > MaxRemoved {
		delete(left, slices.MinFunc(slices.Collect(maps.Keys(left)), func(x, y string) int {
			return cmp.Or(left[x].Compare(left[y]), cmp.Compare(x, y))
		}))
	}
	a.Removed = left
	return fmt.Sprintf("removes the member %s, whose certificate is refused once it is out of the group", id)
}

// with is a copy of m with v under id; without anything under it if v is nil. Others may still look at m.
func with[V any](m map[string]*V, id string, v *V) map[string]*V {
	next := make(map[string]*V, len(m)+1)
	maps.Copy(next, m)
	if next[id] = v; v == nil {
		delete(next, id)
	}
	return next
}
