package httpapi

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"laurel/cache/queries"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// access is who may do what.
func (p *port) access(w http.ResponseWriter, r *http.Request) error {
	if err := knownOnly(r); err != nil {
		return err
	}
	return p.sayAccess(w, r)
}

func (p *port) sayAccess(w http.ResponseWriter, r *http.Request) error {
	view := p.group.Access().View()
	return say(w, r, view, func(b *bytes.Buffer) { accessText(b, view) })
}

func accessText(b *bytes.Buffer, v access.View) {
	if v.Guarded {
		b.WriteString("events must be signed, or come with a token\n\n")
	} else {
		b.WriteString("the store is open: anybody may do anything\n\n")
	}
	t := newTable(b, "ID", "NAME", "ROLE", "BY", "COMPETITIONS", "TYPES", "RATE", "EXPIRES", "STATE")
	for _, g := range v.Grants {
		by, types, rate := "token", make([]string, len(g.Types)), "-"
		if len(g.Public) > 0 {
			by = "key"
		}
		for i := range g.Types {
			types[i] = string(g.Types[i])
		}
		if g.Rate > 0 {
			rate = strconv.FormatFloat(g.Rate, 'g', -1, 64) + "/s"
		}
		state := "good"
		switch {
		case g.Revoked:
			state = "revoked"
		case expired(&g):
			state = "expired"
		}
		t.row(g.ID, g.Name, string(g.Role), by, cmp.Or(strings.Join(g.Competitions, " "), "any"), cmp.Or(strings.Join(types, " "), "any"), rate, momentOf(g.Expires), state)
	}
	t.end()
	if len(v.JoinTokens) > 0 {
		b.WriteString("\n")
		t := newTable(b, "JOIN TOKEN", "USES LEFT", "EXPIRES")
		for _, j := range v.JoinTokens {
			t.row(j.ID, strconv.Itoa(j.Uses), momentOf(j.Expires))
		}
		t.end()
	}
	if len(v.Authorities) > 0 {
		b.WriteString("\n")
		t := newTable(b, "AUTHORITY", "ISSUES")
		for _, a := range v.Authorities {
			issues := "no more"
			if a.Issues {
				issues = "now"
			}
			t.row(a.Fingerprint, issues)
		}
		t.end()
	}
}

// momentOf is a time for people; "-" for none.
func momentOf(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// newGrant gives a right. Where no key is named it makes a token and shows it, once.
func (p *port) newGrant(w http.ResponseWriter, r *http.Request) error {
	var asked access.GrantRequest
	if err := p.decodeBody(w, r, &asked, required); err != nil {
		return err
	}
	now := time.Now().UTC()
	if !asked.Expires.IsZero() && asked.Expires.Before(now) {
		return fieldProblem("expires", "%s has passed; want a time to come, or none", momentOf(asked.Expires))
	}
	g := access.Grant{Name: asked.Name, Role: asked.Role, Public: asked.Public, Competitions: asked.Competitions, Types: asked.Types,
		Rate: asked.Rate, Expires: asked.Expires.UTC(), Created: now}
	token := pki.NewBearerToken()
	answer := access.GrantResponse{ID: token.ID}
	if len(g.Public) > 0 {
		answer.ID = score.KeyID(g.Public)
	} else {
		g.Hash, answer.Token = token.Hash(), token.Text()
	}
	g.ID = answer.ID
	if err := p.changeAccess(r, access.Change{Grant: &g}); err != nil {
		return err
	}
	return say(w, r, answer, func(b *bytes.Buffer) {
		b.WriteString(answer.ID + "\n")
		if answer.Token != "" {
			b.WriteString(answer.Token + "\n")
		}
	})
}

// changeAccess has the change made in the name of the caller.
func (p *port) changeAccess(r *http.Request, c access.Change) error {
	c.At, c.By = time.Now().UTC(), callerOf(r).name()
	return p.group.ChangeAccess(r.Context(), c)
}

// revoke takes a right, or a join token, back.
func (p *port) revoke(w http.ResponseWriter, r *http.Request) error {
	if err := knownOnly(r); err != nil {
		return err
	}
	if err := p.changeAccess(r, access.Change{Revoke: mux.Vars(r)["id"]}); err != nil {
		return err
	}
	return p.sayAccess(w, r)
}

// audit is a part of the trail.
func (p *port) audit(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r.URL.RawQuery, "after", "limit")
	if err != nil {
		return err
	}
	limit, err := pageSize(q)
	if err != nil {
		return err
	}
	var after uint64
	if given := q.Get("after"); given != "" {
		if after, err = strconv.ParseUint(given, 10, 64); err != nil {
			return fieldProblem("after", "got %s; want the number of a line", quoted(given))
		}
	}
	var list []access.AuditEntry
	var next uint64
	// This is the master, so nothing is behind; and what another has committed meanwhile is not yet part of any trail.
	_, _, err = p.group.Stale(func(v queries.View) (err error) {
		list, next, err = v.Audit(after, limit)
		return err
	})
	if err != nil {
		return err
	}
	page := access.AuditPage{Audit: list}
	if page.Audit == nil {
		page.Audit = []access.AuditEntry{}
	}
	if next > 0 {
		page.Next = decimalOf(next)
	}
	return say(w, r, page, func(b *bytes.Buffer) {
		t := newTable(b, "NUMBER", "AT", "BY", "WHAT")
		for _, line := range page.Audit {
			t.row(decimalOf(line.Number), momentOf(line.At), line.By, line.What)
		}
		t.end()
		if page.Next != "" {
			b.WriteString("\nmore: after=" + page.Next + "\n")
		}
	})
}

// keyPage is the answer to a question for all keys.
type keyPage struct {
	Keys []access.KeyView `json:"keys"`
}

// keyList is the public keys of the bards, by which anybody can check what they signed. A new one is here a moment after the master has it.
func (p *port) keyList(w http.ResponseWriter, r *http.Request) error {
	if err := knownOnly(r); err != nil {
		return err
	}
	page := keyPage{p.group.Access().Keys()}
	return say(w, r, page, func(b *bytes.Buffer) { keysText(b, page.Keys) })
}

func (p *port) oneKey(w http.ResponseWriter, r *http.Request) error {
	if err := knownOnly(r); err != nil {
		return err
	}
	id := mux.Vars(r)["id"]
	key, ok := p.group.Access().Key(id)
	if !ok {
		return score.Problemf(score.NotFound, "there is no key %s; GET /v1/keys lists them", quoted(id))
	}
	return say(w, r, key, func(b *bytes.Buffer) { keysText(b, []access.KeyView{key}) })
}

func keysText(b *bytes.Buffer, keys []access.KeyView) {
	t := newTable(b, "ID", "NAME", "PUBLIC", "STATE")
	for _, k := range keys {
		state := "good"
		if k.Revoked {
			state = "revoked"
		}
		t.row(k.ID, k.Name, base64.StdEncoding.EncodeToString(k.Public), state)
	}
	t.end()
}
