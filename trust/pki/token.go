package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

const (
	joinPrefix  = "laurel-join-1."
	secretBytes = 32
	idBytes     = 8
)

// errJoinToken does not quote the input, which may be a mistyped secret.
var errJoinToken = errors.New("not a join token; want the whole text, which begins with \"laurel-join-1.\"")

// JoinToken admits a frontend to a group and names the authority that the frontend
// trusts. Its text is laurel-join-1.FINGERPRINT.ID.SECRET. Only the maker and the holder
// know the secret; the group stores its hash.
type JoinToken struct {
	Fingerprint string // of the authority, in hexadecimal
	ID          string
	Secret      string
}

// NewJoinToken makes a token for the group with the authority.
func NewJoinToken(fingerprint string) JoinToken {
	var id [idBytes]byte
	var secret [secretBytes]byte
	rand.Read(id[:]) // never returns an error
	rand.Read(secret[:])
	return JoinToken{fingerprint, hex.EncodeToString(id[:]), base64.RawURLEncoding.EncodeToString(secret[:])}
}

// Text returns the text of the token, with the secret.
func (t JoinToken) Text() string { return joinPrefix + t.Fingerprint + "." + t.ID + "." + t.Secret }

// String returns the token without the secret, for logs.
func (t JoinToken) String() string { return joinPrefix + short(t.Fingerprint) + "..." + t.ID }

// GoString returns the token without the secret.
func (t JoinToken) GoString() string { return t.String() }

// Hash returns the hash of the secret, which the group stores.
func (t JoinToken) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Secret))
	return sum[:]
}

// ParseJoinToken parses the text of a token. The error does not quote it.
func ParseJoinToken(text string) (JoinToken, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), joinPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 || !isHex(parts[0], sha256.Size) || !isHex(parts[1], idBytes) || !isSecret(parts[2]) {
		return JoinToken{}, errJoinToken
	}
	return JoinToken{parts[0], parts[1], parts[2]}, nil
}

func isHex(s string, bytes int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == bytes && strings.ToLower(s) == s
}

func isSecret(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == secretBytes && !strings.ContainsAny(s, "\r\n")
}
