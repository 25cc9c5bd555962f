package pki

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAJoinTokenIsSentOnlyToItsGroup(t *testing.T) {
	w := newTestGroup(t)
	token := NewJoinToken(w.first.IssuedBy())
	told := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		told++
		var e EnrollRequest
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil || e.Token != token.Text() {
			rw.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(rw).Encode(map[string]string{"code": "unauthorized", "detail": "no"})
			return
		}
		request, member, err := ParseRequest(e.CSR)
		if err != nil {
			t.Error(err)
		}
		issued, err := w.authority().Issue(request.PublicKey, Holder{Member: member, Role: Joiner}, w.at)
		if err != nil {
			t.Error(err)
		}
		json.NewEncoder(rw).Encode(issued)
	}))
	server.TLS = w.first.PublicConfig(nil, func(string) bool { return false })
	server.StartTLS()
	defer server.Close()
	o := w.options("f2@two")
	key, csr, err := NewRequest(o.Member, o.Hosts)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := Enroll(context.Background(), server.URL, token, o, csr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewIdentity(o, key, issued); err != nil {
		t.Fatal(err)
	}
	wrong := token
	wrong.Fingerprint = strings.Repeat("a", 64)
	if _, err = Enroll(context.Background(), server.URL, wrong, o, csr); !errors.Is(err, errPinned) || told != 1 {
		t.Errorf("another group's token: %v, told %d times", err, told)
	}
	bad := NewJoinToken(w.first.IssuedBy())
	_, err = Enroll(context.Background(), server.URL, bad, o, csr)
	e, ok := errors.AsType[*EnrollError](err)
	if !ok || e.Status != http.StatusUnauthorized || e.Temporary() || strings.Contains(err.Error(), bad.Secret) {
		t.Errorf("a bad token: %v", err)
	}
}
