package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/trust/access"
)

// secureGroup is a group whose members have certificates, with the token of its first
// operator.
type secureGroup struct {
	*group
	operator string
	all      []string // environment of all frontends
	secrets  []string // that no log may contain
	posted   int
}

// newSecureGroup starts a group of n frontends. env is added to the environment of all.
func newSecureGroup(t testing.TB, n int, env ...string) *secureGroup {
	t.Helper()
	return startSecureGroup(n, &group{t: t, dir: t.TempDir(), logs: logs(t), env: env})
}

// startSecureGroup starts n frontends of an empty group.
func startSecureGroup(n int, empty *group) *secureGroup {
	t := empty.t
	t.Helper()
	g := &secureGroup{group: empty, all: empty.env}
	first := g.addSecure()
	first.start().waitReady()
	eventually(t, "there is an operator", func() error {
		text, err := os.ReadFile(filepath.Join(first.data, "operator.token"))
		if err != nil {
			return err
		}
		g.operator = strings.TrimSpace(string(text))
		a, err := g.ask(first, "GET", "/v1/access", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	g.secret(g.operator)
	if n > 1 {
		g.joinToken(n - 1)
	}
	for range n - 1 {
		g.addSecure().start().waitReady()
	}
	return g
}

func (g *secureGroup) addSecure() *frontend {
	f := g.add()
	f.secure = true
	return f
}

// secret remembers the secret of a token.
func (g *secureGroup) secret(token string) {
	g.secrets = append(g.secrets, token[strings.LastIndex(token, ".")+1:])
}

// ask sends a request as the operator.
func (g *secureGroup) ask(f *frontend, method, path, body string) (answer, error) {
	return ask(method, f.url+path, body, "Authorization", "Bearer "+g.operator, "Content-Type", "application/json")
}

// must repeats a request until it succeeds. What it grants holds at all frontends then.
func (g *secureGroup) must(f *frontend, method, path, body string) (a answer) {
	g.t.Helper()
	eventually(g.t, method+" "+path, func() (err error) {
		if a, err = g.ask(f, method, path, body); err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if method == "POST" && path == "/v1/access/grants" {
		g.awaitGranted()
	}
	return a
}

// joinToken makes the frontends that are started from now on join with a new token.
func (g *secureGroup) joinToken(uses int) {
	g.t.Helper()
	var made access.JoinTokenResponse
	if err := json.Unmarshal([]byte(g.must(g.running()[0], "POST", "/v1/cluster/tokens",
		fmt.Sprintf(`{"uses":%d}`, uses)).body), &made); err != nil {
		g.t.Fatal(err)
	}
	g.secret(made.Token)
	g.env = append(slices.Clone(g.all), "LAUREL_JOIN_TOKEN="+made.Token)
}

// post posts an event with a token.
func (g *secureGroup) post(f *frontend) {
	g.t.Helper()
	g.posted++
	g.must(f, "POST", "/v1/events", fmt.Sprintf(`{"source":"test/trust","seq":%d,"type":"alert","contest_id":"OG50BC/rain","time":"2026-07-01T12:00:00Z","data":{"text":"rain %d"}}`, g.posted, g.posted))
}

// holdKey waits until a voter has the key of an authority.
func (f *frontend) holdKey() {
	f.group.t.Helper()
	eventually(f.group.t, f.id+" holds the key of the authority", func() error {
		if found, err := filepath.Glob(filepath.Join(f.data, "trust", "authority-*.pem")); err != nil ||
			len(found) == 0 {
			return errors.Join(err, errors.New("there is none"))
		}
		return nil
	})
}

// expectSecretsKept searches all logs for secrets.
func (g *secureGroup) expectSecretsKept() {
	g.t.Helper()
	keys, err := filepath.Glob(filepath.Join(g.dir, "*", "trust", "*.pem"))
	if err != nil || len(keys) == 0 {
		g.t.Fatalf("no keys: %v", err)
	}
	for _, path := range keys {
		text, err := os.ReadFile(path)
		if err != nil {
			g.t.Fatal(err)
		}
		if lines := strings.Split(string(text), "\n"); strings.Contains(lines[0], "PRIVATE KEY") {
			g.secrets = append(g.secrets, lines[1], lines[2])
		}
	}
	output, err := filepath.Glob(filepath.Join(g.logs, "*.log"))
	if err != nil || len(output) == 0 {
		g.t.Fatalf("no logs: %v", err)
	}
	for _, path := range output {
		text, err := os.ReadFile(path)
		if err != nil {
			g.t.Fatal(err)
		}
		for _, s := range append(g.secrets, "PRIVATE KEY") {
			if strings.Contains(string(text), s) {
				g.t.Errorf("%s contains a secret", filepath.Base(path))
			}
		}
	}
}

func TestFrontendsJoinByTokenAlsoWhenTheFounderIsLost(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	founder := g.frontends[0]
	for _, f := range g.frontends {
		f.holdKey()
		g.post(f)
	}
	founder.Kill()
	g.master()
	g.post(g.frontends[1])

	g.joinToken(1)
	fourth := g.addSecure()
	fourth.start().waitReady()
	g.post(fourth)

	// The token was for one frontend and is used up.
	fifth := g.addSecure()
	if code := fifth.start().exit(t); code != 1 {
		t.Errorf("a used-up token: exit code %d; want 1\n%s", code, fifth.output(t))
	}
	if output := fifth.output(t); !strings.Contains(output, "used up") {
		t.Errorf("the reason is missing:\n%s", output)
	}
	g.env = nil
	if code := fifth.start().exit(t); code != 2 || !strings.Contains(fifth.output(t), "--join-token") {
		t.Errorf("no token: exit code %d; want 2\n%s", code, fifth.output(t))
	}
	founder.start().waitReady()
	g.post(founder)
	g.expectRevision(uint64(g.posted))
	g.expectSecretsKept()
}

func TestARemovedFrontendIsOutForGood(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	g.frontends[2].holdKey() // then it knows that it is a member
	last := g.frontends[2]
	stays := g.frontends[0]
	eventually(t, "f3 is out", func() error {
		a, err := g.ask(stays, "DELETE", "/v1/cluster/members/f3?force=true", "")
		if err == nil && a.status != http.StatusOK && a.status != http.StatusNotFound {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if code := last.exit(t); code != 5 {
		t.Errorf("exit code %d; want 5\n%s", code, last.output(t))
	}
	// Without its record of the removal it still has its certificate, which is refused.
	if err := os.Remove(filepath.Join(last.data, "removed")); err != nil {
		t.Fatal(err)
	}
	if code := last.start().exit(t); code != 5 {
		t.Errorf("exit code %d; want 5\n%s", code, last.output(t))
	}
	g.post(stays)
	eventually(t, "the refusal is counted", func() error {
		for _, f := range g.running() {
			if a := get(t, f.url+"/metrics"); strings.Contains(a.body, `laurel_peer_refused_total{reason="removed"}`) &&
				!strings.Contains(a.body, `laurel_peer_refused_total{reason="removed"} 0`) {
				return nil
			}
		}
		return errors.New("it is not")
	})
	g.expectSecretsKept()
}

func TestAuthorityIsRotatedWhilePostsGoOn(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	for _, f := range g.frontends {
		f.holdKey()
	}
	before := get(t, g.frontends[1].url+"/v1/cluster/authority").body
	// The answer to the first request may be lost, and a repeated one is then refused.
	rotate := func(body, done string) error {
		a, err := g.ask(g.frontends[1], "POST", "/v1/cluster/authority", body)
		if err == nil && a.status != http.StatusOK && !strings.Contains(a.body, done) {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	}
	eventually(t, "the rotation begins", func() error { return rotate(`{}`, "the group trusts 2 authorities") })
	stop := time.After(patience)
	for finished := false; !finished; {
		select {
		case <-stop:
			t.Fatal("the rotation does not come to its end")
		default:
		}
		g.post(g.frontends[g.posted%3])
		finished = rotate(`{"finish":true}`, "no rotation of the authority is in progress") == nil
	}
	for range 20 {
		g.post(g.frontends[g.posted%3])
	}
	for _, f := range g.frontends {
		eventually(t, f.id+" shows the new authority alone", func() error {
			a, err := tryGet(f.url + "/v1/cluster/authority")
			if err == nil && (strings.Contains(a.body, before) || strings.Count(a.body, "BEGIN") != 1) {
				err = errors.New(a.body)
			}
			return err
		})
	}
	for _, f := range g.frontends {
		f.Kill()
	}
	for _, f := range g.frontends {
		f.start()
	}
	for _, f := range g.frontends {
		f.waitReady()
	}
	g.expectRevision(uint64(g.posted))
	g.expectSecretsKept()
}

func TestAnInsecureFrontendListensOnLoopbackOnly(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	dir := t.TempDir()
	run := func(more ...string) result {
		return command(t, "laurel", append([]string{"frontend", "--id", "f1", "--data", dir,
			"--bootstrap", "--insecure"}, more...)...)
	}
	for _, more := range [][]string{
		{"--http", "0.0.0.0:0", "--peer", "127.0.0.1:0"}, {"--http", ":0", "--peer", "127.0.0.1:0"},
		{"--http", "127.0.0.1:0", "--peer", "192.0.2.1:9001"}, {"--http", "[::]:0", "--peer", "localhost:0"},
	} {
		if o := run(more...); o.code != 2 || !strings.Contains(o.err, "--insecure") {
			t.Errorf("%v: %v", more, o)
		}
	}
	g := newGroup(t, 1)
	f := g.frontends[0]
	if output := f.output(t); strings.Count(output, "INSECURE") != 1 {
		t.Errorf("it logs %d times that it is insecure", strings.Count(output, "INSECURE"))
	}
	f.Kill()
	f.secure = true
	if code := f.start().exit(t); code != 2 || !strings.Contains(f.output(t), "--insecure") {
		t.Errorf("insecure data started as a secure group's: exit code %d\n%s", code, f.output(t))
	}
	s := newSecureGroup(t, 1).frontends[0]
	s.Kill()
	s.secure = false
	if code := s.start().exit(t); code != 2 || !strings.Contains(s.output(t), "without --insecure") {
		t.Errorf("secure data started with --insecure: exit code %d\n%s", code, s.output(t))
	}
}
