package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/trust/access"
)

func TestPeerPortTrustsCallerHeaderOnlyForMembers(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	c := newGuardedGroup(t, g)
	s := serve(t, a, a.ForwardedHandler())
	member := `{"id":"f4","peer":"127.0.0.1:9004","url":"http://127.0.0.1:8004"}`
	for name, one := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"transfer by nobody": {"POST", "/v1/cluster/transfer", "", []string{admission.CallerHeader + ": -"},
			401},
		"transfer by a member": {"POST", "/v1/cluster/transfer", "", nil, 401},
		"transfer by an operator": {"POST", "/v1/cluster/transfer", "",
			[]string{admission.CallerHeader + ": -", bearer(c.operator)}, 200},
		"join by itself": {"POST", "/v1/cluster/members", member, []string{isJSON}, 200},
		"join by its certificate": {"POST", "/v1/cluster/members", member,
			[]string{isJSON, admission.CallerHeader + ": f4@abc"}, 200},
		"join by another's": {"POST", "/v1/cluster/members", member,
			[]string{isJSON, admission.CallerHeader + ": f5@abc"}, 403},
		"join by nobody": {"POST", "/v1/cluster/members", member,
			[]string{isJSON, admission.CallerHeader + ": -"}, 401},
		"a question that was let pass": {"GET", "/v1/scores", "", []string{admission.CallerHeader + ": -"}, 200},
	} {
		if got := ask(t, s, one.method, one.path, one.body, one.headers...); got.StatusCode != one.status {
			t.Errorf("%s: got %d %s; want %d", name, got.StatusCode, got.body, one.status)
		}
	}
	// The port of clients ignores the header.
	client := serve(t, a, a.Handler())
	if got := ask(t, client, "POST", "/v1/cluster/members", member, isJSON,
		admission.CallerHeader+": f4@abc"); got.StatusCode != 401 {
		t.Errorf("a client that says it is a member: got %d", got.StatusCode)
	}
}

func TestForwardedRequestNamesItsCaller(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	c := newGuardedGroup(t, g)
	g.elsewhere = true
	var said []string
	g.forward = func(w http.ResponseWriter, r *http.Request) error {
		said = append(said, r.Header.Get(admission.CallerHeader)+" "+r.Header.Get("Authorization"))
		writeBody(w, handler.TypeJSON, []byte("{}\n"))
		return nil
	}
	s := serve(t, a, a.Handler())
	ask(t, s, "POST", "/v1/cluster/transfer", "", bearer(c.operator), admission.CallerHeader+": f1@lie")
	if want := []string{"- Bearer " + c.operator.Text()}; !slices.Equal(said, want) {
		t.Errorf("got %q; want %q", said, want)
	}
}

func TestCertificateOfARemovedMemberIsIgnored(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	newGuardedGroup(t, g)
	certificate := &x509.Certificate{URIs: []*url.URL{{Scheme: "laurel", Host: "member", Path: "/f4/abc"}}}
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
