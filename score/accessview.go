package score

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// AccessView is what operators are shown of an Access: all but the hashes of secrets.
type AccessView struct {
	Guarded     bool            `json:"guarded"`
	Grants      []Grant         `json:"grants"`      // by name
	JoinTokens  []JoinTokenView `json:"join_tokens"` // the first to be over first
	Authorities []AuthorityView `json:"authorities"` // the one that issues last
}

// JoinTokenView is a join token without what it is checked by.
type JoinTokenView struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"`
}

// AuthorityView is a certificate authority whose members are trusted.
type AuthorityView struct {
	Fingerprint string `json:"fingerprint"`
	Issues      bool   `json:"issues"` // the certificates of those who join or renew theirs
}

// KeyView is the public key of a bard, by which anybody can check what it signed, and what it may post.
type KeyView struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Public       []byte    `json:"public"`
	Competitions []string  `json:"competitions,omitzero"`
	Types        []Type    `json:"types,omitzero"`
	Expires      time.Time `json:"expires,omitzero"`
	Created      time.Time `json:"created,omitzero"`
	Revoked      bool      `json:"revoked,omitzero"`
}

// NewGrant is what an operator asks for: a right for the holder of a key, or, without one, of a token that is made for it.
type NewGrant struct {
	Name         string    `json:"name"`
	Role         Role      `json:"role"`
	Public       []byte    `json:"public,omitzero"`
	Competitions []string  `json:"competitions,omitzero"`
	Types        []Type    `json:"types,omitzero"`
	Rate         float64   `json:"rate,omitzero"`
	Expires      time.Time `json:"expires,omitzero"`
}

// Granted is the answer to a NewGrant. The text of a token is in it, and nowhere else ever after.
type Granted struct {
	ID    string `json:"id"`
	Token string `json:"token,omitzero"`
}

// NewJoinToken is what an operator asks for so that frontends can join.
type NewJoinToken struct {
	TTL  string `json:"ttl,omitzero"` // how long it lasts, such as 1h; an hour if left out
	Uses int    `json:"uses,omitzero"`
}

// JoinTokenMade is the answer. The text is in it, and nowhere else ever after.
type JoinTokenMade struct {
	Token string `json:"token"`
}

// AuditPage is a part of the trail.
type AuditPage struct {
	Audit []Audit `json:"audit"`
	Next  string  `json:"next,omitzero"` // "" at the end
}

// View is what operators are shown.
func (a *Access) View() AccessView {
	v := AccessView{Guarded: a.Guarded, Grants: []Grant{}, JoinTokens: []JoinTokenView{}, Authorities: []AuthorityView{}}
	for _, g := range a.Grants {
		shown := *g
		shown.Hash = nil
		v.Grants = append(v.Grants, shown)
	}
	slices.SortFunc(v.Grants, func(x, y Grant) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	for _, t := range a.JoinTokens {
		v.JoinTokens = append(v.JoinTokens, JoinTokenView{t.ID, t.Expires, t.Uses})
	}
	slices.SortFunc(v.JoinTokens, func(x, y JoinTokenView) int { return cmp.Or(x.Expires.Compare(y.Expires), cmp.Compare(x.ID, y.ID)) })
	for i, der := range a.Authorities {
		v.Authorities = append(v.Authorities, AuthorityView{Fingerprint(der), i == len(a.Authorities)-1})
	}
	return v
}

// Keys are the public keys of all who may post or might once, by id.
func (a *Access) Keys() []KeyView {
	list := []KeyView{}
	for _, id := range slices.Sorted(maps.Keys(a.Grants)) {
		if k, ok := a.Key(id); ok {
			list = append(list, k)
		}
	}
	return list
}

// Key is the public key of that id.
func (a *Access) Key(id string) (k KeyView, ok bool) {
	g := a.Grants[id]
	if g == nil || len(g.Public) == 0 {
		return KeyView{}, false
	}
	return KeyView{g.ID, g.Name, g.Public, g.Competitions, g.Types, g.Expires, g.Created, g.Revoked}, true
}
