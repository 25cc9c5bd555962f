package httpapi

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/trust/access"
)

// behindProxies returns the options of an API that trusts 192.0.2.0/24 and this machine.
func behindProxies(l admission.Limits) Options {
	l.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")}
	return limited(l)
}

func TestAProxyThatEndsTLSMayCarryTokens(t *testing.T) {
	g, a := newTestAPI(t, behindProxies(admission.Limits{}))
	c := newGuardedGroup(t, g)
	const https, inClear = "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"
	client := func(list string) string { return "X-Forwarded-For: " + list }
	const proxy, stranger, near = "192.0.2.9:1", "198.51.100.7:1", "127.0.0.1:1"
	for _, one := range []struct {
		name, from string
		headers    []string
		want       int
	}{
		{"a proxy that ends TLS", proxy, []string{https, client("198.51.100.7")}, 200},
		{"without the client's address", proxy, []string{https}, 200},
		{"in capitals", proxy, []string{"X-Forwarded-Proto: HTTPS"}, 200},
		{"a proxy on this machine", near, []string{https, client("198.51.100.7")}, 200},
		{"this machine itself", near, nil, 200},
		{"a client of a proxy that used http", proxy, []string{inClear, client("198.51.100.7")}, 401},
		{"the same on this machine", near, []string{inClear, client("198.51.100.7")}, 401},
		{"no word about TLS", proxy, []string{client("198.51.100.7")}, 401},
		{"no word about TLS on this machine", near, []string{client("198.51.100.7")}, 401},
		{"no word at all", proxy, nil, 401},
		{"another word", proxy, []string{"X-Forwarded-Proto: https, http"}, 401},
		{"one that names this machine", proxy, []string{inClear, client("127.0.0.1")}, 401},
		{"one that names nobody", near, []string{inClear, client("unknown")}, 401},
		{"a stranger who claims it", stranger, []string{https, client("127.0.0.1")}, 401},
		{"a stranger who names a proxy", stranger, []string{https, client("192.0.2.9")}, 401},
		{"a stranger without TLS", stranger, nil, 401},
	} {
		w := from(a.Handler(), one.from, "GET", "/v1/access", "", append(one.headers, bearer(c.operator))...)
		if w.Code != one.want {
			t.Errorf("%s: got %d %s; want %d", one.name, w.Code, w.Body, one.want)
		}
		// Only a token that a stranger may have read is to be revoked.
		if told := strings.Contains(w.Body.String(), "X-Forwarded-Proto"); w.Code == 401 && told != (one.from != stranger) {
			t.Errorf("%s: what to do is not told: %s", one.name, w.Body)
		}
	}
}

// The same through the connection of a proxy, which carries the requests of many clients.
func TestEachRequestOfAProxysConnectionHasItsOwnClient(t *testing.T) {
	for _, hot := range []bool{true, false} {
		const rate = 5
		w := newWay(t, hot, func(o *Options) {
			o.Limits = behindProxies(admission.Limits{ReadsPerAddress: rate, PostsPerAddress: rate}).Limits
		})
		w.group.keeps = true
		c := newGuardedGroup(t, w.group)
		conn := w.connect(t)
		for i := range 4 * rate {
			client := fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", i)
			for _, one := range []struct{ raw, want string }{
				{rawGet("/v1/scores/"+contest, client), "200"},
				{rawGet("/v1/scores/"+contest, client, "X-Forwarded-Proto: https", bearer(c.reader)), "200"},
				{rawGet("/v1/access", client, "X-Forwarded-Proto: http", bearer(c.operator)), "401"},
				{rawGet("/v1/access", client, "X-Forwarded-Proto: https", bearer(c.operator)), "200"},
				{rawPost(alert("", ""), isJSON, bearer(c.bard), client, "X-Forwarded-Proto: https"), "200"},
				{rawPost(alert("", ""), isJSON, bearer(c.bard), client, "X-Forwarded-Proto: http"), "401"},
			} {
				if got := conn.ask(t, one.raw); got != one.want {
					t.Fatalf("fast path %t: got %s; want %s for %s", hot, got, one.want, one.raw)
				}
			}
		}
		refused := func() bool {
			got := conn.ask(t, rawGet("/v1/scores/"+contest, "X-Forwarded-For: 198.51.100.0"))
			if own := conn.ask(t, rawGet("/v1/scores/"+contest)); own != "200" {
				t.Errorf("fast path %t: the proxy itself got %s", hot, own)
			}
			return got == "429"
		}
		if !within(1000, refused) { // stops at the first, for the fast path pauses the connection
			t.Errorf("fast path %t: the reads of a client behind a proxy have no rate", hot)
		}
	}
}

