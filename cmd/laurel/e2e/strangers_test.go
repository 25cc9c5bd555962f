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
	"sync/atomic"
	"testing"
	"time"

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
	t    *testing.T // of the attack that goes on
	said atomic.Int64
}

// strangers are the attacks. A new one needs a line here and the life of one of its
// connections.
func (s *crowd) strangers() []attack {
	return []attack{
		{name: "wrong tokens", conns: 8, kib: 256, goroutines: 4, do: s.wrongTokens},
		{name: "metrics", conns: 8, kib: 1024, goroutines: 4, do: s.metrics},
		{name: "attempts to join", conns: 8, kib: 4096, goroutines: 4, do: s.joinAttempts},
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
	patient := []string{"LAUREL_TIME_SCALE=4"}
	form := byForm(attackForm{time.Second, 4, patient}, attackForm{4 * time.Second, 1, patient},
		attackForm{8 * time.Second, 1, nil})
	s := &crowd{t: t}
	s.attackTest = newAttackTest(t,
		startSecureGroup(3, &group{t: t, dir: t.TempDir(), logs: logs(t), env: form.env, open: true}))
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
