package access

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"laurel/score"
)

// Limits of what the store keeps. Grants are never deleted, because their keys verify old
// signatures.
const (
	MaxGrants      = 10_000
	MaxScopes      = 100_000 // competitions and types that the grants name, all together
	MaxJoinTokens  = 1_000
	MaxAuthorities = 4
	MaxRemoved     = 1_000
	MaxEnrolments  = 1_000
	MaxJoinHosts   = 8 // of a join token
)

const (
	maxID        = 64
	maxServerID  = 2*maxID + 1
	maxNote      = 1024
	maxAuthority = 8 << 10 // bytes of a certificate
	maxUses      = 1_000_000
	maxRate      = 1_000_000 // events per second
	hashSize     = 32
	keySize      = 32
	maxHost      = 253
	maxExposed   = 100
)

const (
	required = true
	optional = false
)

// NewState returns the state of a new store: everybody may post and read.
func NewState() *State {
	return &State{
		Grants: map[string]*Grant{}, JoinTokens: map[string]*JoinToken{}, Removed: map[string]time.Time{},
		Settings: Settings{CacheMode: score.Push},
	}
}

// Valid reports whether a state that was decoded may be one that Apply has returned.
func (s *State) Valid() bool {
	return s.Grants != nil && s.JoinTokens != nil && s.Removed != nil &&
		!slices.Contains(slices.Collect(maps.Values(s.Grants)), nil) &&
		!slices.Contains(slices.Collect(maps.Values(s.JoinTokens)), nil) &&
		!slices.Contains(slices.Collect(maps.Values(s.Enrolments)), nil) &&
		s.Settings.valid() && s.validSworn()
}

