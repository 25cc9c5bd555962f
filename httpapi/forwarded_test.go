package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

func TestPeerPortTrustsCallerHeaderOnlyForMembers(t *testing.T) {
	g, a := newTestAPI(t, Options{Options: admission.Options{
		Sender: func(context.Context) string { return "f2@xyz" },
	}})
	c := newGuardedGroup(t, g)
	s := serve(t, a, a.ForwardedHandler())
	member := `{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004"}`
	for name, one := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"transfer by nobody": {"POST", "/v1/cluster/transfer", "", []string{access.CallerHeader + ": -"},
			401},
		"transfer by a member": {"POST", "/v1/cluster/transfer", "", []string{access.CallerHeader + ": f2@xyz"}, 401},
		"transfer by an operator": {"POST", "/v1/cluster/transfer", "",
			[]string{access.CallerHeader + ": -", bearer(c.operator)}, 200},
		"join by itself": {"POST", "/v1/cluster/members", strings.Replace(member, "f4", "f2", 1),
			[]string{isJSON}, 200},
		"join of another, by itself": {"POST", "/v1/cluster/members", member, []string{isJSON}, 403},
		"leave by itself":            {"DELETE", "/v1/cluster/members/f2?force=true", "", nil, 200},
		"leave of another":           {"DELETE", "/v1/cluster/members/f4", "", nil, 403},
		"leave by itself, as another one says": {"DELETE", "/v1/cluster/members/f4?force=true", "",
			[]string{access.CallerHeader + ": f4@abc"}, 401},
		"leave by nobody": {"DELETE", "/v1/cluster/members/f2", "",
			[]string{access.CallerHeader + ": -"}, 401},
		"leave by an operator": {"DELETE", "/v1/cluster/members/f4", "",
			[]string{access.CallerHeader + ": -", bearer(c.operator)}, 200},
		"join by its certificate": {"POST", "/v1/cluster/members", member,
			[]string{isJSON, access.CallerHeader + ": f4@abc"}, 200},
		"join by another's": {"POST", "/v1/cluster/members", member,
			[]string{isJSON, access.CallerHeader + ": f5@abc"}, 403},
		"join by nobody": {"POST", "/v1/cluster/members", member,
			[]string{isJSON, access.CallerHeader + ": -"}, 401},
		"a question that was let pass": {"GET", "/v1/scores", "", []string{access.CallerHeader + ": -"}, 200},
	} {
		if got := ask(t, s, one.method, one.path, one.body, one.headers...); got.StatusCode != one.status {
			t.Errorf("%s: got %d %s; want %d", name, got.StatusCode, got.body, one.status)
		}
	}
	// The port of clients ignores the header.
	client := serve(t, a, a.Handler())
	if got := ask(t, client, "POST", "/v1/cluster/members", member, isJSON,
		access.CallerHeader+": f4@abc"); got.StatusCode != 401 {
		t.Errorf("a client that says it is a member: got %d", got.StatusCode)
	}
}

func TestAForwardedRequestWithoutACallerIsRefused(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	c := newGuardedGroup(t, g)
	s := serve(t, a, a.ForwardedHandler())
	member := `{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004"}`
	caller := access.CallerHeader + ": "
	for name, one := range map[string]struct {
		method, path, body string
		headers            []string
	}{
		"read":                 {"GET", "/v1/scores", "", nil},
		"state of the process": {"GET", "/livez", "", nil},
		"unknown path":         {"GET", "/v3", "", nil},
		"post by token":        {"POST", "/v1/events", alert("a", ""), []string{isJSON, bearer(c.bard)}},
		"operator's change":    {"POST", "/v1/cluster/transfer", "", []string{bearer(c.operator)}},
		"operator's question":  {"GET", "/v1/audit", "", []string{bearer(c.operator)}},
		"join, empty":          {"POST", "/v1/cluster/members", member, []string{isJSON, caller}},
		"join, list":           {"POST", "/v1/cluster/members", member, []string{isJSON, caller + "-, f4@a"}},
		"join, any member":     {"POST", "/v1/cluster/members", member, []string{isJSON, caller + handler.AnyMember}},
		"join, no instance":    {"POST", "/v1/cluster/members", member, []string{isJSON, caller + "f4"}},
	} {
		if got := ask(t, s, one.method, one.path, one.body, one.headers...); got.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d %s; want 403", name, got.StatusCode, got.body)
		}
	}
	twice := httptest.NewRequest("POST", "/v1/cluster/members", strings.NewReader(member))
	twice.Header = http.Header{"Content-Type": {handler.TypeJSON}, access.CallerHeader: {"f4@abc", access.NoMember}}
	w := httptest.NewRecorder()
	if a.ForwardedHandler().ServeHTTP(w, twice); w.Code != http.StatusForbidden {
		t.Errorf("join, twice: got %d %s; want 403", w.Code, w.Body)
	}
	if len(g.members) > 0 || len(g.events()) > 0 {
		t.Errorf("refused requests had effects: %v, %d events", g.members, len(g.events()))
	}
}

