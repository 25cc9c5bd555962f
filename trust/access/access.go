package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"laurel/score"
)

// Role is a set of permissions. Each role includes those before it in Roles.
type Role string

const (
	RoleReader   Role = "reader"   // read from a private group
	RoleBard     Role = "bard"     // post events
	RoleOperator Role = "operator" // change the members and the access control of the group
)

// Roles lists all roles, the weakest first.
var Roles = []Role{RoleReader, RoleBard, RoleOperator}

// Covers reports whether r includes the permissions of least.
func (r Role) Covers(least Role) bool {
	return slices.Index(Roles, r) >= slices.Index(Roles, least) && slices.Contains(Roles, least)
}

// Grant gives a role to the holder of a private key, who signs events, or of a token.
type Grant struct {
	ID string `json:"id"` // score.KeyID of a key; random for a token
	// Name is the holder, and the source of its events. The holder of bard/cacofonix may
	// also post as bard/cacofonix/2.
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Public is the Ed25519 key that verifies the holder's signatures, Hash the SHA-256
	// of the token's secret. A grant has one of them.
	Public []byte `json:"public,omitzero"`
	Hash   []byte `json:"hash,omitzero"`
	// Session is the Ed25519 key that verifies sessions of the token; see State.Session.
	Session []byte `json:"session,omitzero"`
	// Competitions and Types limit the events that a bard may post, if they are not
	// empty. Other roles have none.
	Competitions []string     `json:"competitions,omitzero"`
	Types        []score.Type `json:"types,omitzero"`
	// Rate limits the events per second that a frontend accepts; 0 means only its own
	// limit.
	Rate    float64   `json:"rate,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Created time.Time `json:"created,omitzero"`
	Revoked bool      `json:"revoked,omitzero"`
}

// CoversSource reports whether the holder may post events of the source.
func (g *Grant) CoversSource(source string) bool {
	rest, ok := strings.CutPrefix(source, g.Name)
	return ok && (rest == "" || rest[0] == '/')
}

// CheckEvent returns why the holder may not post e, or nil. It does not compare Expires
// with a clock; the frontend that accepts the post does.
func (g *Grant) CheckEvent(e *score.Event) *score.Problem {
	var p *score.Problem
	switch {
	case g.Revoked:
		p = score.Problemf(score.Unauthorized, "the %s %q of %q was revoked", g.kind(), g.ID, g.Name)
	case !g.Role.Covers(RoleBard):
		p = score.Problemf(score.Forbidden, "%q may read but not post; an operator can give it the role bard", g.Name)
	case g.Role.Covers(RoleOperator):
	case !g.CoversSource(e.Source):
		p = score.Problemf(score.Forbidden,
			"%q may post as %s or below it, not as %q", g.Name, g.Name, e.Source).At("source")
	case len(g.Competitions) > 0 && !slices.Contains(g.Competitions, e.Competition()):
		p = score.Problemf(score.Forbidden, "%q may post about %s, not about %q",
			g.Name, strings.Join(g.Competitions, ", "), e.Competition()).At("contest_id")
	case len(g.Types) > 0 && !slices.Contains(g.Types, e.Type):
		p = score.Problemf(score.Forbidden, "%q may not post %s events", g.Name, e.Type).At("type")
	}
	if p != nil {
		p.ID = e.ID
	}
	return p
}

// Expired reports whether the grant has expired at the time now.
func (g *Grant) Expired(now time.Time) bool { return !g.Expires.IsZero() && now.After(g.Expires) }

func (g *Grant) kind() string {
	if len(g.Public) > 0 {
		return "key"
	}
	return "token"
}

// JoinToken admits frontends to the group. The secret is stored as its hash.
type JoinToken struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash"`
	// Expires is compared with the master's clock before it proposes a use.
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"` // left
	Terms
}

// Terms are what a join token allows those who join with it.
type Terms struct {
	Nonvoter bool `json:"nonvoter,omitzero"` // they get no vote
	// Hosts are names and addresses, besides the one at which the master reaches the
	// frontend, that its certificate has.
	Hosts []string `json:"hosts,omitzero"`
	// Replace is the id of a dead member, whose place they may take.
	Replace string `json:"replace,omitzero"`
}

// Enrolment is the use of a join token by a frontend. Only a frontend with one becomes a
// member, so the key of the authority alone makes nobody a member.
type Enrolment struct {
	Key     []byte    `json:"key"` // SHA-256 of the public key of its certificate; see KeyHash
	Expires time.Time `json:"expires"`
	Terms
}

// enrolmentLife is how long after its enrolment a frontend may join.
const enrolmentLife = time.Hour

// KeyHash returns the hash of a public key in its PKIX form (DER).
func KeyHash(public []byte) []byte {
	sum := sha256.Sum256(public)
	return sum[:]
}

