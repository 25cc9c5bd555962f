package access

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"laurel/score"
)

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