// rawConn is a connection to a frontend.
type rawConn struct {
	net.Conn
	in *bufio.Reader
}

func (w *way) connect(t *testing.T) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &rawConn{c, bufio.NewReader(c)}
}

// ask writes a request and returns the status of its answer.
func (c *rawConn) ask(t *testing.T, raw string) string {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(res.StatusCode)
}

func TestRatesBehindAProxyAreThoseOfItsClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, behindProxies(admission.Limits{ReadsPerAddress: 1}))
		h := a.Handler()
		refused := func(peer string, list func(i int) string) (n int) {
			for i := range 40 {
				headers := []string{}
				if l := list(i); l != "" {
					headers = append(headers, "X-Forwarded-For: "+l)
				}
				if from(h, peer, "GET", "/v1/scores", "", headers...).Code == http.StatusTooManyRequests {
					n++
				}
			}
			return n
		}
		always := func(s string) func(int) string { return func(int) string { return s } }
		for _, one := range []struct {
			name, peer string
			list       func(int) string
			limited    bool
		}{
			{"one client", "192.0.2.9:1", always("198.51.100.1"), true},
			{"many clients", "192.0.2.9:1", func(i int) string { return fmt.Sprintf("198.51.100.%d", 100+i) }, false},
			{"one client that forges others", "192.0.2.9:1", func(i int) string { return fmt.Sprintf("203.0.113.%d, 198.51.100.2", i) }, true},
			{"one client of two proxies", "192.0.2.9:1", always("198.51.100.3, 192.0.2.8"), true},
			{"one network of IPv6", "192.0.2.9:1", func(i int) string { return fmt.Sprintf("2001:db8::%d", i) }, true},
			{"a port at each address", "192.0.2.9:1", func(i int) string { return fmt.Sprintf("198.51.100.4:%d", 1000+i) }, true},
			{"a port at an address of IPv6", "192.0.2.9:1", func(i int) string { return fmt.Sprintf("[2001:db8:1::1]:%d", 1000+i) }, true},
			{"no word of a proxy", "192.0.2.9:1", always(""), false},
			{"a word that is no address", "192.0.2.9:1", always("unknown"), false},
			{"a stranger that forges others", "198.51.100.9:1", func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }, true},
			{"a stranger that names this machine", "198.51.100.10:1", always("127.0.0.1"), true},
		} {
			if n := refused(one.peer, one.list); (n > 20) != one.limited || !one.limited && n > 0 {
				t.Errorf("%s: %d of 40 reads were refused", one.name, n)
			}
		}
	})
}

// The address of a proxy on the same link comes with the interface of the frontend.
func TestAProxyIsKnownByWhateverInterfaceItComes(t *testing.T) {
	_, a := newTestAPI(t, limited(admission.Limits{Proxies: []netip.Prefix{netip.MustParsePrefix("fe80::9/128")}}))
	got := a.admission.Limits.Client(&fastpath.Peer{Addr: netip.MustParseAddr("fe80::9%eth0")}, "198.51.100.7", "https")
	if got.Addr != netip.MustParseAddr("198.51.100.7") || !got.Encrypted() {
		t.Errorf("the client is %+v", got)
	}
}

