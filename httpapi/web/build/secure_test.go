package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/security"
	"github.com/go-json-experiment/json"

	"laurel/cluster"
	"laurel/internal/frontend"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// secureSite is a group of frontends with certificates in this process.
type secureSite struct {
	t                testing.TB
	private          bool
	public           string // the URL of all frontends; "" if each has its own
	frontends        []*secureFrontend
	operator, reader access.BearerToken
}

type secureFrontend struct {
	id, dir, http, peer, url string
	identity                 *pki.Identity
	running                  *frontend.Frontend // nil while it is down
}

// newSecureSite starts a group of n frontends.
func newSecureSite(t testing.TB, n int, private bool, public string) *secureSite {
	t.Helper()
	needBrowser(t)
	s := &secureSite{
		t: t, private: private, public: public,
		operator: access.NewBearerToken(), reader: access.NewBearerToken(),
	}
	for i := range n {
		f := &secureFrontend{id: fmt.Sprint("f", i+1), dir: t.TempDir(), http: "127.0.0.1:0", peer: "127.0.0.1:0"}
		member, err := cluster.ServerID(f.dir, f.id)
		if err != nil {
			t.Fatal(err)
		}
		o := pki.Options{Dir: filepath.Join(f.dir, "trust"), Member: member, Hosts: []string{"127.0.0.1", "localhost"}}
		if i == 0 {
			f.identity, err = pki.Bootstrap(o)
		} else {
			f.identity, err = s.enroll(o)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.frontends = append(s.frontends, f)
		s.start(i)
		if i == 0 {
			s.grant("caesar", access.RoleOperator, s.operator)
			s.grant("press", access.RoleReader, s.reader)
		}
	}
	return s
}

func (s *secureSite) URL(i int) string { return s.frontends[i].url }

// start starts frontend i, again after kill, and waits until it is ready.
func (s *secureSite) start(i int) {
	s.t.Helper()
	f := s.frontends[i]
	o := cluster.Options{
		ID: f.id, Dir: f.dir, Peer: f.peer, URL: s.public, Identity: f.identity, Guarded: true,
		Bootstrap: i == 0, Private: i == 0 && s.private, Logger: slog.New(slog.DiscardHandler),
	}
	if i > 0 {
		o.Join = []string{s.URL(0)}
	}
	options := frontend.Options{HTTP: f.http, Member: o}
	options.API.Limits.LateDelay = time.Hour // a busy machine refuses nothing
	var running *frontend.Frontend
	var err error
	eventually(s.t, f.id+" starts", func() bool { // for a moment another process may have its port
		running, err = frontend.Start(options)
		return !errors.Is(err, syscall.EADDRINUSE)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	f.running, f.http, f.peer = running, running.Addr(), running.Member().Peer()
	f.url = "https://" + f.http
	s.t.Cleanup(func() { s.kill(i) })
	eventually(s.t, f.id+" is ready", func() bool { return running.Member().Ready(s.t.Context()) == nil })
}

// kill ends frontend i as the death of its process would.
func (s *secureSite) kill(i int) {
	if f := s.frontends[i]; f.running != nil {
		_ = f.running.Kill() // an error changes nothing
		f.running = nil
	}
}

// change changes the access control.
func (s *secureSite) change(c access.Change) {
	s.t.Helper()
	c.At, c.By = time.Now().UTC(), "test"
	eventually(s.t, "the change is made", func() bool {
		for _, f := range s.frontends {
			if f.running == nil {
				continue
			}
			err := f.running.Member().ChangeAccess(s.t.Context(), c)
			// What is revoked already was revoked by a try of which nobody has heard the outcome.
			if err == nil || c.Revoke != "" && score.CodeOf(err) == score.StatusConflict {
				return true
			}
		}
		return false
	})
}

func (s *secureSite) grant(name string, role access.Role, token access.BearerToken) {
	s.t.Helper()
	g := &access.Grant{Name: name, Role: role}
	g.SetToken(token)
	s.change(access.Change{Grant: g})
}

// request sends a request of the operator to frontend i. It is on this machine.
func (s *secureSite) request(i int, path, body string) (answer []byte, status int) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.frontends[i].http+path,
		strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+s.operator.Text())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, 0
	}
	defer res.Body.Close()
	answer, _ = io.ReadAll(res.Body) // cut off, it is no JSON
	return answer, res.StatusCode
}

