package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// A token is laurel-join-1.FINGERPRINT.ID.SECRET for who joins, and laurel-token-1.ID.SECRET for who calls. Only its maker and its holder
// ever have the secret; the group keeps the hash.
const (
	joinPrefix   = "laurel-join-1."
	bearerPrefix = "laurel-token-1."
	secretBytes  = 32
	idBytes      = 8
)

// errToken says nothing of what was given: it may be a secret with a typing error.
var (
	errJoinToken = errors.New("this is no join token; want laurel-join-1. and what laurel cluster token printed after it, whole")
	errBearer    = errors.New("this is no token; want laurel-token-1. and what was printed after it, whole")
)

// JoinToken is what a frontend needs to join: whom to trust, and by what it is let in.
type JoinToken struct {
	Fingerprint string // of the authority, hex
	ID          string
	Secret      string
}

// NewJoinToken makes a token for joining the group of the authority.
func NewJoinToken(fingerprint string) JoinToken {
	return JoinToken{fingerprint, newID(), newSecret()}
}

// Text is the token as people pass it on. It contains the secret.
func (t JoinToken) Text() string { return joinPrefix + t.Fingerprint + "." + t.ID + "." + t.Secret }

// String hides the secret, so that printing or logging a token does no harm.
func (t JoinToken) String() string { return joinPrefix + short(t.Fingerprint) + "..." + t.ID }

// GoString hides the secret, too.
func (t JoinToken) GoString() string { return t.String() }

// Hash is what the group keeps of the secret.
func (t JoinToken) Hash() []byte { return hashOf(t.Secret) }

// ParseJoinToken reads a token's text. The error does not tell the text.
func ParseJoinToken(text string) (JoinToken, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 || !isHex(parts[0], sha256.Size) || !isHex(parts[1], idBytes) || !isSecret(parts[2]) {
		return JoinToken{}, errJoinToken
	}
	return JoinToken{parts[0], parts[1], parts[2]}, nil
}

// BearerToken is the token of a caller.
type BearerToken struct {
	ID     string
	Secret string
}

// NewBearerToken makes a caller's token.
func NewBearerToken() BearerToken { return BearerToken{newID(), newSecret()} }

// Text is the token as its holder sends it. It contains the secret.
func (t BearerToken) Text() string { return bearerPrefix + t.ID + "." + t.Secret }

// String hides the secret.
func (t BearerToken) String() string { return bearerPrefix + t.ID }

// GoString hides the secret, too.
func (t BearerToken) GoString() string { return t.String() }

// Hash is what the group keeps of the secret.
func (t BearerToken) Hash() []byte { return hashOf(t.Secret) }

// ParseBearerToken reads a token's text. The error does not tell the text.
func ParseBearerToken(text string) (BearerToken, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), bearerPrefix)
	id, secret, dot := strings.Cut(rest, ".")
	if !ok || !dot || !isHex(id, idBytes) || !isSecret(secret) {
		return BearerToken{}, errBearer
	}
	return BearerToken{id, secret}, nil
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func newID() string {
	var b [idBytes]byte
	rand.Read(b[:]) // it does not fail: it ends the program instead
	return hex.EncodeToString(b[:])
}

func newSecret() string {
	var b [secretBytes]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func isHex(s string, bytes int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == bytes && strings.ToLower(s) == s
}

func isSecret(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == secretBytes && !strings.ContainsAny(s, "\r\n")
}