// Behind two proxies, the first on the machine of the second, all clients may come from there.
func TestAClientOnAProxysOwnMachineHasLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limited(admission.Limits{
			ReadsPerAddress: 1, WatchersPerAddress: 1, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")},
		})
		_, a := newTestAPI(t, o)
		for _, client := range []string{"127.0.0.1", "::1", "198.51.100.7, [::ffff:127.0.0.2]:80"} {
			refused := false
			for i := 0; i < 40 && !refused; i++ {
				w := from(a.Handler(), "192.0.2.9:1", "GET", "/v1/scores", "", "X-Forwarded-For: "+client)
				refused = w.Code == http.StatusTooManyRequests
			}
			if !refused {
				t.Errorf("%s has no rate", client)
			}
			caller := &handler.Caller{Peer: a.admission.Limits.Client(&fastpath.Peer{Addr: netip.MustParseAddr("192.0.2.9")}, client, "")}
			gate := a.admission.ClientGate()
			first, problem := gate.EnterWatch(caller)
			if problem != nil {
				t.Fatal(problem)
			}
			if _, problem := gate.EnterWatch(caller); problem == nil {
				t.Errorf("%s may have more watchers than one", client)
			}
			first.Leave()
		}
	})
}

// What a proxy reports means nothing at the port between members, nor does the
// certificate of the proxy mean anything for its clients.
func TestAProxysCertificateIsNotItsClients(t *testing.T) {
	limits := behindProxies(admission.Limits{}).Limits
	peer := overTLS("192.0.2.9")
	if got := limits.Client(peer, "", ""); got != peer {
		t.Errorf("without a word the client is %+v", got)
	}
	got := limits.Client(peer, "198.51.100.7", "")
	if got.TLS != nil || got.Addr != netip.MustParseAddr("198.51.100.7") || !got.Encrypted() || got.Near() {
		t.Errorf("behind a proxy that uses TLS the client is %+v", got)
	}
	g, a := newTestAPI(t, Options{Options: admission.Options{Limits: limits}})
	newGuardedGroup(t, g)
	r := httptest.NewRequest("GET", "/v1/access", nil)
	r.RemoteAddr = "192.0.2.9:1"
	for _, header := range []string{forwarded, "X-Forwarded-Proto: https", bearer(access.NewBearerToken())} {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	a.ForwardedHandler().ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("at the port between members: got %d", w.Code)
	}
}

func TestBrowsersAreToldToUseHTTPSOnlyWhereTheyTrustTheCertificate(t *testing.T) {
	for _, public := range []bool{true, false} {
		o := behindProxies(admission.Limits{})
		o.PublicCertificate = func() bool { return public }
		_, a := newTestAPI(t, o)
		h := a.Handler()
		for _, path := range []string{"/", "/v1/scores", "/v1/nothing", "/assets/none.js"} {
			for name, c := range map[string]struct {
				tls  *tls.ConnectionState
				from string
				want bool
			}{
				"over TLS":              {&tls.ConnectionState{}, "198.51.100.1:1", public},
				"in the clear":          {nil, "198.51.100.1:1", false},
				"by a proxy's own name": {&tls.ConnectionState{}, "192.0.2.9:1", false},
			} {
				r := httptest.NewRequest("GET", path, nil)
				r.TLS, r.RemoteAddr = c.tls, c.from
				r.Header.Set("Accept", "text/html")
				if !strings.HasPrefix(c.from, "198") {
					r.Header.Set("X-Forwarded-For", "198.51.100.1")
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if got := w.Header().Get("Strict-Transport-Security"); (got != "") != c.want {
					t.Errorf("public certificate %t: %s %s: Strict-Transport-Security is %q", public, path, name, got)
				}
			}
		}
	}
	_, a := newTestAPI(t, Options{})
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	if got := w.Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("without a certificate of its own: %q", got)
	}
}
