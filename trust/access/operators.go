package access

import (
	"bytes"
	"fmt"
	"maps"

	"laurel/score"
)

// operatesForever reports whether the holder of g can always change the group: operators
// are known by a token, which no end and no revocation makes worthless. The key of an
// operator only signs events.
func (g *Grant) operatesForever() bool {
	return g.Role == RoleOperator && len(g.Hash) > 0 && g.Expires.IsZero() && !g.Revoked
}

// onlyOperator reports whether nobody but the holder of g operates for ever. Operators
// whose tokens end do not count, or the group would be without one some day. The operators
// of a sworn group have keys, so it needs no token.
func (s *State) onlyOperator(g *Grant) bool {
	if s.Settings.Sworn || !g.operatesForever() {
		return false
	}
	for _, other := range s.Grants {
		if other.ID != g.ID && other.operatesForever() {
			return false
		}
	}
	return true
}

func lastOperator(g *Grant) *score.Problem {
	return score.Problemf(score.StatusConflict, "%q is the only operator's token that does not expire; "+
		"grant the role operator to another token without an end first, or some day nobody could change the group",
		g.ID)
}

// recoveredPrefix begins the names of grants that were recovered; the voter's id follows.
const recoveredPrefix = "recovered/"

// recover adds the token of an operator that was made on the machine of a voter, c.By. It
// takes the place of the one that was recovered there before, so that there are no more
// of these than voters, and they need no room below MaxGrants.
func (s *State) recover(c *Change) (summary string, refused *score.Problem) {
	g := &Grant{
		ID: c.Recover.ID, Name: recoveredPrefix + c.By, Role: RoleOperator, Hash: c.Recover.Hash, Created: c.At,
	}
	if p := g.check(); p != nil {
		return "", p
	}
	switch old := s.Grants[g.ID]; {
	case old != nil && old.Revoked:
		return "", revokedForGood(old)
	case old != nil && old.Name == g.Name && bytes.Equal(old.Hash, g.Hash):
		return "", nil // asked again, because the answer was lost
	case old != nil:
		return "", idTaken("recover.id", g.ID, "the "+old.kind()+" of "+old.Name)
	case s.JoinTokens[g.ID] != nil:
		return "", idTaken("recover.id", g.ID, "a join token")
	}
	grants := maps.Clone(s.Grants)
	maps.DeleteFunc(grants, func(_ string, old *Grant) bool {
		return old.Name == g.Name && old.Role == RoleOperator && len(old.Hash) > 0
	})
	summary = fmt.Sprintf("recovered the role operator on the machine of %s: new token %s for %s",
		c.By, g.ID, g.rights())
	if len(grants) < len(s.Grants) {
		summary += "; the one that was recovered there before has ended"
	}
	grants[g.ID] = g
	s.Grants = grants
	return summary, nil
}
