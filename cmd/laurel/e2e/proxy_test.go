package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	laurel "laurel/client"
	"laurel/score"
)

const proxied = "scores.example"

// nginx is a proxy with a certificate for the name proxied.
type nginx struct {
	t    testing.TB
	dir  string
	addr string // host:port on which it listens
	http *http.Transport
}

// startNginx runs nginx with the servers of a block of docs/operations.md, in front of
// frontends of a secure group.
func startNginx(t testing.TB, servers string, g *secureGroup) *nginx {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		skipOrFail(t, "%v", err)
	}
	n := &nginx{t: t, dir: t.TempDir(), addr: freePort(t)}
	n.http = &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, n.addr)
		},
		TLSClientConfig: &tls.Config{RootCAs: n.certify()},
	}
	t.Cleanup(n.http.CloseIdleConnections)
	n.write("authority.pem", get(t, g.frontends[0].url+"/v1/cluster/authority").body)
	for i, f := range g.frontends {
		servers = strings.ReplaceAll(servers, fmt.Sprintf("10.0.0.%d:8001", i+1), f.http)
	}
	servers = strings.ReplaceAll(servers, "listen 443 ssl;", "listen "+n.addr+" ssl;")
	servers = strings.ReplaceAll(servers, "/etc/nginx/", n.dir+"/")
	var temporary strings.Builder
	for _, of := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s/%s;\n", of, n.dir, of)
	}
	n.write("nginx.conf", "daemon off;\nmaster_process off;\npid "+n.dir+"/pid;\nerror_log stderr;\n"+
		"events {}\nhttp {\naccess_log off;\n"+temporary.String()+servers+"}\n")
	start(t, g.logs, "nginx-"+n.addr, nil, path, "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"))
	eventually(t, "nginx listens", func() error {
		c, err := net.Dial("tcp", n.addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	return n
}

func (n *nginx) write(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// certify writes a certificate for the name proxied, and returns what trusts it.
func (n *nginx) certify() *x509.CertPool {
	n.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{proxied}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		n.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		n.t.Fatal(err)
	}
	n.write("scores.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	n.write("scores.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return roots
}

// get returns the body of an answer with status 200. It repeats the request while the frontend,
// which nginx has found, answers that it cannot answer.
func (n *nginx) get(at, accept string) (body string, h http.Header) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, at, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	eventually(n.t, "GET "+at, func() error {
		a, err := (&http.Client{Transport: n.http, Timeout: patience}).Do(r)
		if err != nil {
			n.t.Fatal(err)
		}
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		if err == nil && a.StatusCode == http.StatusServiceUnavailable {
			return fmt.Errorf("%s\n%s", a.Status, b)
		}
		if err != nil || a.StatusCode != http.StatusOK {
			n.t.Fatalf("GET %s: %s, %v\n%s", at, a.Status, err, b)
		}
		body, h = string(b), a.Header
		return nil
	})
	return body, h
}

// documentedServers returns the blocks of nginx in docs/operations.md.
func documentedServers(t testing.TB) (servers []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocksOf(string(text)) {
		if b.info == "nginx" {
			servers = append(servers, b.text)
		}
	}
	return servers
}

// TestTheProxiesOfTheDocumentsServeAGroup runs the lines of docs/operations.md in nginx: the
// page, a post with a token, a watcher and a bard go through.
func TestTheProxiesOfTheDocumentsServeAGroup(t *testing.T) {
	needsProcesses(t)
	servers := documentedServers(t)
	if len(servers) != 2 {
		t.Fatalf("docs/operations.md has %d blocks of nginx; want one for a name and one for a path", len(servers))
	}
	for i, c := range []struct {
		what, base string
		frontends  int
	}{
		{"below a name", "https://" + proxied, 3},
		{"below a path", "https://" + proxied + "/live", 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			g := newSecureGroup(t, c.frontends, "LAUREL_PUBLIC_URL="+c.base)
			n := startNginx(t, servers[i], g)
			n.servesThePage(c.base)
			n.servesABardAndAWatcher(g, c.base)
			if c.frontends < 3 {
				return
			}
			g.frontends[1].Kill()
			g.master()
			for range 6 { // each of those that are left, and some more
				n.get(c.base+"/v1/scores/"+curling, "*/*")
			}
		})
	}
}

// servesThePage checks that the page and its files are below base, and that it tells
// nobody another address.
func (n *nginx) servesThePage(base string) {
	n.t.Helper()
	page, h := n.get(base+"/", "text/html")
	if policy := h.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' https://"+proxied+" ") &&
		!strings.Contains(policy, "connect-src 'self' https://"+proxied+";") {
		n.t.Errorf("the page may connect to %q", policy)
	}
	at, err := url.Parse(base + "/")
	if err != nil {
		n.t.Fatal(err)
	}
	files := regexp.MustCompile(`(?:href|src)="([^"#][^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(files) < 3 {
		n.t.Errorf("the page names the files %q", files)
	}
	for _, f := range files {
		to, err := at.Parse(f[1])
		if err != nil || !strings.HasPrefix(to.String(), base+"/") {
			n.t.Errorf("the page names %s, which is %s (%v)", f[1], to, err)
			continue
		}
		n.get(to.String(), "*/*")
	}
	if overview, _ := n.get(base+"/", "*/*"); !strings.Contains(overview, "curl "+base+"/v1/scores\n") {
		n.t.Errorf("the overview is for another address:\n%s", overview)
	}
}

const curling = "OG50BC/CUR-1"

// servesABardAndAWatcher checks that a stream of events is answered, and seen by a watcher,
// while it goes on, and that both stay at base.
func (n *nginx) servesABardAndAWatcher(g *secureGroup, base string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	c, err := laurel.New([]string{base}, laurel.Options{Token: g.operator, Transport: n.http})
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	answers := make(chan laurel.Answer, 8)
	s := c.Stream(ctx, laurel.StreamOptions{
		Patience: patience,
		Answered: func(a laurel.Answer) { answers <- a },
		Trouble:  func(_ string, err error) { n.t.Logf("the stream of events goes on at another frontend: %v", err) },
	})
	defer s.Close()
	send := func(e score.Event) {
		n.t.Helper()
		if err := s.Send(&e); err != nil {
			n.t.Fatal(err)
		}
		select {
		case a := <-answers:
			if a.Result.Problem != nil {
				n.t.Fatalf("the event was refused: %v", a.Result.Problem)
			}
		case <-ctx.Done():
			n.t.Fatal("the stream of events is not answered while it goes on")
		}
	}
	send(score.Event{Source: "bard/a", Seq: 1, Type: score.TypeContestDefine, ContestID: curling, Data: &score.ContestDefine{
		Kind: score.HeadToHead, Sport: "stone-curling", Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}},
	}})
	seen := make(chan string, 16)
	go func() {
		for u, err := range c.Watch(ctx, laurel.WatchOptions{Contests: []string{curling}}) {
			if err != nil {
				return
			}
			for _, r := range u.Scores {
				seen <- string(r.ScheduleStatus)
			}
		}
	}()
	await := func(want ...string) {
		n.t.Helper()
		for {
			select {
			case got := <-seen:
				if slices.Contains(want, got) {
					return
				}
			case <-ctx.Done():
				n.t.Fatalf("the watcher has not seen %q", want)
			}
		}
	}
	await("UNSCHEDULED", "SCHEDULED")
	send(score.Event{Source: "bard/a", Seq: 2, Type: score.TypeContestStatus, ContestID: curling, Data: &score.ContestStatus{
		ScheduleStatus: score.Running, ResultStatus: "LIVE",
	}})
	await(score.Running)
}
