package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// Strangers come from other addresses than this machine's own, so that what is bounded by
// address is bounded for them: a network of the test's own has them all.
var (
	strangerNetwork = netip.MustParsePrefix("192.0.2.1/24")
	reachedAt       = netip.MustParseAddr("192.0.2.1")   // where they reach the frontends
	stranger        = netip.MustParseAddr("192.0.2.200") // the usual one
)

// crowd is a group under the attacks of strangers.
type crowd struct {
	*attackTest
	t        *testing.T // of the attack that goes on
	watching atomic.Int64
	most     atomic.Int64 // of watching
	said     atomic.Int64
}

// bigContest has a timeline with many events of a kilobyte.
const (
	bigContest = "OG50BC/BIG"
	bigSource  = "bard/big"
)

// strangers are the attacks. A new one needs a line here and the life of one of its
// connections.
func (s *crowd) strangers() []attack {
	return []attack{
		{name: "wrong tokens", conns: 8, kib: 256, goroutines: 4, do: s.wrongTokens},
		{name: "metrics", conns: 8, kib: 1024, goroutines: 4, do: s.metrics},
		{name: "attempts to join", conns: 8, kib: 4096, goroutines: 4, do: s.joinAttempts},
		{name: "readers of watches that do not read", conns: 10, kib: 4096, goroutines: 4, do: s.unreadWatch},
		{name: "readers of lists that do not read", conns: 10, kib: 4096, goroutines: 4, do: s.unreadList},
		{name: "refused streams", conns: 50, kib: 512, goroutines: 4, do: s.refusedStream},
		{name: "watchers of one address", conns: watchingConns, masterOnly: true, kib: 2048, goroutines: 210, do: s.watchers},
	}
}

// complain reports what a stranger has found wrong, at most a few times.
func (s *crowd) complain(ctx context.Context, format string, args ...any) {
	if ctx.Err() == nil && s.said.Add(1) < 5 {
		s.t.Errorf(format, args...)
	}
}

func TestStrangersOfOneAddressHarmNobodyElse(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	if !inOwnNetwork() {
		if err := runInOwnNetwork(t); err != nil {
			skipOrFail(t, "strangers need a network of the test's own: %v", err)
		}
		return
	}
	addStrangerNetwork(t)
	patient := []string{"LAUREL_TIME_SCALE=40"} // no other test that attacks runs beside others
	form := byForm(attackForm{time.Second, 4, patient}, attackForm{4 * time.Second, 1, patient},
		attackForm{8 * time.Second, 1, nil})
	s := &crowd{t: t}
	s.attackTest = newAttackTest(t,
		startSecureGroup(3, &group{t: t, dir: t.TempDir(), logs: logs(t), env: form.env, open: true}))
	s.fillBigContest(byForm(2_000, 20_000, 20_000))
	s.idle = s.measure()
	s.runAttack(t, attack{name: "none"}, form.length)
	for _, a := range s.strangers() {
		if a.conns > form.share {
			a.conns /= form.share
		}
		t.Run(a.name, func(t *testing.T) {
			s.t = t
			s.said.Store(0)
			s.runAttack(t, a, form.length)
			s.awaitRecovery(t)
		})
	}
	s.t = t
	if n, most := s.most.Load(), int64(watchingConns*admission.WatchersPerConnection); n == 0 || n > most {
		t.Errorf("one address had %d watchers by %d connections; want at most %d", n, watchingConns, most)
	}
	s.end(t)
}

// addStrangerNetwork gives the loopback interface of the test's own network the addresses
// of strangers.
func addStrangerNetwork(t *testing.T) {
	t.Helper()
	programs.dir, programs.build = os.Getenv(programsVar), func() error { return nil }
	c := exec.Command("ip", "-batch", "-")
	c.Stdin = strings.NewReader("link set lo up\naddr add " + strangerNetwork.String() + " dev lo\n")
	if out, err := c.CombinedOutput(); err != nil {
		skipOrFail(t, "addresses on the loopback interface: %v\n%s", err, out)
	}
}

