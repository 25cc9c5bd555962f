package access

import (
	"testing"

	"laurel/score"
	"laurel/trust/signing"
)

// signedAlert returns an alert signed by testKey(n).
func signedAlert(t *testing.T, n byte, change func(e *score.Event)) score.Event {
	t.Helper()
	e := score.Event{
		ID:        "a-1",
		IDGiven:   true,
		Source:    "bard/a",
		Seq:       1,
		Type:      score.TypeAlert,
		Time:      accessDay,
		TimeGiven: true,
		ContestID: "OG50BC/1",
		Data:      &score.Alert{Text: "rain"},
	}
	if change != nil {
		change(&e)
	}
	list := []score.Event{e}
	if err := signing.Sign(testKey(n), "games", list); err != nil {
		t.Fatal(err)
	}
	return list[0]
}

// verify returns a function for Authorize that verifies the signature of e.
func verify(v *signing.Verifier, e *score.Event) func(g *Grant) *score.Problem {
	return func(g *Grant) *score.Problem {
		return v.VerifyEvent(g.Public, "games", e)
	}
}

func TestAuthorize(t *testing.T) {
	bounded := keyGrant(2, "bard/b")
	bounded.Competitions, bounded.Types = []string{"OG50BC"}, []score.Type{score.TypeAlert}
	reader := keyGrant(3, "bard/a")
	reader.Role = RoleReader
	operator := keyGrant(4, "getafix")
	operator.Role = RoleOperator
	revoked := keyGrant(5, "bard/a")
	revoked.Revoked = true
	verifier := new(signing.Verifier)
	a := NewState()
	for _, g := range []*Grant{
		keyGrant(1, "bard/a"), bounded, reader, operator, revoked, tokenGrant("desk", "bard/a", RoleBard),
	} {
		a.Grants[g.ID] = g
	}
	plain := func(change func(e *score.Event)) score.Event {
		e := signedAlert(t, 1, nil)
		e.Key, e.Signature = "", nil
		if change != nil {
			change(&e)
		}
		return e
	}
	as := func(source string) func(*score.Event) { return func(e *score.Event) { e.Source = source } }
	altered := signedAlert(t, 1, nil)
	altered.Data = &score.Alert{Text: "sun"}
	swapped := signedAlert(t, 1, nil)
	swapped.Signature = signedAlert(t, 1, func(e *score.Event) { e.Seq = 2 }).Signature
	borrowed := signedAlert(t, 1, nil)
	borrowed.Key = bounded.ID
	given := func(change func(e *score.Event)) score.Event {
		e := signedAlert(t, 1, nil)
		change(&e)
		return e
	}
	const forbidden, unauthorized = score.Forbidden, score.Unauthorized
	for name, c := range map[string]struct {
		e       score.Event
		open    score.Code // in an open store; "" if permitted
		guarded score.Code
	}{
		"signed":                  {signedAlert(t, 1, nil), "", ""},
		"signed, below the name":  {signedAlert(t, 1, as("bard/a/2")), "", ""},
		"signed, beside the name": {signedAlert(t, 1, as("bard/ab")), forbidden, forbidden},
		"signed as another":       {signedAlert(t, 1, as("bard/b")), forbidden, forbidden},
		"signed within bounds":    {signedAlert(t, 2, as("bard/b")), "", ""},
		"signed, other competition": {signedAlert(t, 2, func(e *score.Event) {
			e.Source, e.ContestID = "bard/b",
				"X/1"
		}), forbidden, forbidden},
		"signed, other type": {signedAlert(t, 2, func(e *score.Event) {
			e.Source, e.Type, e.Data = "bard/b", score.TypeScoreSet, &score.ScoreSet{}
		}), forbidden, forbidden},
		"signed by a reader":             {signedAlert(t, 3, nil), forbidden, forbidden},
		"signed by an operator":          {signedAlert(t, 4, nil), "", ""},
		"signed by a revoked key":        {signedAlert(t, 5, nil), unauthorized, unauthorized},
		"signed by an unknown key":       {signedAlert(t, 9, nil), unauthorized, unauthorized},
		"altered":                        {altered, unauthorized, unauthorized},
		"with another event's signature": {swapped, unauthorized, unauthorized},
		"under another's key":            {borrowed, forbidden, forbidden},
		"a key, no signature": {given(func(e *score.Event) { e.Signature = nil }), unauthorized,
			unauthorized},
		"a signature, no key": {given(func(e *score.Event) { e.Key = "" }), unauthorized, unauthorized},
		"signed, id filled in": {given(func(e *score.Event) { e.IDGiven = false }), unauthorized,
			unauthorized},
		"signed, time filled in": {given(func(e *score.Event) { e.TimeGiven = false }), unauthorized,
			unauthorized},
		"signed, without seq":      {given(func(e *score.Event) { e.Seq = 0 }), unauthorized, unauthorized},
		"neither signed nor token": {plain(nil), "", unauthorized},
		"token":                    {plain(func(e *score.Event) { e.Token = "desk" }), "", ""},
		"token, as another": {plain(func(e *score.Event) { e.Token, e.Source = "desk", "bard/b" }),
			forbidden, forbidden},
		"token that is not known": {plain(func(e *score.Event) { e.Token = "disk" }), unauthorized,
			unauthorized},
		"a key's id in place of a token": {plain(func(e *score.Event) { e.Token = bounded.ID }), unauthorized,
			unauthorized},
		"a token's id in place of a key": {given(func(e *score.Event) { e.Key = "desk" }), unauthorized, unauthorized},
		"a bad signature and a token": {given(func(e *score.Event) {
			e.Token, e.Data = "desk",
				&score.Alert{Text: "sun"}
		}), unauthorized, unauthorized},
	} {
		for guarded, want := range map[bool]score.Code{false: c.open, true: c.guarded} {
			a.Guarded = guarded
			got := score.Code("")
			if p := a.Authorize(&c.e, verify(verifier, &c.e)); p != nil {
				got = p.Code
				if p.ID != c.e.ID {
					t.Errorf("%s: the refusal does not name the event: %+v", name, p)
				}
			}
			if got != want {
				t.Errorf("%s, guarded %t: got %q, want %q", name, guarded, got, want)
			}
		}
	}
}