func TestForwardedRequestHasTheCallersToken(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	c := newGuardedGroup(t, g)
	g.elsewhere.Store(true)
	var got string
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		got = r.Header.Get("Authorization")
		writeBody(w, handler.TypeJSON, []byte("{}\n"))
		return nil
	}
	s := serve(t, a, a.Handler())
	ask(t, s, "POST", "/v1/cluster/transfer", "", bearer(c.operator), access.CallerHeader+": f1@lie")
	if want := "Bearer " + c.operator.Text(); got != want || g.forwardedFor != "" {
		t.Errorf("got %q, for %q", got, g.forwardedFor)
	}
}

func TestCertificateOfARemovedMemberIsIgnored(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	newGuardedGroup(t, g)
	certificate := &x509.Certificate{
		Subject: pkix.Name{OrganizationalUnit: []string{"voter"}},
		URIs:    []*url.URL{{Scheme: "laurel", Host: "member", Path: "/f4/abc"}},
	}
	peer := &fastpath.Peer{TLS: &tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}}}
	member := func() string {
		r := handler.FromFastPath(t.Context(), &fastpath.Request{Method: "GET", Peer: peer}, nil)
		if problem := a.admission.ClientGate().Admit(t.Context(), admission.PermitPost, r); problem != nil {
			t.Fatal(problem)
		}
		return r.Caller.Member
	}
	if got := member(); got != "f4@abc" {
		t.Fatalf("the certificate is that of %q", got)
	}
	if err := g.ChangeAccess(t.Context(), access.Change{At: time.Now(), By: "f1", RemoveMember: "f4@abc"}); err != nil {
		t.Fatal(err)
	}
	if got := member(); got != "" {
		t.Errorf("after its removal the certificate is that of %q", got)
	}
}

// The master asks for the secret, so it must come with the post, whichever way that takes.
func TestPostHasTheSecretOfItsToken(t *testing.T) {
	for _, hot := range []bool{true, false} {
		w := newWay(t, hot)
		c := newGuardedGroup(t, w.group)
		var got []string
		w.group.post = func(p score.Post) ([]score.Result, error) {
			got = append(got, string(p.Secret)+" "+p.Events[0].Token)
			return resultsOf(p), nil
		}
		own := c.bard.Secret + " " + c.bard.ID
		for _, one := range []struct {
			media, token, want string
		}{
			{handler.TypeJSON, bearer(c.bard), own},
			{handler.TypeNDJSON, bearer(c.bard), own},
			{handler.TypeJSON, bearer(c.operator), c.operator.Secret + " " + c.operator.ID},
		} {
			got = nil
			body := alert("a", "")
			raw := "POST /v1/events HTTP/1.1\r\nHost: x\r\n" + one.token + "\r\n" +
				fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", one.media, len(body), body)
			answer, _ := w.send(t, raw, 1)
			if !strings.Contains(answer, score.Applied) || !slices.Equal(got, []string{one.want}) {
				t.Errorf("fast path %t, %s: got %s, posted %q; want %q", hot, one.media, answer, got, one.want)
			}
		}
	}
}
