package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// The text of a join token is laurel-join-1.FINGERPRINT.ID.SECRET, and that of a bearer
// token laurel-token-1.ID.SECRET. Only the maker and the holder know the secret; the
// group stores its hash.
const (
	joinPrefix   = "laurel-join-1."
	bearerPrefix = "laurel-token-1."
	secretBytes  = 32
	idBytes      = 8
)

// These errors do not quote the input, which may be a mistyped secret.
var (
	errJoinToken = errors.New("not a join token; want the whole text, which begins with \"laurel-join-1.\"")
	errBearer    = errors.New("not a bearer token; want the whole text, which begins with \"laurel-token-1.\"")
)

// JoinToken admits a frontend to a group and names the authority that the frontend
// trusts.
type JoinToken struct {
	Fingerprint string // of the authority, in hexadecimal
	ID          string
	Secret      string
}

// NewJoinToken makes a token for the group with the authority.
func NewJoinToken(fingerprint string) JoinToken {
	return JoinToken{fingerprint, newID(), newSecret()}
}

// Text returns the text of the token, with the secret.
func (t JoinToken) Text() string { return joinPrefix + t.Fingerprint + "." + t.ID + "." + t.Secret }

// String returns the token without the secret, for logs.
func (t JoinToken) String() string { return joinPrefix + short(t.Fingerprint) + "..." + t.ID }

// GoString returns the token without the secret.
func (t JoinToken) GoString() string { return t.String() }

// Hash returns the hash of the secret, which the group stores.
func (t JoinToken) Hash() []byte { return hashOf(t.Secret) }

// ParseJoinToken parses the text of a token. The error does not quote it.
func ParseJoinToken(text string) (JoinToken, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 || !isHex(parts[0], sha256.Size) || !isHex(parts[1], idBytes) || !isSecret(parts[2]) {
		return JoinToken{}, errJoinToken
	}
	return JoinToken{parts[0], parts[1], parts[2]}, nil
}

// BearerToken authenticates a caller.
type BearerToken struct {
	ID     string
	Secret string
}

// NewBearerToken makes a token.
func NewBearerToken() BearerToken { return BearerToken{newID(), newSecret()} }

// Text returns the text of the token, with the secret.
func (t BearerToken) Text() string { return bearerPrefix + t.ID + "." + t.Secret }

// String returns the token without the secret.
func (t BearerToken) String() string { return bearerPrefix + t.ID }

// GoString returns the token without the secret.
func (t BearerToken) GoString() string { return t.String() }

// Hash returns the hash of the secret, which the group stores.
func (t BearerToken) Hash() []byte { return hashOf(t.Secret) }

// ParseBearerToken parses the text of a token. The error does not quote it.
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
	rand.Read(b[:]) // never returns an error
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