// Actions returns the number of actions of the change, which must be 1.
func (c *Change) Actions() int {
	n := 0
	for _, set := range [...]bool{
		c.Guard, c.Grant != nil, c.Recover != nil, c.Revoke != "",
		c.JoinToken != nil, c.UseJoinToken != "",
		len(c.AddAuthority) > 0, c.DropAuthority != "",
		c.RemoveMember != "", c.Setting != nil, c.Note != "",
		c.Sworn != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// Apply returns the state after c and a line for the audit trail, which is empty if c
// changes nothing. If c is refused, s remains the state.
//
// The result must be the same in every version and on every machine. So Apply reads no
// clock, parses no certificates, and accepts unknown event types; the proposer of a
// change checks those.
func (s *State) Apply(c *Change) (next *State, summary string, refused *score.Problem) {
	if c.Sworn != nil || s.Settings.Sworn && !s.unsigned(c) {
		return nil, "", unsignedChange()
	}
	return s.apply(c)
}

// apply is Apply for a change that needs no signature, or has one.
func (s *State) apply(c *Change) (next *State, summary string, refused *score.Problem) {
	if p := c.checkOrigin(); p != nil {
		return nil, "", p
	}
	after := *s
	switch {
	case c.Guard:
		if !s.Guarded {
			summary = "events must be signed, or come with a token, from now on"
		}
		after.Guarded = true
	case c.Grant != nil:
		summary, refused = after.grant(c.Grant)
	case c.Recover != nil:
		summary, refused = after.recover(c)
	case c.Revoke != "":
		summary, refused = after.revoke(c.Revoke)
	case c.JoinToken != nil:
		summary, refused = after.addJoinToken(c.JoinToken, c.At)
	case c.UseJoinToken != "":
		summary, refused = after.useJoinToken(c)
	case len(c.AddAuthority) > 0:
		summary, refused = after.addAuthority(c.AddAuthority)
	case c.DropAuthority != "":
		summary, refused = after.dropAuthority(c.DropAuthority)
	case c.RemoveMember != "":
		summary = after.removeMember(c.RemoveMember, c.At, c.HeldKeys)
	case c.Setting != nil:
		summary, refused = after.set(c.Setting)
	case c.Sworn != nil:
		summary, refused = after.changeSworn(c.Sworn)
	default:
		summary = c.Note
	}
	if refused != nil {
		return nil, "", refused
	}
	return &after, summary, nil
}

func (c *Change) checkOrigin() *score.Problem {
	k := score.Checker{}
	k.Text("by", c.By, score.MaxID, required)
	k.Time("at", c.At)
	k.Text("note", c.Note, maxNote, optional)
	k.Text("remove_member", c.RemoveMember, maxServerID, optional)
	return k.Problem
}

// grant adds g or replaces the grant with its id. A revoked key stays revoked, because
// others than its owner may know it.
func (s *State) grant(g *Grant) (summary string, refused *score.Problem) {
	if p := g.check(); p != nil {
		return "", p
	}
	old := s.Grants[g.ID]
	switch {
	case g.Role == RoleOperator && strings.HasPrefix(g.Name, recoveredPrefix):
		return "", score.Problemf(score.InvalidEvent, "names below %s are for operators that laurel access recover "+
			"makes, and ends; choose another", recoveredPrefix).At("grant.name")
	case old == nil && len(s.Grants) >= MaxGrants:
		return "", score.Problemf(score.TooLarge,
			"the store has %d grants, which is the most; change an existing one", len(s.Grants))
	case s.scopes()-old.scopes()+g.scopes() > MaxScopes:
		return "", score.Problemf(score.TooLarge,
			"the grants of the store would name more than %d competitions and types; name fewer",
			MaxScopes).At("grant.competitions")
	case s.JoinTokens[g.ID] != nil:
		return "", idTaken("grant.id", g.ID, "a join token")
	case old != nil && old.Revoked:
		return "", revokedForGood(old).At("grant.id")
	case old != nil && !bytes.Equal(old.Public, g.Public):
		return "", idTaken("grant.id", g.ID, "the "+old.kind()+" of "+old.Name)
	case old != nil && !g.operatesForever() && s.onlyOperator(old):
		return "", lastOperator(old)
	}
	s.Grants = with(s.Grants, g.ID, g)
	if old != nil {
		return fmt.Sprintf("the %s %s was %s; now it is %s", g.kind(), g.ID, old.rights(), g.rights()), nil
	}
	return fmt.Sprintf("new %s %s for %s", g.kind(), g.ID, g.rights()), nil
}

// scopes returns how many competitions and types a grant names; 0 for nil.
func (g *Grant) scopes() int {
	if g == nil {
		return 0
	}
	return len(g.Competitions) + len(g.Types)
}

func (s *State) scopes() (n int) {
	for _, g := range s.Grants {
		n += g.scopes()
	}
	return n
}

func revokedForGood(g *Grant) *score.Problem {
	return score.Problemf(score.StatusConflict,
		"the %s %q of %q is revoked for good; make a new one", g.kind(), g.ID, g.Name)
}

func idTaken(field, id, by string) *score.Problem {
	return score.Problemf(score.IDConflict, "the id %q is taken by %s; choose another", id, by).At(field)
}

func (g *Grant) check() *score.Problem {
	k := score.Checker{}
	checkID(&k, "grant.id", g.ID)
	k.Path("grant.name", g.Name, score.MaxID)
	if !slices.Contains(Roles, g.Role) {
		k.Fail("grant.role", "got %.40q; want one of %s, %s, %s", string(g.Role), RoleReader, RoleBard, RoleOperator)
	}
	switch {
	case len(g.Public) > 0 && len(g.Hash) > 0, len(g.Public) == 0 && len(g.Hash) == 0:
		k.Fail("grant", "has both a key and a token, or neither; want one of them")
	case len(g.Public) > 0 && len(g.Public) != keySize:
		k.Fail("grant.public", "has %d bytes; an Ed25519 key has %d", len(g.Public), keySize)
	case len(g.Public) > 0 && isWeakKey(g.Public):
		k.Fail("grant.public", "is a point of small order or is not in canonical form, so one signature by it is "+
			"valid for many events; make another key")
	case len(g.Hash) > 0 && len(g.Hash) != hashSize:
		k.Fail("grant.hash", "has %d bytes; a SHA-256 has %d", len(g.Hash), hashSize)
	case len(g.Session) > 0 && (len(g.Session) != keySize || len(g.Hash) == 0):
		k.Fail("grant.session", "has %d bytes; the key of a token's sessions has %d, and a key has none",
			len(g.Session), keySize)
	case len(g.Public) > 0 && g.ID != score.KeyID(g.Public):
		k.Fail("grant.id", "got %.40q; the id of this key is %q", g.ID, score.KeyID(g.Public))
	}
	k.Names("grant.competitions", g.Competitions, score.MaxContestID)
	for i, c := range g.Competitions {
		if !score.ValidSegment(c) {
			k.Fail(fmt.Sprintf(
				"grant.competitions.%d", i), "got %.40q; want a competition, the first segment of its contests' ids", c)
		}
	}
	types := make([]string, len(g.Types))
	for i, t := range g.Types {
		types[i] = string(t)
	}
	k.Names("grant.types", types, maxID)
	if !(g.Rate >= 0 && g.Rate <= maxRate) || math.Signbit(g.Rate) {
		k.Fail("grant.rate", "got %v; want 0 to %d events a second", g.Rate, maxRate)
	}
	if g.Revoked {
		k.Fail("grant.revoked", "a new grant cannot be revoked; revoke it by its id")
	}
	g.checkEffect(&k)
	return k.Problem
}

// checkEffect refuses what would be stored and restrict nothing: CheckEvent limits only
// bards to competitions and types, readers post nothing, and no route takes a key.
func (g *Grant) checkEffect(k *score.Checker) {
	if g.Role != RoleBard {
		if len(g.Competitions) > 0 {
			k.Fail("grant.competitions", "has no effect: the role %s is for all competitions; leave it out", g.Role)
		}
		if len(g.Types) > 0 {
			k.Fail("grant.types", "has no effect: the role %s is not limited to types of events; leave it out", g.Role)
		}
	}
	if g.Role == RoleReader && g.Rate > 0 {
		k.Fail("grant.rate", "has no effect: it limits posts, and a reader posts nothing; leave it out")
	}
	if g.Role == RoleReader && len(g.Public) > 0 {
		k.Fail("grant.public", "has no effect: a key signs events, and a reader needs a token; leave the key out")
	}
}

func checkID(k *score.Checker, field, id string) {
	if len(id) > maxID || !score.ValidSegment(id) {
		k.Fail(field, "got %.40q; want 1 to %d letters, digits and ._~-", id, maxID)
	}
}

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

func (s *State) revoke(id string) (summary string, refused *score.Problem) {
	if t := s.JoinTokens[id]; t != nil {
		s.JoinTokens = with(s.JoinTokens, id, nil)
		return fmt.Sprintf("took back the join token %s, which had %d uses left", id, t.Uses), nil
	}
	g := s.Grants[id]
	switch {
	case g == nil:
		return "", score.Problemf(score.NotFound, "there is no grant and no join token %.40q", id)
	case g.Revoked:
		return "", score.Problemf(score.StatusConflict, "the %s %q of %q is already revoked", g.kind(), id, g.Name)
	case s.onlyOperator(g):
		return "", lastOperator(g)
	}
	revoked := *g
	revoked.Revoked = true
	s.Grants = with(s.Grants, id, &revoked)
	return fmt.Sprintf("revoked the %s %s of %s", g.kind(), id, g.rights()), nil
}

// addJoinToken adds t and deletes the tokens that have expired by the master's clock, or
// have no uses left.
func (s *State) addJoinToken(t *JoinToken, now time.Time) (summary string, refused *score.Problem) {
	k := score.Checker{}
	checkID(&k, "join_token.id", t.ID)
	k.Time("join_token.expires", t.Expires)
	if t.Uses < 1 || t.Uses > maxUses {
		k.Fail("join_token.uses", "got %d; want 1 to %d", t.Uses, maxUses)
	}
	if len(t.Hash) != hashSize {
		k.Fail("join_token.hash", "has %d bytes; a SHA-256 has %d", len(t.Hash), hashSize)
	}
	k.Names("join_token.hosts", t.Hosts, maxHost)
	if len(t.Hosts) > MaxJoinHosts {
		k.Fail("join_token.hosts", "has %d hosts; want at most %d", len(t.Hosts), MaxJoinHosts)
	}
	if k.Problem != nil {
		return "", k.Problem
	}
	if s.JoinTokens[t.ID] != nil || s.Grants[t.ID] != nil {
		return "", idTaken("join_token.id", t.ID, "another token")
	}
	tokens := with(s.JoinTokens, t.ID, t)
	maps.DeleteFunc(tokens, func(_ string, old *JoinToken) bool {
		return old != t && (old.Uses == 0 || now.After(old.Expires))
	})
	if len(tokens) > MaxJoinTokens {
		return "", score.Problemf(score.TooLarge,
			"the store has %d valid join tokens, which is the most; revoke one, or wait until one expires",
			MaxJoinTokens)
	}
	s.JoinTokens = tokens
	return fmt.Sprintf("new join token %s for %d frontends%s, until %s",
		t.ID, t.Uses, t.suffix(), t.Expires.UTC().Format(time.RFC3339)), nil
}

// suffix returns the terms as they follow the word frontends; "" for those of most tokens.
func (t Terms) suffix() (s string) {
	if t.Nonvoter {
		s = " without a vote"
	}
	if len(t.Hosts) > 0 {
		s += ", also named " + strings.Join(t.Hosts, " ")
	}
	return s
}

// useJoinToken takes a use of a token, and records the enrolment of the frontend that made
// it. It deletes enrolments that have expired by the master's clock.
func (s *State) useJoinToken(c *Change) (summary string, refused *score.Problem) {
	id, now := c.UseJoinToken, c.At
	t := s.JoinTokens[id]
	switch {
	case t == nil:
		return "", score.Problemf(score.Unauthorized, "the join token %.40q is unknown or revoked; make a new one", id)
	case t.Uses == 0:
		return "", score.Problemf(score.Unauthorized, "the join token %q is used up; make a new one", id)
	case now.After(t.Expires):
		return "", score.Problemf(score.Unauthorized, "the join token %q expired at %s; make a new one",
			id, t.Expires.UTC().Format(time.RFC3339))
	case len(c.JoinKey) != hashSize:
		return "", score.Problemf(score.InvalidEvent,
			"has %d bytes; a SHA-256 has %d", len(c.JoinKey), hashSize).At("join_key")
	}
	used := *t
	used.Uses--
	enrolments := with(s.Enrolments, c.By, &Enrolment{Key: c.JoinKey, Expires: now.Add(enrolmentLife), Terms: t.Terms})
	maps.DeleteFunc(enrolments, func(_ string, e *Enrolment) bool { return now.After(e.Expires) })
	if len(enrolments) > MaxEnrolments {
		return "", score.Problemf(score.TooLarge,
			"%d frontends have used a join token within an hour, which is the most; wait a while", MaxEnrolments)
	}
	s.JoinTokens, s.Enrolments = with(s.JoinTokens, id, &used), enrolments
	return fmt.Sprintf("used the join token %s, which has %d uses left", id, used.Uses), nil
}

func (s *State) addAuthority(der []byte) (summary string, refused *score.Problem) {
	known := slices.ContainsFunc(s.Authorities, func(old []byte) bool { return bytes.Equal(old, der) })
	switch {
	case len(der) > maxAuthority:
		return "", score.Problemf(score.TooLarge,
			"the certificate has %d bytes; the most is %d", len(der), maxAuthority)
	case known:
		return "", score.Problemf(score.IDConflict, "the authority %s is already trusted", Fingerprint(der))
	case len(s.Authorities) >= MaxAuthorities:
		return "", score.Problemf(score.TooLarge,
			"the store trusts %d authorities, which is the most; drop one first", MaxAuthorities)
	}
	s.Authorities = append(slices.Clone(s.Authorities), der)
	return fmt.Sprintf("trusts the authority %s, which issues from now on", Fingerprint(der)), nil
}

func (s *State) dropAuthority(fingerprint string) (summary string, refused *score.Problem) {
	i := slices.IndexFunc(s.Authorities, func(der []byte) bool { return Fingerprint(der) == fingerprint })
	switch {
	case i < 0:
		return "", score.Problemf(score.NotFound, "no trusted authority has the fingerprint %.40q", fingerprint)
	case len(s.Authorities) == 1:
		return "", score.Problemf(score.StatusConflict,
			"it is the only authority, which all members need; add another first")
	}
	s.Authorities = slices.Delete(slices.Clone(s.Authorities), i, i+1)
	s.Exposed = maps.Clone(s.Exposed)
	delete(s.Exposed, fingerprint)
	return fmt.Sprintf("trusts the authority %s no more", fingerprint), nil
}

// removeMember records the removal of a member. Above MaxRemoved it drops the oldest
// entry, whose certificate is the most likely to have expired.
func (s *State) removeMember(id string, now time.Time, heldKeys bool) (summary string) {
	removed := maps.Clone(s.Removed)
	if removed == nil {
		removed = map[string]time.Time{}
	}
	removed[id] = now
	maps.DeleteFunc(removed, func(_ string, at time.Time) bool { return now.Sub(at) > removedRetention })
	if len(removed) > MaxRemoved {
		delete(removed, slices.MinFunc(slices.Collect(maps.Keys(removed)), func(x, y string) int {
			return cmp.Or(removed[x].Compare(removed[y]), cmp.Compare(x, y))
		}))
	}
	s.Removed = removed
	s.Enrolments = with(s.Enrolments, id, nil)
	summary = fmt.Sprintf("removes the member %s, whose certificate is refused once it is out of the group", id)
	if heldKeys && len(s.Authorities) > 0 {
		s.expose(id)
		summary += "; it holds the private key of the authority until that is rotated"
	}
	return summary
}

// expose records that a removed member holds the keys of all authorities.
func (s *State) expose(id string) {
	exposed := map[string][]string{}
	for _, der := range s.Authorities {
		f := Fingerprint(der)
		others := slices.DeleteFunc(slices.Clone(s.Exposed[f]), func(old string) bool { return old == id })
		exposed[f] = append(others, id)
		exposed[f] = exposed[f][max(0, len(exposed[f])-maxExposed):]
	}
	s.Exposed = exposed
}

// with returns a copy of m with v under id, or without id if v is nil. Readers may still
// use m.
func with[V any](m map[string]*V, id string, v *V) map[string]*V {
	next := make(map[string]*V, len(m)+1)
	maps.Copy(next, m)
	if next[id] = v; v == nil {
		delete(next, id)
	}
	return next
}
