package access

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SessionLife is how long a session lasts.
const SessionLife = 12 * time.Hour

// A session is what a browser has in the place of a token: the word of the token's holder
// that whoever has the session may read until a time. Its text is ID.TIME.SIGNATURE. The
// key that signs follows from the token's secret, and the grant has only its public part.
// So every frontend can check a session, and none can make one without the token.

var (
	// ErrUnknownSession is the error for a session that no token of the store has signed.
	ErrUnknownSession = errors.New("the session is not known; sign in again")
	// ErrEndedSession is the error for a session whose time is over.
	ErrEndedSession = errors.New("the session has ended; sign in again")
)

// SetToken makes g the grant of the token t.
func (g *Grant) SetToken(t BearerToken) {
	g.ID, g.Hash, g.Session = t.ID, t.Hash(), t.sessionKey().Public().(ed25519.PublicKey)
}

func (t BearerToken) sessionKey() ed25519.PrivateKey {
	// It fails for lengths that are too long only.
	seed, _ := hkdf.Key(sha256.New, []byte(t.Secret), nil, "laurel session key 1", ed25519.SeedSize)
	return ed25519.NewKeyFromSeed(seed)
}

// NewSession returns the text of a session in the store with the lineage.
func (t BearerToken) NewSession(lineage string, ends time.Time) string {
	head := t.ID + "." + strconv.FormatInt(ends.Unix(), 10)
	signature := ed25519.Sign(t.sessionKey(), sessionMessage(lineage, head))
	return head + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// sessionMessage returns what is signed: the text of a session before its signature, for
// one store.
func sessionMessage(lineage, head string) []byte {
	return fmt.Appendf(nil, "laurel session 1\n%s\n%s\n", lineage, head)
}

// Session returns a grant with what a session permits at the time now: to read, at most as
// long as the grant of its token. Otherwise it returns the reason why the session is not
// valid.
func (s *State) Session(text string, now time.Time) (*Grant, error) {
	end := max(0, strings.LastIndexByte(text, '.'))
	head, encoded := text[:end], strings.TrimPrefix(text[end:], ".")
	id, seconds, _ := strings.Cut(head, ".")
	ends, err := strconv.ParseInt(seconds, 10, 64)
	signature, _ := base64.RawURLEncoding.DecodeString(encoded)
	g := s.Grants[id]
	switch {
	// Only one text stands for a session: what was decoded must be written alike.
	case err != nil || base64.RawURLEncoding.EncodeToString(signature) != encoded,
		g == nil || len(g.Session) != ed25519.PublicKeySize,
		!ed25519.Verify(g.Session, sessionMessage(s.Settings.Lineage, head), signature):
		return nil, ErrUnknownSession
	case !now.Before(time.Unix(ends, 0)):
		return nil, ErrEndedSession
	case g.Revoked:
		return nil, ErrRevokedToken
	case g.Expired(now):
		return nil, ErrExpiredToken
	}
	reader := *g
	reader.Role = RoleReader
	if end := time.Unix(ends, 0).UTC(); reader.Expires.IsZero() || end.Before(reader.Expires) {
		reader.Expires = end
	}
	return &reader, nil
}

// SessionCookie returns the name of the cookie that has a session in the store with the
// lineage. Browsers accept the prefix from a host itself over TLS only, and do not tell
// ports apart, so that another group on the same host needs another name.
func SessionCookie(lineage string) string {
	return "__Host-laurel-" + lineage[:min(len(lineage), 8)]
}
