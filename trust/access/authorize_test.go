package score

import (
	"strings"
	"testing"
)

// signedAlert is an alert that testKey(n) signed.
func signedAlert(t *testing.T, n byte, change func(e *Event)) Event {
	t.Helper()
	e := Event{ID: "a-1", IDGiven: true, Source: "bard/a", Seq: 1, Type: TypeAlert, Time: accessDay, TimeGiven: true, ContestID: "OG50BC/1", Data: &Alert{Text: "rain"}}
	if change != nil {
		change(&e)
	}
	list := []Event{e}
	if err := Sign(testKey(n), list); err != nil {
		t.Fatal(err)
	}
	return list[0]
}

func TestWhoMayPostWhat(t *testing.T) {
	bounded := keyGrant(2, "bard/b")
	bounded.Competitions, bounded.Types = []string{"OG50BC"}, []Type{TypeAlert}
	reader := keyGrant(3, "bard/a")
	reader.Role = RoleReader
	operator := keyGrant(4, "getafix")
	operator.Role = RoleOperator
	revoked := keyGrant(5, "bard/a")
	revoked.Revoked = true
	verifier := new(Verifier)
	a := NewAccess()
	for _, g := range []*Grant{keyGrant(1, "bard/a"), bounded, reader, operator, revoked, tokenGrant("desk", "bard/a", RoleBard)} {
		a.Grants[g.ID] = g
	}
	plain := func(change func(e *Event)) Event {
		e := signedAlert(t, 1, nil)
		e.Key, e.Signature = "", nil
		if change != nil {
			change(&e)
		}
		return e
	}
	as := func(source string) func(*Event) { return func(e *Event) { e.Source = source } }
	altered := signedAlert(t, 1, nil)
	altered.Data = &Alert{Text: "sun"}
	swapped := signedAlert(t, 1, nil)
	swapped.Signature = signedAlert(t, 1, func(e *Event) { e.Seq = 2 }).Signature
	borrowed := signedAlert(t, 1, nil)
	borrowed.Key = bounded.ID
	given := func(change func(e *Event)) Event {
		e := signedAlert(t, 1, nil)
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		e       Event
		open    Code // in an open store; "": it may
		guarded Code
	}{
		"signed":                         {signedAlert(t, 1, nil), "", ""},
		"signed, below the name":         {signedAlert(t, 1, as("bard/a/2")), "", ""},
		"signed, beside the name":        {signedAlert(t, 1, as("bard/ab")), Forbidden, Forbidden},
		"signed as another":              {signedAlert(t, 1, as("bard/b")), Forbidden, Forbidden},
		"signed within bounds":           {signedAlert(t, 2, as("bard/b")), "", ""},
		"signed, other competition":      {signedAlert(t, 2, func(e *Event) { e.Source, e.ContestID = "bard/b", "X/1" }), Forbidden, Forbidden},
		"signed, other type":             {signedAlert(t, 2, func(e *Event) { e.Source, e.Type, e.Data = "bard/b", TypeScoreSet, &ScoreSet{} }), Forbidden, Forbidden},
		"signed by a reader":             {signedAlert(t, 3, nil), Forbidden, Forbidden},
		"signed by an operator":          {signedAlert(t, 4, nil), "", ""},
		"signed by a revoked key":        {signedAlert(t, 5, nil), Unauthorized, Unauthorized},
		"signed by a stranger":           {signedAlert(t, 9, nil), Unauthorized, Unauthorized},
		"altered":                        {altered, Unauthorized, Unauthorized},
		"with another event's signature": {swapped, Unauthorized, Unauthorized},
		"under another's key":            {borrowed, Forbidden, Forbidden},
		"a key, no signature":            {given(func(e *Event) { e.Signature = nil }), Unauthorized, Unauthorized},
		"a signature, no key":            {given(func(e *Event) { e.Key = "" }), Unauthorized, Unauthorized},
		"signed, id filled in":           {given(func(e *Event) { e.IDGiven = false }), Unauthorized, Unauthorized},
		"signed, time filled in":         {given(func(e *Event) { e.TimeGiven = false }), Unauthorized, Unauthorized},
		"signed, without seq":            {given(func(e *Event) { e.Seq = 0 }), Unauthorized, Unauthorized},
		"nobody vouches":                 {plain(nil), "", Unauthorized},
		"token":                          {plain(func(e *Event) { e.Token = "desk" }), "", ""},
		"token, as another":              {plain(func(e *Event) { e.Token, e.Source = "desk", "bard/b" }), Forbidden, Forbidden},
		"token that is not known":        {plain(func(e *Event) { e.Token = "disk" }), Unauthorized, Unauthorized},
		"a key's id in place of a token": {plain(func(e *Event) { e.Token = bounded.ID }), Unauthorized, Unauthorized},
		"a token's id in place of a key": {given(func(e *Event) { e.Key = "desk" }), Unauthorized, Unauthorized},
		"a bad signature and a token":    {given(func(e *Event) { e.Token, e.Data = "desk", &Alert{Text: "sun"} }), Unauthorized, Unauthorized},
	} {
		for guarded, want := range map[bool]Code{false: c.open, true: c.guarded} {
			a.Guarded = guarded
			got := Code("")
			if p := a.Authorize(&c.e, verifier.Of(&c.e)); p != nil {
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

func TestAWrongSignatureShowsWhatShouldHaveBeenSigned(t *testing.T) {
	e := signedAlert(t, 1, nil)
	form, err := SignedForm(&e)
	if err != nil {
		t.Fatal(err)
	}
	if p := WrongSignature(&e, form); !strings.Contains(p.Detail, string(form)) || p.Field != "signature" {
		t.Errorf("got %+v", p)
	}
	long := signedAlert(t, 1, func(e *Event) { e.Data = &Alert{Text: strings.Repeat("é", 2000)} })
	if form, err = SignedForm(&long); err != nil {
		t.Fatal(err)
	}
	if p := WrongSignature(&long, form); len(p.Detail) > 500 || strings.ContainsRune(p.Detail, '�') || !strings.HasSuffix(p.Detail, "...") {
		t.Errorf("got %d bytes: %s", len(p.Detail), p.Detail)
	}
}
