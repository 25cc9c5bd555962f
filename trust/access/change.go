package access

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
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
	MaxJoinHosts   = 8      // of a join token
	MaxAudit       = 10_000 // lines of the audit trail
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

// Apply returns the state after c, in an entry of a format, and a line for the audit trail,
// which is empty if c changes nothing. If c is refused, s remains the state.
//
// The result must be the same in every version and on every machine. So Apply reads no
// clock, parses no certificates, and accepts unknown event types; the proposer of a
// change checks those.
func (s *State) Apply(c *Change, format uint64) (next *State, summary string, refused *score.Problem) {
	if c.Sworn != nil || s.Settings.Sworn && !s.unsigned(c) {
		return nil, "", unsignedChange()
	}
	return s.apply(c, format)
}

// apply is Apply for a change that needs no signature, or has one.
func (s *State) apply(c *Change, format uint64) (next *State, summary string, refused *score.Problem) {
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
		summary, refused = after.set(c.Setting, format)
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

func idTaken(field, id, by string) *score.Problem {
	return score.Problemf(score.IDConflict, "the id %q is taken by %s; choose another", id, by).At(field)
}

func checkID(k *score.Checker, field, id string) {
	if len(id) > maxID || !score.ValidSegment(id) {
		k.Fail(field, "got %.40q; want 1 to %d letters, digits and ._~-", id, maxID)
	}
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
	if t.Replace != "" {
		checkID(&k, "join_token.replace", t.Replace)
	}
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
	if t.Replace != "" {
		s += ", in the place of " + t.Replace
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
