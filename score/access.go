package score

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Who may do what is part of the store: it is changed by entries of the log, so that every frontend decides alike at the same place in the
// order of all things, and a revocation holds from its entry on.

// Role is what its holder may do; each includes those before it.
type Role string

const (
	RoleReader   Role = "reader"   // read what a private group shows to nobody else
	RoleBard     Role = "bard"     // post events
	RoleOperator Role = "operator" // change the group, and who may do what
)

// Roles lists them, the least first.
var Roles = []Role{RoleReader, RoleBard, RoleOperator}

// Covers tells whether r includes what least needs.
func (r Role) Covers(least Role) bool {
	return slices.Index(Roles, r) >= slices.Index(Roles, least) && slices.Contains(Roles, least)
}

// Grant is what somebody is let do: the holder of a private key, who signs, or of a token, who shows it.
type Grant struct {
	ID   string `json:"id"`   // of a key: KeyID; of a token: random
	Name string `json:"name"` // who it is. Events are from this source, or one below it: bard/cacofonix, bard/cacofonix/2
	Role Role   `json:"role"`
	// Public is the Ed25519 key of one who signs, Hash the SHA-256 of the secret of one who shows a token. A grant has one of them.
	Public []byte `json:"public,omitzero"`
	Hash   []byte `json:"hash,omitzero"`
	// Competitions and Types bound what a bard may post; empty: anything.
	Competitions []string  `json:"competitions,omitzero"`
	Types        []Type    `json:"types,omitzero"`
	Rate         float64   `json:"rate,omitzero"` // events a second that a frontend takes of it; 0: only the frontend's own bound
	Expires      time.Time `json:"expires,omitzero"`
	Created      time.Time `json:"created,omitzero"`
	Revoked      bool      `json:"revoked,omitzero"`
}

// KeyID names a public key: the beginning of its SHA-256.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// Speaks tells whether the holder may post as source.
func (g *Grant) Speaks(source string) bool {
	rest, ok := strings.CutPrefix(source, g.Name)
	return ok && (rest == "" || rest[0] == '/')
}

// May says why the holder may not post e; nil: he may. It looks at no clock: Expires is for whoever takes the post.
func (g *Grant) May(e *Event) *Problem {
	var p *Problem
	switch {
	case g.Revoked:
		p = Problemf(Unauthorized, "the %s %q of %q was revoked", g.kind(), g.ID, g.Name)
	case !g.Role.Covers(RoleBard):
		p = Problemf(Forbidden, "%q may read, not post; an operator can give it the role bard", g.Name)
	case g.Role.Covers(RoleOperator):
	case !g.Speaks(e.Source):
		p = Problemf(Forbidden, "%q may post as %s or below it, not as %q", g.Name, g.Name, e.Source)
		p.Field = "source"
	case len(g.Competitions) > 0 && !slices.Contains(g.Competitions, e.Competition()):
		p = Problemf(Forbidden, "%q may post about %s, not about %q", g.Name, strings.Join(g.Competitions, ", "), e.Competition())
		p.Field = "contest_id"
	case len(g.Types) > 0 && !slices.Contains(g.Types, e.Type):
		p = Problemf(Forbidden, "%q may not post %s events", g.Name, e.Type)
		p.Field = "type"
	}
	if p != nil {
		p.ID = e.ID
	}
	return p
}

func (g *Grant) kind() string {
	if len(g.Public) > 0 {
		return "key"
	}
	return "token"
}

// JoinToken lets frontends join while it lasts. The secret is kept as its hash.
type JoinToken struct {
	ID      string    `json:"id"`
	Hash    []byte    `json:"hash"`
	Expires time.Time `json:"expires"` // looked at by the master, before it proposes the use
	Uses    int       `json:"uses"`    // that are left
}

// SameSecret compares the hash of a secret with a stored one, in constant time.
func SameSecret(secret string, hash []byte) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// AccessChange is one change of who may do what, or of the group, as the log has it. It does one thing of those below At and By; a change
// of the group only notes what an operator did.
type AccessChange struct {
	At time.Time `json:"at"` // the master's clock
	By string    `json:"by"` // the name of the operator's grant, or of the frontend that acts by itself

	Guard         bool       `json:"guard,omitzero"`          // from now on events must be signed, or come with a token
	Grant         *Grant     `json:"grant,omitzero"`          // a new one, or one that takes the place of that id
	Revoke        string     `json:"revoke,omitzero"`         // a grant's or a join token's id
	JoinToken     *JoinToken `json:"join_token,omitzero"`     // a new one
	UseJoinToken  string     `json:"use_join_token,omitzero"` // refused once it has no uses left
	AddAuthority  []byte     `json:"add_authority,omitzero"`  // the certificate, DER, of an authority whose members are trusted from now on; the last one added issues
	DropAuthority string     `json:"drop_authority,omitzero"` // the fingerprint of one that is trusted no more
	// RemoveMember is the server id (id@instance) of a member that is about to be taken out of the group: once it is in the configuration no
	// more, its certificate is refused. It is remembered for as long as a certificate can last.
	RemoveMember string `json:"remove_member,omitzero"`
	Note         string `json:"note,omitzero"` // what an operator did to the group
}

// Audit is a line of the trail of all AccessChanges.
type Audit struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	What   string    `json:"what"` // without secrets and hashes
}

// Access is who may do what, as of some entry of the log. It does not change.
type Access struct {
	Guarded     bool
	Grants      map[string]*Grant // by id
	JoinTokens  map[string]*JoinToken
	Authorities [][]byte // certificates, DER, the one that issues last
	// Removed are the server ids that were taken out of the group, and when. A change drops those older than RemovedFor, by its At.
	Removed map[string]time.Time
}

// RemovedFor is for how long it is remembered that a member was removed: longer than its certificate can last.
const RemovedFor = 100 * 24 * time.Hour

// Fingerprint names an authority: the SHA-256 of its certificate, in hex.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
