package main

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"laurel/internal/cli"
	"laurel/witness"
)

func witnessKey(t *testing.T, name string, seed byte) *witness.Key {
	t.Helper()
	k, err := witness.NewKey(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// writePolicy writes a policy with one frontend, that the key of the seed 9 has signed.
func writePolicy(t *testing.T, until time.Time) (file string) {
	t.Helper()
	p := &witness.Policy{Store: "games", Until: until.Truncate(time.Second), Quorum: 1,
		Frontends: []witness.Frontend{witnessKey(t, "f1", 1).Frontend()}}
	text, err := p.Sign(witnessKey(t, "getafix", 9))
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhatCannotBeVerifiedIsNotPrinted(t *testing.T) {
	now := time.Now()
	good, another := witnessKey(t, "getafix", 9).Verifier(), witnessKey(t, "getafix", 8).Verifier()
	const says = `{"frontend":"f1","store":"games","revision":7,"status":200,"body":"{\"contest_id\":\"A/1\"}","signature":"AAAA"}`
	for what, c := range map[string]struct {
		until     time.Time
		key       string
		code      int
		told      string
		questions bool
	}{
		"a false signature":         {now.Add(time.Hour), good, cli.ExitUnreachable, "nothing that can be verified", true},
		"a policy that has expired": {now.Add(-time.Hour), good, cli.ExitUnreachable, "expired", false},
		"a policy of a stranger":    {now.Add(time.Hour), another, cli.ExitUsage, "not signed", false},
	} {
		t.Setenv("LAUREL_POLICY", writePolicy(t, c.until))
		args := []string{"scores", "A/1", "--verify=now", "--policy-key", c.key}
		code, out, errs, asked := runUntilAskedAgain(t, answers(says), args...)
		if code != c.code || out != "" || !strings.Contains(errs, c.told) || (len(asked) > 0) != c.questions {
			t.Errorf("%s: exit code %d, asked %q\n%s%s", what, code, asked, out, errs)
		}
	}
}
