package access

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// readerOf returns a store in which a token is a reader's.
func readerOf(t testing.TB, token BearerToken, change func(*Grant)) *State {
	t.Helper()
	g := &Grant{Name: "press", Role: RoleReader}
	g.SetToken(token)
	if change != nil {
		change(g)
	}
	s, _, refused := NewState().Apply(&Change{At: time.Now(), By: "test", Grant: g}, OldestFormat)
	if refused != nil {
		t.Fatal(refused)
	}
	s.Settings.Lineage = "gaul"
	return s
}

func TestASessionPermitsToReadUntilItsTimeIsOver(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	token := NewBearerToken()
	s := readerOf(t, token, func(g *Grant) { g.Role = RoleOperator })
	ends := now.Add(SessionLife)
	text := token.NewSession("gaul", ends)
	g, err := s.Session(text, now)
	if err != nil || g.ID != token.ID || g.Role != RoleReader || !g.Expires.Equal(ends) {
		t.Errorf("got %+v, %v; want a reader until %s", g, err, ends)
	}
	if s.Grants[token.ID].Role != RoleOperator {
		t.Error("the grant of the token was changed")
	}
	if _, err := s.Session(text, ends); err != ErrEndedSession {
		t.Errorf("after its time: got %v", err)
	}
	before := now.Add(time.Hour)
	s = readerOf(t, token, func(g *Grant) { g.Expires = before })
	if g, err := s.Session(text, now); err != nil || !g.Expires.Equal(before) {
		t.Errorf("of a token that expires before: got %+v, %v", g, err)
	}
	if _, err := s.Session(text, before.Add(time.Second)); err != ErrExpiredToken {
		t.Errorf("after its token has expired: got %v", err)
	}
	s, _, refused := s.Apply(&Change{At: now, By: "test", Revoke: token.ID}, OldestFormat)
	if refused != nil {
		t.Fatal(refused)
	}
	if _, err := s.Session(text, now); err != ErrRevokedToken {
		t.Errorf("after its token was revoked: got %v", err)
	}
}

// Whoever reads the disk of a frontend has the grant, whoever steals a cookie its text.
func TestNobodyMakesASessionWithoutItsToken(t *testing.T) {
	now := time.Now()
	token, other := NewBearerToken(), NewBearerToken()
	s := readerOf(t, token, nil)
	g := s.Grants[token.ID]
	text := token.NewSession("gaul", now.Add(time.Hour))
	parts := strings.Split(text, ".")
	later := fmt.Sprint(now.Add(1000 * time.Hour).Unix())
	signedBy := func(seed []byte) string {
		head := parts[0] + "." + parts[1]
		signature := ed25519.Sign(ed25519.NewKeyFromSeed(seed), sessionMessage("gaul", head))
		return head + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	for name, forged := range map[string]string{
		"with a later end":        parts[0] + "." + later + "." + parts[2],
		"of another token":        other.ID + "." + parts[1] + "." + parts[2],
		"by another token":        token.ID + strings.TrimPrefix(other.NewSession("gaul", now.Add(time.Hour)), other.ID),
		"for another store":       token.NewSession("rome", now.Add(time.Hour)),
		"by the hash":             signedBy(g.Hash),
		"by the public key":       signedBy(g.Session),
		"with another spelling":   parts[0] + ".0" + parts[1] + "." + parts[2],
		"without a signature":     parts[0] + "." + parts[1] + ".",
		"without an end":          parts[0],
		"with more":               text + ".x",
		"as a token":              token.Text(),
		"that is empty":           "",
		"with a signature of 0":   parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"with an end that is odd": parts[0] + ".1e99." + parts[2],
	} {
		if g, err := s.Session(forged, now); err != ErrUnknownSession {
			t.Errorf("%s: got %+v, %v", name, g, err)
		}
	}
	if _, err := s.Session(text, now); err != nil {
		t.Errorf("the session itself: %v", err)
	}
}

func TestOnlyTokensHaveKeysOfSessions(t *testing.T) {
	for name, change := range map[string]func(*Grant){
		"a short key":        func(g *Grant) { g.Session = g.Session[1:] },
		"beside a key alone": func(g *Grant) { g.Hash = nil },
	} {
		g := &Grant{Name: "press", Role: RoleReader}
		g.SetToken(NewBearerToken())
		change(g)
		if _, _, refused := NewState().Apply(&Change{At: time.Now(), By: "test", Grant: g}, OldestFormat); refused == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	token := NewBearerToken()
	s := readerOf(t, token, nil)
	for _, g := range s.View().Grants {
		if g.Session != nil || g.Hash != nil {
			t.Errorf("operators see %+v", g)
		}
	}
}

func FuzzSession(f *testing.F) {
	token := BearerToken{"0123456789abcdef", base64.RawURLEncoding.EncodeToString(make([]byte, 32))}
	s := readerOf(f, token, nil)
	now := time.Unix(1_000_000, 0)
	valid := token.NewSession("gaul", now.Add(time.Hour))
	f.Add(valid)
	f.Add("0123456789abcdef.9999999999999999999.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := s.Session(text, now); err == nil && text != valid {
			t.Errorf("%q is a session", text)
		}
	})
}
