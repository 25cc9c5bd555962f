package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"laurel/internal/cli"
	"laurel/trust/access"
	"laurel/trust/pki"
)

// memberDir returns a data directory with the certificate of a member with a role.
func memberDir(t *testing.T, role pki.Role) string {
	t.Helper()
	dir := t.TempDir()
	who := pki.Options{Dir: pki.DirIn(dir), Member: "f2@instance", Hosts: []string{"127.0.0.1"}}
	first, err := pki.Bootstrap(who)
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := first.Request()
	if err != nil {
		t.Fatal(err)
	}
	authority := first.Authority(first.IssuedBy())
	issued, err := authority.Issue(key.Public(), pki.Holder{Member: who.Member, Role: role}, first.Now())
	if err == nil {
		_, err = pki.NewIdentity(who, key, issued)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRecoverPrintsATokenAndLeavesNoSecret(t *testing.T) {
	dir := memberDir(t, pki.Voter)
	code, out, errs, asked := run(t, answers(""), "access", "recover", "--data", dir)
	token, err := access.ParseBearerToken(out)
	if code != cli.ExitOK || err != nil || len(asked) > 0 || out != token.Text()+"\n" {
		t.Fatalf("exit code %d, stdout %q, stderr %q, asked %q", code, out, errs, asked)
	}
	if !strings.Contains(errs, "has been started again") || strings.Contains(errs, token.Secret) {
		t.Errorf("stderr is %q", errs)
	}
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), token.Secret) {
			t.Errorf("%s has the secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRecoverIsForTheDirectoryOfAVoterOnly(t *testing.T) {
	damaged := memberDir(t, pki.Voter)
	if err := os.WriteFile(filepath.Join(pki.DirIn(damaged), "member.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := map[string]string{}
	for _, note := range []string{"removed", "diverged"} {
		ended[note] = memberDir(t, pki.Voter)
		if err := os.WriteFile(filepath.Join(ended[note], note), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		args string
		want int
	}{
		"a removed frontend's":      {"--data " + ended["removed"], cli.ExitUsage},
		"one of another state":      {"--data " + ended["diverged"], cli.ExitUsage},
		"no --data":                 {"", cli.ExitUsage},
		"an empty one":              {"--data=", cli.ExitUsage},
		"no such directory":         {"--data " + filepath.Join(t.TempDir(), "none"), cli.ExitUsage},
		"an insecure frontend's":    {"--data " + t.TempDir(), cli.ExitUsage},
		"a non-voter's":             {"--data " + memberDir(t, pki.Nonvoter), cli.ExitUsage},
		"one that has not joined":   {"--data " + memberDir(t, pki.Joiner), cli.ExitUsage},
		"a damaged certificate":     {"--data " + damaged, cli.ExitFailed},
		"an argument too many":      {"--data " + memberDir(t, pki.Voter) + " f1", cli.ExitUsage},
		"an address, not a machine": {"--to http://127.0.0.1:1", cli.ExitUsage},
	} {
		code, out, errs, _ := run(t, answers(""), append([]string{"access", "recover"}, strings.Fields(c.args)...)...)
		if code != c.want || out != "" || errs == "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want exit code %d", what, code, out, errs, c.want)
		}
	}
}

// The frontend could not read a file of root.
func TestRecoverIsRunByTheUserOfTheFrontend(t *testing.T) {
	dir := memberDir(t, pki.Voter)
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Skipf("only root can give a directory to another user: %v", err)
	}
	code, out, errs, _ := run(t, answers(""), "access", "recover", "--data", dir)
	if code != cli.ExitUsage || out != "" || !strings.Contains(errs, "user 12345") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
}