// logBytes returns the size of the logs of all frontends.
func (s *attackTest) logBytes() (n int64) {
	paths, _ := filepath.Glob(filepath.Join(s.logs, "*.log"))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			n += info.Size()
		}
	}
	return n
}

// fillBigContest posts n events.
func (s *crowd) fillBigContest(n int) {
	t := s.t
	t.Helper()
	_, token := s.newBard(bigSource)
	text := strings.Repeat("x", 900)
	const each = 1000
	for first := 1; first <= n; first += each {
		var list []string
		for seq := first; seq < first+each; seq++ {
			list = append(list, fmt.Sprintf(`{"source":%q,"seq":%d,"type":"alert","contest_id":%q,"data":{"text":%q}}`,
				bigSource, seq, bigContest, text))
		}
		eventually(t, "the big contest is filled", func() error {
			a, err := ask("POST", s.frontends[0].url+"/v1/events", "["+strings.Join(list, ",")+"]",
				"Authorization", "Bearer "+token, "Content-Type", handler.TypeJSON)
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("%d %.300s", a.status, a.body)
			}
			return err
		})
	}
}

// connect connects to a frontend from an address of strangers until ctx ends.
func (s *crowd) connect(ctx context.Context, from netip.Addr, f *frontend) (net.Conn, func(), error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	c, err := d.DialContext(ctx, "tcp", f.at(reachedAt))
	if err != nil {
		return nil, nil, err
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() {
		stop()
		c.Close()
	}, nil
}

// connectTLS is connect with TLS, which a token needs.
func (s *crowd) connectTLS(ctx context.Context, from netip.Addr, f *frontend) (net.Conn, func(), error) {
	c, end, err := s.connect(ctx, from, f)
	if err != nil {
		return nil, nil, err
	}
	secure := tls.Client(c, &tls.Config{RootCAs: s.trust.RootCAs, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return secure, end, nil
}

// strangerPause is between two requests of a stranger, who uses the same processors.
const strangerPause = 5 * time.Millisecond

// exchange sends requests over TLS, one after the other, until ctx ends, and gives the
// status of each answer to check.
func (s *crowd) exchange(
	ctx context.Context, f *frontend, settled func(), request func(n int) string, check func(n, status int, body string),
) error {
	c, end, err := s.connectTLS(ctx, stranger, f)
	if err != nil {
		return err
	}
	defer end()
	in := bufio.NewReader(c)
	for n := 0; ctx.Err() == nil; n++ {
		if _, err := io.WriteString(c, request(n)); err != nil {
			return err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		check(n, res.StatusCode, string(body))
		settled()
		select {
		case <-ctx.Done():
		case <-time.After(strangerPause):
		}
	}
	return nil
}

func getBy(path, token string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n"
}

// wrongTokens sends wrong tokens, and in between the operator's.
func (s *crowd) wrongTokens(ctx context.Context, f *frontend, settled func()) error {
	const oneIn = 10
	return s.exchange(ctx, f, settled, func(n int) string {
		if n%oneIn == 0 {
			return getBy("/v1/access", s.operator)
		}
		return getBy("/v1/access", access.NewBearerToken().Text())
	}, func(n, status int, body string) {
		if n%oneIn == 0 && status != http.StatusOK {
			s.complain(ctx, "the operator's token beside wrong ones: %d %s", status, body)
		}
		if n%oneIn != 0 && status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			s.complain(ctx, "a wrong token: %d %s", status, body)
		}
	})
}

// metrics asks for the metrics.
func (s *crowd) metrics(ctx context.Context, f *frontend, settled func()) error {
	refused := false
	return s.exchange(ctx, f, settled, func(int) string {
		return "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
	}, func(n, status int, body string) {
		refused = refused || status == http.StatusTooManyRequests
		if n == 100 && !refused {
			s.complain(ctx, "the metrics were shown %d times within a second: %d %.100s", n, status, body)
		}
	})
}

// joinAttempts asks to join with tokens that look like good ones, and the longest name
// that is read.
func (s *crowd) joinAttempts(ctx context.Context, f *frontend, settled func()) error {
	body := fmt.Sprintf(`{"token":%q,"csr":"","member":%q}`, pki.NewJoinToken(strings.Repeat("0", 64)).Text(),
		"f9@"+strings.Repeat("x", 1<<19))
	return s.exchange(ctx, f, settled, func(int) string {
		return fmt.Sprintf("POST /v1/cluster/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", len(body), body)
	}, func(_, status int, body string) {
		if status/100 == 2 {
			s.complain(ctx, "an attempt to join: %d %s", status, body)
		}
	})
}

// unreadWatch asks for the whole big timeline and reads nothing of it.
func (s *crowd) unreadWatch(ctx context.Context, f *frontend, settled func()) error {
	return s.unread(ctx, f, settled, "GET /v1/watch?timeline="+bigContest+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

// unreadList asks for many pages of the big timeline and reads nothing of them.
func (s *crowd) unreadList(ctx context.Context, f *frontend, settled func()) error {
	page := "GET /v1/timeline/" + bigContest + "?limit=1000&after=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
	all := ""
	for n := range 50 {
		all += fmt.Sprintf(page, n+1)
	}
	return s.unread(ctx, f, settled, all)
}

func (s *crowd) unread(ctx context.Context, f *frontend, settled func(), request string) error {
	c, end, err := s.connect(ctx, stranger, f)
	if err != nil {
		return err
	}
	defer end()
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		return err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	settled()
	<-ctx.Done()
	return nil
}

// answeredWithin is how soon a refused stream is answered and closed. A busy machine may hold up
// this process or the frontend for many seconds meanwhile.
const answeredWithin = 30 * time.Second

// refusedStream streams events with a wrong token and goes on after the answer.
func (s *crowd) refusedStream(ctx context.Context, f *frontend, settled func()) error {
	c, end, err := s.connectTLS(ctx, stranger, f)
	if err != nil {
		return err
	}
	defer end()
	_, err = io.WriteString(c, postHead+"application/x-ndjson\r\nAuthorization: Bearer "+access.NewBearerToken().Text()+
		"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n")
	if err != nil {
		return err
	}
	go func() { // as one that takes no notice of the answer
		for err := error(nil); err == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(drip):
			}
			_, err = io.WriteString(c, "1\r\n\n\r\n")
		}
	}()
	if err := c.SetReadDeadline(time.Now().Add(answeredWithin)); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		s.complain(ctx, "a refused stream got no answer: %v", err)
		return err
	}
	if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusTooManyRequests {
		s.complain(ctx, "a refused stream got %s", res.Status)
	}
	if _, err := io.Copy(io.Discard, in); isTimeout(err) {
		s.complain(ctx, "the connection of a refused stream stays open")
	}
	settled()
	return nil
}

// watchingConns try to open 2,300 watchers.
const watchingConns, watchersOfConn = 23, 100

// watchers opens watchers over one connection of HTTP/2, and is not sent elsewhere.
func (s *crowd) watchers(ctx context.Context, f *frontend, settled func()) error {
	t := &http.Transport{
		DialTLSContext: func(dial context.Context, _, _ string) (net.Conn, error) {
			c, _, err := s.connect(ctx, stranger, f)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(c, &tls.Config{
				RootCAs: s.trust.RootCAs, ServerName: "localhost", NextProtos: []string{"h2"}})
			return secure, secure.HandshakeContext(dial)
		},
		ForceAttemptHTTP2: true,
		MaxConnsPerHost:   1,
	}
	defer t.CloseIdleConnections()
	var all sync.WaitGroup
	var answered atomic.Int64
	for range watchersOfConn {
		all.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "GET", "https://localhost/v1/watch?contest=OG50BC/SIEGE-0&moved=1", nil)
			if err != nil {
				return
			}
			res, err := t.RoundTrip(r)
			if answered.Add(1) == watchersOfConn {
				settled()
			}
			if err != nil {
				return
			}
			defer res.Body.Close()
			if res.StatusCode == http.StatusOK {
				for n, most := s.watching.Add(1), s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); {
					most = s.most.Load()
				}
				defer s.watching.Add(-1)
			}
			_, _ = io.Copy(io.Discard, res.Body) // it ends with ctx
		})
	}
	all.Wait()
	return nil
}
