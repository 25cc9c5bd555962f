package httpapi

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"laurel/score"
	"laurel/trust/access"
)

// frontends is the group as this frontend sees it; it asks nobody.
func (p *port) frontends(w http.ResponseWriter, r *http.Request) error {
	if err := knownOnly(r); err != nil {
		return err
	}
	return p.sayFrontends(w, r)
}

func (p *port) sayFrontends(w http.ResponseWriter, r *http.Request) error {
	f := p.group.Frontends()
	return say(w, r, f, func(b *bytes.Buffer) { frontendsText(b, f) })
}

func frontendsText(b *bytes.Buffer, f score.Frontends) {
	master := "there is no master"
	if f.Master != "" {
		master = "the master is " + plain(f.Master)
	}
	fmt.Fprintf(b, "mode %s, epoch %d, %s\n\n", plain(string(f.Mode)), f.Epoch, master)
	t := newTable(b, "ID", "URL", "PEER", "ROLE", "STATE", "LEASE", "PUSHED", "RELEASED", "REVISION", "WATCHERS")
	for _, m := range f.Frontends {
		role := "non-voter"
		switch {
		case m.Master:
			role = "master"
		case m.Voter:
			role = "voter"
		}
		lease := "-"
		if m.Leased {
			lease = strconv.FormatInt(m.LeaseMS, 10) + " ms"
		}
		t.row(m.ID, m.URL, m.Peer, role, m.State, lease, decimalOf(m.Pushed), decimalOf(m.Released), decimalOf(m.Revision), strconv.Itoa(m.Watchers))
	}
	t.end()
}

// atMaster has h answer at the master, wherever that is.
func (p *port) atMaster(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !p.group.Master() {
			return p.forward(w, r)
		}
		return h(w, r)
	}
}

// join adds a member, or changes what is known of one. It answers with the group, as leave and transfer do.
func (p *port) join(w http.ResponseWriter, r *http.Request) error {
	m := score.NewMember{Voter: true}
	if err := p.decodeBody(w, r, &m, required); err != nil {
		return err
	}
	if !score.ValidPath(m.ID) {
		return fieldProblem("id", "got %s; want letters, digits and ._~-", quoted(m.ID))
	}
	switch {
	case m.Peer == "":
		return fieldProblem("peer", "missing; want the host:port where the other members reach it")
	case !isAddress(m.Peer): // or it could be taken in, and the trail could not say so
		return fieldProblem("peer", "got %s; want the host:port where the other members reach it", quoted(m.Peer))
	}
	if u, err := url.Parse(m.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fieldProblem("url", "got %s; want where clients reach it, such as http://127.0.0.1:8001", quoted(m.URL))
	}
	who := callerOf(r)
	if problem := mayJoin(who, m); problem != nil {
		return p.refuse(refusedRole, problem)
	}
	if err := p.group.Join(r.Context(), m); err != nil {
		return err
	}
	if err := p.note(r, "took in %s at %s, voter %t", m.ID, m.Peer, m.Voter); err != nil {
		return err
	}
	return p.sayFrontends(w, r)
}

// isAddress tells whether s may be an address: plain characters, and not many.
func isAddress(s string) bool {
	const longest = 255 + len(":65535") // of a host's name, and a port
	return len(s) <= longest && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// mayJoin says why the caller may not say this of a member. A member may only speak of itself.
func mayJoin(who *caller, m score.NewMember) *score.Problem {
	if who.covers(access.RoleOperator) || who.member == anyMember {
		return nil
	}
	id, instance, _ := strings.Cut(who.member, "@")
	if id == m.ID && (m.Instance == "" || instance == m.Instance) {
		return nil
	}
	return score.Problemf(score.Forbidden, "the certificate is that of %s, which lets %s join and nobody else", quoted(who.member), quoted(id))
}

// note puts what is done to the group into the trail.
func (p *port) note(r *http.Request, format string, args ...any) error {
	note := fmt.Sprintf(format, args...)
	return p.group.ChangeAccess(r.Context(), access.Change{At: time.Now().UTC(), By: callerOf(r).name(), Note: note[:min(len(note), maxNote)]})
}

// maxNote is less than what the store takes.
const maxNote = 512

// leave takes a member out of the group.
func (p *port) leave(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r.URL.RawQuery, "force")
	if err != nil {
		return err
	}
	force := false
	if q.Has("force") {
		given := q.Get("force")
		if force, err = strconv.ParseBool(given); err != nil && given != "" {
			return fieldProblem("force", "got %s; want true or false", quoted(given))
		}
		force = force || given == ""
	}
	id := mux.Vars(r)["id"]
	if !score.ValidPath(id) {
		return fieldProblem("id", "got %s; want letters, digits and ._~-", quoted(id))
	}
	// It is noted before it is done, as is a transfer: afterwards this may not be the master any more.
	if err := p.note(r, "asked %s to leave, by force %t", id, force); err != nil {
		return err
	}
	if err := p.group.Leave(r.Context(), id, force); err != nil {
		return err
	}
	return p.sayFrontends(w, r)
}

// transfer makes another frontend the master.
func (p *port) transfer(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		To string `json:"to"`
	}
	if err := p.decodeBody(w, r, &body, optional); err != nil {
		return err
	}
	if body.To != "" && !score.ValidPath(body.To) {
		return fieldProblem("to", "got %s; want the id of a frontend", quoted(body.To))
	}
	if err := p.note(r, "asked to hand the mastership to %s", cmp.Or(body.To, "any other")); err != nil {
		return err
	}
	if err := p.group.Transfer(r.Context(), body.To); err != nil {
		return err
	}
	return p.sayFrontends(w, r)
}

// setCacheMode switches the whole group between push and pull.
func (p *port) setCacheMode(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Mode score.CacheMode `json:"mode"`
	}
	if err := p.decodeBody(w, r, &body, required); err != nil {
		return err
	}
	if body.Mode != score.Push && body.Mode != score.Pull {
		return fieldProblem("mode", "got %s; want %s or %s", quoted(string(body.Mode)), score.Push, score.Pull)
	}
	if err := p.group.SetCacheMode(r.Context(), body.Mode); err != nil {
		return err
	}
	if err := p.note(r, "set the mode to %s", body.Mode); err != nil {
		return err
	}
	return p.sayFrontends(w, r)
}
