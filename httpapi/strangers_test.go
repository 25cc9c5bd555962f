package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/trust/access"
)

// admit has the gate of clients admit a read over TLS from an address.
func admit(ctx context.Context, a *API, addr string, token access.BearerToken) *score.Problem {
	r := &fastpath.Request{
		Method:        "GET",
		Path:          []byte("/v1/scores"),
		Peer:          overTLS(addr),
		Authorization: []byte("Bearer " + token.Text()),
	}
	return a.admission.ClientGate().Admit(ctx, admission.PermitRead, handler.FromFastPath(ctx, r, nil))
}

func TestARightTokenIsNeverRefusedForItsNeighboursWrongOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const neighbour, wrong = "192.0.2.9", 100
		impatient, cancel := context.WithCancel(t.Context()) // waits for no new grant
		cancel()
		for _, elsewhere := range []bool{false, true} { // the master knows all grants, others wait for new ones
			g, a := newTestAPI(t, Options{})
			c := newGuardedGroup(t, g)
			g.store.change(access.SettingPrivate, "true")
			malformed, forged := access.NewBearerToken(), c.operator
			malformed.Secret, forged.Secret = "x", c.bard.Secret
			g.elsewhere.Store(elsewhere)
			refused := map[score.Code]int{}
			for i := range wrong {
				token := []access.BearerToken{access.NewBearerToken(), forged, c.revoked, c.expired, malformed}[i%5]
				problem := admit(impatient, a, neighbour, token)
				if problem == nil {
					t.Fatalf("the wrong token %v is accepted", token)
				}
				refused[problem.Code]++
				for _, right := range []access.BearerToken{c.reader, c.bard, c.operator} {
					if problem := admit(t.Context(), a, neighbour, right); problem != nil {
						t.Fatalf("a right token after %d wrong ones from its address: %v", i+1, problem)
					}
				}
			}
			if refused[score.Unauthorized] != wrong {
				t.Errorf("master elsewhere %t: the wrong tokens got %v", elsewhere, refused)
			}
			// A token of a grant that was made just now is right, too, and this frontend cannot
			// know it yet: it is not called invalid.
			g.elsewhere.Store(true)
			for range wrong {
				problem := admit(impatient, a, neighbour, access.NewBearerToken())
				if problem.Code == score.RateLimited {
					break
				}
			}
			made := access.NewBearerToken()
			if problem := admit(t.Context(), a, neighbour, made); problem == nil || problem.Code != score.RateLimited {
				t.Errorf("a token that is not known yet got %v; want %s", problem, score.RateLimited)
			}
			grant := &access.Grant{ID: made.ID, Name: "new", Role: access.RoleReader, Hash: made.Hash()}
			if err := g.ChangeAccess(t.Context(), access.Change{At: time.Now(), By: "test", Grant: grant}); err != nil {
				t.Fatal(err)
			}
			if problem := admit(t.Context(), a, neighbour, made); problem != nil {
				t.Errorf("once it is known it got %v", problem)
			}
		}
	})
}

// An address that names grants which do not exist takes few of the places for those who
// wait for a new one.
func TestAStrangersUnknownGrantsDoNotKeepOthersFromWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a := newTestAPI(t, Options{})
		c := newGuardedGroup(t, g)
		g.store.change(access.SettingPrivate, "true")
		g.elsewhere.Store(true)
		var flood sync.WaitGroup
		for i := range 200 {
			flood.Go(func() {
				if i%2 == 0 {
					_ = admit(t.Context(), a, "192.0.2.9", access.NewBearerToken())
					return
				}
				caller := &handler.Caller{Peer: overTLS("192.0.2.9")}
				e, _ := signedEvent(t, keyFor(fmt.Sprint("stranger", i)), "bard/x", 1, "x")
				_, _ = a.admission.ClientGate().AuthorizeEvents(t.Context(), caller, []score.Event{e})
			})
		}
		synctest.Wait() // some wait now, the others are refused
		if refusals(a, "unknown_grants") == 0 {
			t.Error("nothing of the flood was refused")
		}
		made := access.NewBearerToken()
		var problem *score.Problem
		var neighbour sync.WaitGroup
		neighbour.Go(func() { problem = admit(t.Context(), a, "192.0.2.10", made) })
		synctest.Wait()
		grant := &access.Grant{ID: made.ID, Name: "new", Role: access.RoleReader, Hash: made.Hash()}
		if err := g.ChangeAccess(t.Context(), access.Change{At: time.Now(), By: "test", Grant: grant}); err != nil {
			t.Fatal(err)
		}
		if neighbour.Wait(); problem != nil {
			t.Errorf("a new token beside a flood of unknown ones got %v", problem)
		}
		if problem := admit(t.Context(), a, "192.0.2.10", c.reader); problem != nil {
			t.Errorf("a token beside a flood of unknown ones got %v", problem)
		}
		flood.Wait()
	})
}

func TestEveryRouteHasARateForEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, most = 5, 1000 // most is more than an address has
		g, a := newTestAPI(t, limited(admission.Limits{
			ReadsPerAddress: rate, PostsPerAddress: rate, RequestsPerAddress: rate,
		}))
		g.keeps = true
		h := a.Handler()
		list := append(a.clientServer().routes(),
			route{method: "GET", pattern: "/v1/nothing"}, route{method: "PATCH", pattern: "/v1/scores"},
			route{method: "HEAD", pattern: "/livez"}, route{method: "POST", pattern: "/"})
		for n, rt := range list {
			path := strings.NewReplacer(
				"{contest:.+}", "OG50BC/CUR-M-GPA-01",
				"{competition}", "OG50BC",
				"{organisation:.+}", "GAU",
				"{source:.+}", "bard/cacofonix",
				"{id}", "f9",
				"{name}", "x",
				"{file}", "x.js",
			).Replace(rt.pattern)
			if rt.permit == admission.PermitWatch {
				path += "?colour=none" // refused, so that it ends
			}
			addr := fmt.Sprintf("192.0.2.%d:1", n+1)
			limited := func() bool {
				return from(h, addr, cmp.Or(rt.method, "GET"), path, "", isJSON).Code == http.StatusTooManyRequests
			}
			if !within(most, limited) {
				t.Errorf("%s %s: none of %d requests was refused for the rate of their address", rt.method, path, most)
			}
		}
		if w := from(h, "203.0.113.1:1", "GET", "/v1/scores", ""); w.Code != http.StatusOK {
			t.Errorf("another address got %d", w.Code)
		}
		for range 10 * rate {
			if w := from(h, "127.0.0.1:1", "GET", "/livez", ""); w.Code != http.StatusOK {
				t.Errorf("this machine got %d", w.Code)
			}
		}
	})
}

// within reports whether f returns true when it is called most times.
func within(most int, f func() bool) bool {
	for range most {
		if f() {
			return true
		}
	}
	return false
}

func TestRefusedRequestsHaveARateForEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, limited(admission.Limits{RequestsPerAddress: 5}))
		c := newGuardedGroup(t, a.group.Status.(*testMember))
		h := a.Handler()
		for n, header := range []string{"", bearer(access.NewBearerToken()), "Authorization: none", bearer(c.reader)} {
			addr := fmt.Sprintf("192.0.2.%d:1", n+1)
			limited := func() bool {
				r := httptest.NewRequest("GET", "/v1/access", nil)
				r.RemoteAddr, r.TLS = addr, &tls.ConnectionState{}
				if name, value, given := strings.Cut(header, ": "); given {
					r.Header.Set(name, value)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				switch w.Code {
				case http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusForbidden:
				default:
					t.Errorf("%q: got %d", header, w.Code)
				}
				return w.Code == http.StatusTooManyRequests
			}
			if !within(1000, limited) {
				t.Errorf("%q: no refused request was refused for the rate of its address", header)
			}
			for path, token := range map[string]access.BearerToken{"/v1/access": c.operator, "/v1/scores": c.reader} {
				r := httptest.NewRequest("GET", path, nil)
				r.RemoteAddr, r.TLS = addr, &tls.ConnectionState{}
				r.Header.Set("Authorization", "Bearer "+token.Text())
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Errorf("%s with a right token from there: got %d %s", path, w.Code, w.Body)
				}
			}
		}
	})
}

func TestATokenThatMayNotPostBuysNoPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, limited(admission.Limits{PostsPerAddress: 5}))
		c := newGuardedGroup(t, a.group.Status.(*testMember))
		gate := a.admission.ClientGate()
		for token, free := range map[access.BearerToken]bool{c.reader: false, c.bard: true, c.operator: true} {
			refused := func() bool {
				r := handler.FromFastPath(t.Context(), &fastpath.Request{
					Method: "POST", Path: []byte("/v1/events"), Peer: overTLS("192.0.2.9"),
					Authorization: []byte("Bearer " + token.Text()),
				}, nil)
				if problem := gate.Admit(t.Context(), admission.PermitPost, r); problem != nil {
					t.Fatal(problem)
				}
				_, problem := gate.Enter(admission.PermitPost, r)
				return problem != nil
			}
			if within(1000, refused) == free {
				t.Errorf("a post of %v was refused: %t; want %t", token, free, !free)
			}
		}
	})
}

func TestEnrolmentIsRatedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, Options{})
		newGuardedGroup(t, a.group.Status.(*testMember))
		h := a.Handler()
		const body = `{"token":"x","csr":"","member":"f1@x"}`
		limited := func() bool {
			return from(h, "192.0.2.1:1", "POST", "/v1/cluster/enroll", body, isJSON).Code == http.StatusTooManyRequests
		}
		if !within(1000, limited) {
			t.Error("no attempt was refused")
		}
		w := from(h, "192.0.2.2:1", "POST", "/v1/cluster/enroll", body, isJSON)
		if w.Code == http.StatusTooManyRequests {
			t.Errorf("a frontend at another address got %d %s", w.Code, w.Body)
		}
	})
}
