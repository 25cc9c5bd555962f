package access

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"laurel/score"
)

// View is the part of a State that operators see: everything but the hashes of secrets.
type View struct {
	Guarded     bool            `json:"guarded"`
	Sworn       bool            `json:"sworn,omitzero"`
	Grants      []Grant         `json:"grants"`      // by name
	JoinTokens  []JoinTokenView `json:"join_tokens"` // by time of expiry
	Authorities []AuthorityView `json:"authorities"` // the last one issues
	// KeyHolders are the removed members that hold the private key of an authority.
	KeyHolders []string `json:"key_holders,omitzero"`
}

// JoinTokenView is a join token without its hash.
type JoinTokenView struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"`
	Terms
}

// AuthorityView is a trusted certificate authority.
type AuthorityView struct {
	Fingerprint string `json:"fingerprint"`
	Issues      bool   `json:"issues"` // certificates for members that join or renew
}

// KeyView is the public key of a bard, which verifies its signatures, and the limits of
// its grant.
type KeyView struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	Public       []byte       `json:"public"`
	Competitions []string     `json:"competitions,omitzero"`
	Types        []score.Type `json:"types,omitzero"`
	Expires      time.Time    `json:"expires,omitzero"`
	Created      time.Time    `json:"created,omitzero"`
	Revoked      bool         `json:"revoked,omitzero"`
}

// KeyPage is the answer to a question for all keys.
type KeyPage struct {
	Keys []KeyView `json:"keys"` // by id
}

// GrantRequest is an operator's request for a grant: for the holder of Public, or for a
// new token if Public is empty.
type GrantRequest struct {
	Name         string       `json:"name"`
	Role         Role         `json:"role"`
	Public       []byte       `json:"public,omitzero"`
	Competitions []string     `json:"competitions,omitzero"`
	Types        []score.Type `json:"types,omitzero"`
	Rate         float64      `json:"rate,omitzero"`
	Expires      time.Time    `json:"expires,omitzero"`
}

// Grant returns the grant that is asked for, made at the time now, with the text of its
// token; "" for the grant of a key.
func (r *GrantRequest) Grant(now time.Time) (g *Grant, token string) {
	g = &Grant{
		Name: r.Name, Role: r.Role, Public: r.Public, Competitions: r.Competitions, Types: r.Types, Rate: r.Rate,
		Expires: r.Expires.UTC(), Created: now,
	}
	if len(g.Public) > 0 {
		g.ID = score.KeyID(g.Public)
		return g, ""
	}
	t := NewBearerToken()
	g.SetToken(t)
	return g, t.Text()
}

// GrantResponse is the answer to a GrantRequest. It is the only place that ever holds the
// token's text.
type GrantResponse struct {
	ID    string `json:"id"`
	Token string `json:"token,omitzero"`
}

// JoinTokenRequest is an operator's request for a join token.
type JoinTokenRequest struct {
	TTL  string `json:"ttl,omitzero"` // a duration such as 1h, which is the default
	Uses int    `json:"uses,omitzero"`
	Terms
}

// JoinTokenResponse is the answer to a JoinTokenRequest. It is the only place that ever
// holds the text.
type JoinTokenResponse struct {
	Token string `json:"token"`
}

// SettingRequest is an operator's request for another value of a setting.
type SettingRequest struct {
	Value string `json:"value"`
}

// SettingList is the answer to a question for the settings.
type SettingList struct {
	Settings []Setting `json:"settings"` // by name
}

// AuditPage is a part of the audit trail.
type AuditPage struct {
	Audit []AuditEntry `json:"audit"`
	Next  string       `json:"next,omitzero"` // "" at the end
}

// View returns the part of s that operators see.
func (s *State) View() View {
	v := View{
		Guarded: s.Guarded, Sworn: s.Settings.Sworn, Grants: []Grant{}, JoinTokens: []JoinTokenView{},
		Authorities: []AuthorityView{}, KeyHolders: s.KeyHolders(),
	}
	for _, g := range s.Grants {
		public := *g
		public.Hash, public.Session = nil, nil
		v.Grants = append(v.Grants, public)
	}
	slices.SortFunc(v.Grants, func(x, y Grant) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	for _, t := range s.JoinTokens {
		v.JoinTokens = append(v.JoinTokens, JoinTokenView{t.ID, t.Expires, t.Uses, t.Terms})
	}
	slices.SortFunc(v.JoinTokens, func(x, y JoinTokenView) int {
		return cmp.Or(x.Expires.Compare(y.Expires), cmp.Compare(x.ID, y.ID))
	})
	for i, der := range s.Authorities {
		v.Authorities = append(v.Authorities, AuthorityView{Fingerprint(der), i == len(s.Authorities)-1})
	}
	return v
}

// Keys returns all public keys, revoked ones too, by id.
func (s *State) Keys() []KeyView {
	list := []KeyView{}
	for _, id := range slices.Sorted(maps.Keys(s.Grants)) {
		if k, ok := s.Key(id); ok {
			list = append(list, k)
		}
	}
	return list
}

// Key returns the public key with the id. ok is false if there is none.
func (s *State) Key(id string) (k KeyView, ok bool) {
	g := s.Grants[id]
	if g == nil || len(g.Public) == 0 {
		return KeyView{}, false
	}
	return KeyView{g.ID, g.Name, g.Public, g.Competitions, g.Types, g.Expires, g.Created, g.Revoked}, true
}

// RosterView is what everybody sees of a sworn group: only public keys.
type RosterView struct {
	Sworn     bool           `json:"sworn"`
	Lineage   string         `json:"lineage,omitzero"` // of the store, which signatures name
	Founder   string         `json:"founder,omitzero"` // the fingerprint of the first operator's key
	Operators []OperatorView `json:"operators"`        // by name
	Frontends []RosterEntry  `json:"frontends"`        // by name
}

// OperatorView is an operator who signs changes.
type OperatorView struct {
	ID      string `json:"id"` // of the key
	Name    string `json:"name"`
	Public  []byte `json:"public"`
	Number  uint64 `json:"number"` // of the last change
	Revoked bool   `json:"revoked,omitzero"`
}

// RosterView returns the part of s that everybody sees.
func (s *State) RosterView() RosterView {
	v := RosterView{
		Sworn: s.Settings.Sworn, Lineage: s.Settings.Lineage, Founder: s.Founder,
		Operators: []OperatorView{}, Frontends: []RosterEntry{},
	}
	for id, o := range s.Operators {
		v.Operators = append(v.Operators, OperatorView{id, o.Name, o.Public, o.Number, o.Revoked})
	}
	slices.SortFunc(v.Operators, func(x, y OperatorView) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	for _, e := range s.Roster {
		v.Frontends = append(v.Frontends, *e)
	}
	slices.SortFunc(v.Frontends, func(x, y RosterEntry) int { return cmp.Compare(x.Name, y.Name) })
	return v
}