// watch opens n streams of the operator at frontend i, until the end of the test.
func (s *secureSite) watch(i, n int) {
	s.t.Helper()
	for range n {
		answer := s.get(i, "/v1/watch?moved=1")
		s.t.Cleanup(func() { answer.Body.Close() })
	}
}

// unauthorized returns how many requests without a token frontend i has refused.
func (s *secureSite) unauthorized(i int) string {
	s.t.Helper()
	answer := s.get(i, "/metrics")
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), `laurel_http_refused_total{reason="no_token"} `)
	n, _, _ := strings.Cut(after, "\n")
	return n
}

// get sends a request of the operator, on this machine, to frontend i.
func (s *secureSite) get(i int, path string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.frontends[i].http+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.operator.Text())
	var answer *http.Response
	eventually(s.t, "GET "+path+" at "+s.frontends[i].id, func() bool {
		if answer, err = http.DefaultClient.Do(r); err != nil {
			return false
		}
		if answer.StatusCode == http.StatusOK {
			return true
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable { // it has no lease for a moment
			s.t.Fatalf("GET %s at %s: %s", path, s.frontends[i].id, answer.Status)
		}
		return false
	})
	return answer
}

// enroll gets a certificate with a join token, also if the group has no master for a moment,
// or does not answer in time.
func (s *secureSite) enroll(o pki.Options) (identity *pki.Identity, err error) {
	s.t.Helper()
	eventually(s.t, "a certificate for "+o.Member, func() bool {
		identity, err = s.tryEnroll(o)
		refused, answered := errors.AsType[*pki.EnrollError](err)
		return err == nil || answered && refused.Status != 0 && !refused.Temporary()
	})
	return identity, err
}

func (s *secureSite) tryEnroll(o pki.Options) (*pki.Identity, error) {
	var made access.JoinTokenResponse
	if answer, status := s.request(0, "/v1/cluster/tokens", ""); status != http.StatusOK {
		return nil, &pki.EnrollError{URL: s.URL(0), Status: status, Detail: string(answer)}
	} else if err := json.Unmarshal(answer, &made); err != nil {
		return nil, err
	}
	token, err := pki.ParseJoinToken(made.Token)
	if err != nil {
		return nil, err
	}
	key, csr, err := pki.NewRequest(o.Member, o.Hosts)
	if err != nil {
		return nil, err
	}
	issued, err := pki.Enroll(s.t.Context(), s.URL(0), token, o, csr)
	if err != nil {
		return nil, err
	}
	return pki.NewIdentity(o, key, issued)
}

// Post posts events, each a line of JSON, by any frontend.
func (s *secureSite) Post(events ...string) {
	s.t.Helper()
	body := arrayOf(events)
	eventually(s.t, "the post is accepted", func() bool {
		for i, f := range s.frontends {
			if f.running != nil {
				if _, status := s.request(i, "/v1/events", body); status == http.StatusOK {
					return true
				}
			}
		}
		return false
	})
}

// spki returns the hash of the public key of frontend i, by which a browser can be told to
// trust its certificate.
func (s *secureSite) spki(i int) string {
	s.t.Helper()
	certificate, err := x509.ParseCertificate(s.frontends[i].identity.Certificate().Certificate[0])
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// trustsAll has a tab accept all certificates.
func (b *tab) trustsAll() *tab {
	b.t.Helper()
	b.run(command(security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true}))
	return b
}

const signInForm = `document.querySelector('form input[name=token]')`

// signIn fills in the form to sign in.
func (b *tab) signIn(token string) {
	b.t.Helper()
	b.until("the form to sign in", signInForm)
	b.do(`document.querySelector('input[name=token]').value = '` + token + `'; document.querySelector('form button').click()`)
}