// Enrolled returns the enrolment of a frontend, id@instance, whose public key has the
// hash; nil if there is none, or if it has expired.
func (s *State) Enrolled(member string, key []byte, now time.Time) *Enrolment {
	e := s.Enrolments[member]
	if e == nil || !bytes.Equal(e.Key, key) || now.After(e.Expires) {
		return nil
	}
	return e
}

// SecretMatches reports whether hash is the hash of secret, in constant time.
func SecretMatches(secret string, hash []byte) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// Recovery asks for the role operator for a new token. Whoever has access to the data
// directory of a voter may ask: the key of the group's authority is there, too.
type Recovery struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash"`
}

// Change is one change of the access control or of a setting, as an entry of the log holds
// it. Apart from At and By exactly one field is set. Note is for changes of the group,
// which only leave a line in the audit trail.
type Change struct {
	At time.Time `json:"at"` // by the master's clock
	By string    `json:"by"` // the operator's grant by name, or a frontend that acts by itself

	Guard        bool       `json:"guard,omitzero"`          // require a signature or a token
	Grant        *Grant     `json:"grant,omitzero"`          // added, or replaces the one with its id
	Recover      *Recovery  `json:"recover,omitzero"`        // of the role operator, on the machine of By, a voter
	Revoke       string     `json:"revoke,omitzero"`         // id of a grant or of a join token
	JoinToken    *JoinToken `json:"join_token,omitzero"`     // added
	UseJoinToken string     `json:"use_join_token,omitzero"` // id, used by By; refused if no uses are left
	JoinKey      []byte     `json:"join_key,omitzero"`       // KeyHash of By's key; only beside UseJoinToken
	// AddAuthority is the certificate (DER) of an authority to trust. The last one added
	// issues.
	AddAuthority  []byte `json:"add_authority,omitzero"`
	DropAuthority string `json:"drop_authority,omitzero"` // fingerprint
	// RemoveMember is the server id (id@instance) of a member that is about to be removed
	// from the group. Once it is not in the configuration, its certificate is refused.
	RemoveMember string   `json:"remove_member,omitzero"`
	HeldKeys     bool     `json:"held_keys,omitzero"` // RemoveMember is a voter, with the authorities' private keys
	Setting      *Setting `json:"setting,omitzero"`   // the new value
	Note         string   `json:"note,omitzero"`      // an operator's change of the group
	// Sworn is for sworn groups. It stands in signed entries only.
	Sworn *SwornChange `json:"sworn,omitzero"`
}

// AuditEntry is one line of the audit trail of changes.
type AuditEntry struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	What   string    `json:"what"` // without secrets and hashes
}

// State is the access control and the settings as of one position of the log. It is
// immutable. The names of its members are part of the snapshot format.
type State struct {
	Guarded     bool                  `json:"guarded,omitzero"` // events need a signature or a token
	Grants      map[string]*Grant     `json:"grants"`           // by id
	JoinTokens  map[string]*JoinToken `json:"join_tokens"`
	Enrolments  map[string]*Enrolment `json:"enrolments,omitzero"`  // by server id
	Authorities [][]byte              `json:"authorities,omitzero"` // trusted certificates, DER; the last one issues
	// Removed holds the server ids of removed members with the time of their removal.
	// Entries are dropped after removedRetention.
	Removed map[string]time.Time `json:"removed"`
	// Exposed holds, by the fingerprint of each trusted authority, the server ids of the
	// removed members that have its private key, the last 100.
	Exposed  map[string][]string `json:"exposed,omitzero"`
	Settings Settings            `json:"settings"`
	// Former are the incarnations that the store had before, the last maxFormer: who still has
	// one of them is told that it has ended.
	Former []string `json:"former,omitzero"`
	// Operators, by the ids of their keys, and Roster, by the ids of the frontends, are those
	// of a sworn group. Founder is the fingerprint of its first operator's key.
	Operators map[string]*Operator    `json:"operators,omitzero"`
	Roster    map[string]*RosterEntry `json:"roster,omitzero"`
	Founder   string                  `json:"founder,omitzero"`
}

