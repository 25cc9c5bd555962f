package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

const bearerPrefix = "laurel-token-1."

// errBearer does not quote the input, which may be a mistyped secret.
var errBearer = errors.New("not a bearer token; want the whole text, which begins with \"" + bearerPrefix + "\"")

// BearerToken authenticates a caller. Its text is laurel-token-1.ID.SECRET. Only the maker
// and the holder know the secret; the group stores its hash.
type BearerToken struct {
	ID     string // 8 bytes in hexadecimal
	Secret string // 32 bytes in base64
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
