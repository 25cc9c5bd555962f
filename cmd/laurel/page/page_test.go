package page

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"laurel/internal/cli"
	"laurel/witness"
)

// key returns a key that is the same for each seed.
func key(t *testing.T, name string, seed byte) *witness.Key {
	t.Helper()
	k, err := witness.NewKey(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// policyFile returns a file with a policy of one frontend, which readers accept until a time.
func policyFile(t *testing.T, until time.Time) string {
	t.Helper()
	p := witness.Policy{
		Store: "5f3a", Until: until.Truncate(time.Second), Quorum: 1,
		Frontends: []witness.Frontend{key(t, "f1", 1).Frontend()},
	}
	text, err := p.Sign(key(t, "getafix", 9))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	c := NewCommand()
	c.SetArgs(args)
	c.SetOut(&b)
	c.SetErr(&b)
	code = cli.Run(t.Context(), c)
	return code, b.String()
}

func TestThePageIsForAPolicyThatReadersAccept(t *testing.T) {
	good, expired := policyFile(t, time.Now().Add(time.Hour)), policyFile(t, time.Now().Add(-time.Hour))
	torn := filepath.Join(t.TempDir(), "torn")
	if err := os.WriteFile(torn, []byte("# laurel policy 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	operator, other := key(t, "getafix", 9).Verifier(), key(t, "getafix", 8).Verifier()
	for what, c := range map[string]struct {
		args []string
		want int
	}{
		"good":                           {[]string{"--policy", good}, cli.ExitOK},
		"signed by the operator":         {[]string{"--policy", good, "--policy-key", operator}, cli.ExitOK},
		"signed by another":              {[]string{"--policy", good, "--policy-key", other}, cli.ExitUsage},
		"expired":                        {[]string{"--policy", expired}, cli.ExitUsage},
		"torn":                           {[]string{"--policy", torn}, cli.ExitUsage},
		"none":                           {nil, cli.ExitUsage},
		"no file":                        {[]string{"--policy", good + "x"}, cli.ExitUsage},
		"a frontend that is no URL":      {[]string{"--policy", good, "--to", "https://f1/?q"}, cli.ExitUsage},
		"a frontend that is named twice": {[]string{"--policy", good, "--to", "f1:8001,http://f1:8001"}, cli.ExitOK},
	} {
		code, out := run(t, c.args...)
		if code != c.want || (code == cli.ExitOK) != strings.HasPrefix(out, "<!doctype html>") {
			t.Errorf("%s: exit code %d, and it prints %.100q; want %d", what, code, out, c.want)
		}
		if n := strings.Count(out, `"url":"http://f1:8001"`); what == "a frontend that is named twice" && n != 1 {
			t.Errorf("the page has it %d times", n)
		}
	}
}

// A browser runs the script only if its hash is the one that the page allows.
func TestTheScriptOfThePrintedPageIsTheOneThatItAllows(t *testing.T) {
	policy := policyFile(t, time.Now().Add(time.Hour))
	code, out := run(t, "--policy", policy, "--to", "https://127.0.0.1:1")
	if code != cli.ExitOK {
		t.Fatal(out)
	}
	_, script, _ := strings.Cut(out, `<script type="module">`)
	script, _, _ = strings.Cut(script, "</script>")
	sum := sha256.Sum256([]byte(script))
	allowed := "script-src &#39;sha256-" + html.EscapeString(base64.StdEncoding.EncodeToString(sum[:]))
	if !strings.Contains(strings.ReplaceAll(out, "&#43;", "+"), allowed) {
		t.Error("the page does not allow its script, of the hash " + allowed)
	}
}