// KeyHolders returns the ids of the removed members that hold the private key of a trusted
// authority, sorted. Until the authority is rotated they can make certificates.
func (s *State) KeyHolders() (ids []string) {
	for _, members := range s.Exposed {
		for _, m := range members {
			id, _, _ := strings.Cut(m, "@")
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// removedRetention is how long a removed member is remembered: longer than its
// certificate is valid.
const removedRetention = 100 * 24 * time.Hour

// Fingerprint returns the fingerprint of an authority: the SHA-256 of its certificate, in
// hexadecimal.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Authorize returns why e may not be posted, or nil. A frontend calls it before it
// accepts a post, which keeps refused events out of the log. Every state machine calls it
// again at the event's position in the log, and that decision counts.
//
// verify is called last, for a signed event. It returns nil if the signature is by the
// key of g.
func (s *State) Authorize(e *score.Event, verify func(g *Grant) *score.Problem) *score.Problem {
	switch {
	case e.Key != "":
		return s.authorizeSigned(e, verify)
	case len(e.Signature) > 0:
		return unauthorized(e, "signature", "has no key beside it; send the id of the key that signed")
	case s.Settings.Sworn:
		p := score.Problemf(score.Unsigned,
			"the group is sworn, so events must be signed; no token replaces a signature")
		p.ID = e.ID
		return p
	case e.Token != "":
		g := s.Grants[e.Token]
		// The id of a key is not secret: if it were accepted here, no signature would be
		// needed.
		if g == nil || len(g.Hash) == 0 {
			return unauthorized(e, "", "the token %.40q is unknown; an operator can issue another", e.Token)
		}
		return g.CheckEvent(e)
	case s.Guarded:
		return unauthorized(e, "", "the event is neither signed nor posted with a token; sign it, or send a token")
	}
	return nil
}

// The reasons why Authenticate refuses a token. They do not contain it.
var (
	ErrUnknownToken = errors.New("the token is not known; ask an operator for a new one")
	ErrRevokedToken = errors.New("the token has been revoked; ask an operator for a new one")
	ErrExpiredToken = errors.New("the token has expired; ask an operator for a new one")
)

// Authenticate returns the grant of a token, or the reason why the token is not valid at
// the time now.
func (s *State) Authenticate(t BearerToken, now time.Time) (*Grant, error) {
	g := s.Grants[t.ID]
	switch {
	// The grant of a key has no hash, so no token has its id.
	case g == nil || !SecretMatches(t.Secret, g.Hash):
		return nil, ErrUnknownToken
	case g.Revoked:
		return nil, ErrRevokedToken
	case g.Expired(now):
		return nil, ErrExpiredToken
	}
	return g, nil
}

func (s *State) authorizeSigned(e *score.Event, verify func(g *Grant) *score.Problem) *score.Problem {
	g := s.Grants[e.Key]
	if g == nil || len(g.Public) == 0 {
		return unauthorized(e, "key", "no bard has the key %.40q; an operator can register it", e.Key)
	}
	// A bard cannot have signed what a frontend filled in.
	if !e.IDGiven || e.Source == "" || e.Seq == 0 || !e.TimeGiven {
		return unauthorized(e, "key", "a signed event has the id, source, seq and time that its bard gave")
	}
	if p := g.CheckEvent(e); p != nil {
		return p
	}
	return verify(g)
}

func unauthorized(e *score.Event, field, format string, args ...any) *score.Problem {
	p := score.Problemf(score.Unauthorized, format, args...).At(field)
	p.ID = e.ID
	return p
}

const bearerPrefix = "laurel-token-1."

// errBearer does not quote the input, which may be a mistyped secret.
var errBearer = errors.New("not a bearer token; want the whole text, which begins with \"" + bearerPrefix + "\"")

// BearerToken authenticates a caller. Its text is laurel-token-1.ID.SECRET. Only the
// maker and the holder know the secret; the group stores its hash.
type BearerToken struct {
	ID     string // 8 bytes in hexadecimal
	Secret string `json:"-"` // 32 bytes in base64
}

// NewBearerToken makes a token.
func NewBearerToken() BearerToken {
	var id [8]byte
	var secret [32]byte
	rand.Read(id[:]) // never returns an error
	rand.Read(secret[:])
	return BearerToken{hex.EncodeToString(id[:]), base64.RawURLEncoding.EncodeToString(secret[:])}
}

// Text returns the text of the token, with the secret.
func (t BearerToken) Text() string { return bearerPrefix + t.ID + "." + t.Secret }

// String returns the token without the secret.
func (t BearerToken) String() string { return bearerPrefix + t.ID }

// GoString returns the token without the secret.
func (t BearerToken) GoString() string { return t.String() }

// Hash returns the hash of the secret, which the group stores.
func (t BearerToken) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Secret))
	return sum[:]
}

// ParseBearerToken parses the text of a token. The error does not quote it.
func ParseBearerToken(text string) (BearerToken, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), bearerPrefix)
	id, encoded, _ := strings.Cut(rest, ".")
	name, _ := hex.DecodeString(id)
	secret, _ := base64.RawURLEncoding.DecodeString(encoded)
	// Only one text stands for a token: what was decoded must be written alike.
	if !ok || len(name) != 8 || hex.EncodeToString(name) != id ||
		len(secret) != 32 || base64.RawURLEncoding.EncodeToString(secret) != encoded {
		return BearerToken{}, errBearer
	}
	return BearerToken{id, encoded}, nil
}
