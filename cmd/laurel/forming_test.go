package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster"
	"laurel/internal/cli"
	"laurel/internal/systemd"
	"laurel/trust/access"
	"laurel/trust/pki"
)

func flagsWith(t *testing.T, join ...string) *frontendFlags {
	var f frontendFlags
	f.insecure, f.HTTP, f.service = true, "127.0.0.1:0", systemd.New(slog.New(slog.DiscardHandler))
	f.Member = cluster.Options{
		ID: "f1", Dir: filepath.Join(t.TempDir(), "f1"), Join: join,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	return &f
}

func TestFlagsThatCouldMakeTwoGroupsAreWrongUsage(t *testing.T) {
	const three = "http://127.0.0.1:1,http://127.0.0.1:2,http://127.0.0.1:3"
	token := pki.NewJoinToken(strings.Repeat("a", 64)).Text()
	for line, want := range map[string]string{
		"--bootstrap --join " + three:                                            "--bootstrap-expect",
		"--bootstrap --bootstrap-expect 3":                                       "exclude",
		"--bootstrap-expect 3":                                                   "--join",
		"--bootstrap-expect 1 --join " + three:                                   "two halves",
		"--bootstrap-expect 3 --join http://127.0.0.1:1":                         "needs 2 others",
		"--bootstrap-expect 16 --join dns:peers:1":                               "1 to 15",
		"--bootstrap-expect -1 --join dns:peers:1":                               "1 to 15",
		"--bootstrap-expect 3 --nonvoter --join dns:peers:1":                     "--nonvoter",
		"--bootstrap-expect 3 --join dns:peers":                                  "dns:laurel-peers:8001",
		"--bootstrap-expect 3 --join peers:1":                                    "dns:laurel-peers:8001",
		"--secure --bootstrap-expect 3 --join dns:peers:1":                       "laurel authority new",
		"--secure --bootstrap-expect 3 --join dns:peers:1 --join-token x":        "not a join token",
		"--secure --bootstrap-expect 3 --join dns:peers:1 --join-token @no-file": "no-file",
		"--secure --sworn --bootstrap-expect 3 --join dns:peers:1 --join-token " + token: "a sworn group does not form " +
			"by itself",
		"--secure --authority d --join http://127.0.0.1:1": "--authority is for",
		"--authority d --bootstrap":                        "--insecure",
	} {
		args := append([]string{"frontend", "--id", "f1", "--data", t.TempDir()}, strings.Fields(line)...)
		if rest, secure := strings.CutPrefix(line, "--secure "); secure {
			args = append(args[:5], strings.Fields(rest)...)
		} else {
			args = append(args, "--insecure")
		}
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", line, code, errs, want)
		}
	}
}

func TestAFrontendWithDataFormsNoGroup(t *testing.T) {
	f := flagsWith(t)
	f.Member.Bootstrap = true
	f.Member.Peer, f.Member.Metrics = "127.0.0.1:0", prometheus.NewRegistry()
	m, err := cluster.Start(f.Member)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	f.Member.Bootstrap, f.Member.Join, f.expect = false, []string{"http://127.0.0.1:2"}, 3
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := f.form(ctx); err != nil || f.Member.Bootstrap || len(f.Member.Join) != 1 {
		t.Errorf("it chooses bootstrap %t, join %q, %v", f.Member.Bootstrap, f.Member.Join, err)
	}
}

func TestOneFrontendThatExpectsNobodyElseMakesAGroup(t *testing.T) {
	f := flagsWith(t, "http://127.0.0.1:2")
	f.expect = 1
	if err := f.form(t.Context()); err != nil || !f.Member.Bootstrap || f.Member.Join != nil {
		t.Errorf("it chooses bootstrap %t, join %q, %v", f.Member.Bootstrap, f.Member.Join, err)
	}
}

// It did not if it was killed before and so knew at once that it was to found.
func TestAFrontendThatMakesAGroupListensAtItsPortAgainAtOnce(t *testing.T) {
	f := flagsWith(t, "http://127.0.0.1:2")
	l, err := net.Listen("tcp", f.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	f.HTTP, f.expect = l.Addr().String(), 1
	for range 100 {
		l.Close()
		if err := f.form(t.Context()); err != nil || !f.Member.Bootstrap {
			t.Fatalf("it chooses bootstrap %t, %v", f.Member.Bootstrap, err)
		}
		if l, err = net.Listen("tcp", f.HTTP); err != nil {
			t.Fatal(err)
		}
		f.Member.Bootstrap, f.Member.Join = false, []string{"http://127.0.0.1:2"}
	}
	l.Close()
}

func TestFrontendThatWaitsToJoinHasNoData(t *testing.T) {
	f := flagsWith(t, "http://127.0.0.1:2")
	f.Member.Peer, f.Member.Metrics = "127.0.0.1:0", prometheus.NewRegistry()
	m, err := cluster.Start(f.Member)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if has, err := cluster.HasData(f.Member.Dir); has || err != nil {
		t.Errorf("it has data: %t, %v", has, err)
	}
	if _, err := os.Stat(filepath.Join(f.Member.Dir, stableFile)); err != nil {
		t.Error(err)
	}
}

// A frontend with the certificate of a group that another one has made is not able to found,
// and neither is one without the authority.
func TestOnlyAFrontendWithTheAuthorityMakesASecureGroup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	if _, err := makeAuthority(dir, time.Hour, 3, nil); err != nil {
		t.Fatal(err)
	}
	founding, err := pki.ReadFounding(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := flagsWith(t)
	f.insecure, f.Member.Peer = false, "127.0.0.1:1"
	may := func(what string, want bool) {
		t.Helper()
		if got, err := f.mayFound("f1@a"); got != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", what, got, err, want)
		}
	}
	may("without the authority", false)
	f.authority = dir
	may("with it", true)
	f.authority = filepath.Join(dir, "deleted")
	may("after it was deleted", false)
	f.authority = dir
	p := pki.Options{Dir: pki.DirIn(f.Member.Dir), Member: "f1@a"}
	if _, err := pki.Found(p, founding.Authority); err != nil {
		t.Fatal(err)
	}
	may("after a crash as it made the group", true)
	key, csr, err := pki.NewRequest("f1@a", nil)
	if err != nil || csr == nil {
		t.Fatal(err)
	}
	issued, err := founding.Authority.Issue(key.Public(), pki.Holder{Member: "f1@a", Role: pki.Joiner}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(p.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.NewIdentity(p, key, issued); err != nil {
		t.Fatal(err)
	}
	may("with a certificate by another frontend", false)
}

func TestTheFilesOfAnAuthorityAreForTheirOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	code, out, errs, _ := run(t, answers("{}"), "authority", "new", "--out", dir, "--uses", "2", "--host", "scores.example")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	read := func(name string) string {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(out, name) {
			t.Errorf("%s: %v, %v; the output is %q", name, info, err, out)
		}
		text, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.TrimSpace(string(text))
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info, err)
	}
	join, err := pki.ParseJoinToken(read(pki.JoinTokenFile))
	operator, err2 := access.ParseBearerToken(read(pki.OperatorFile))
	founding, err3 := pki.ReadFounding(dir)
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	if join.Fingerprint != founding.Authority.Fingerprint() || string(join.Hash()) != string(founding.Join.Hash) ||
		string(operator.Hash()) != string(founding.Operator.Hash) || founding.Join.Uses != 2 ||
		fmt.Sprint(founding.Join.Hosts) != "[scores.example]" {
		t.Errorf("the group begins with %+v; want that of the tokens", founding)
	}
	if text := read(pki.FoundingFile); strings.Contains(text, join.Secret) || strings.Contains(text, operator.Secret) {
		t.Errorf("%s has the secret of a token: %s", pki.FoundingFile, text)
	}
	if text := read(pki.CertificateFile); strings.Contains(text, "PRIVATE") || !strings.Contains(text, "CERTIFICATE") {
		t.Errorf("%s is %s", pki.CertificateFile, text)
	}
	before := read(pki.AuthorityFile)
	if code, _, errs, _ := run(t, answers("{}"), "authority", "new", "--out", dir); code != 1 ||
		!strings.Contains(errs, "not empty") || read(pki.AuthorityFile) != before {
		t.Errorf("over another authority: exit code %d, %q", code, errs)
	}
	for line, want := range map[string]string{
		"": "--out", "--out x --ttl 0": "ttl", "--out x --uses 0": "uses", "--out x --host a/b": "hosts.0",
	} {
		args := append([]string{"authority", "new"}, strings.Fields(line)...)
		if code, _, errs, _ := run(t, answers("{}"), args...); code != cli.ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %q; want %q", line, code, errs, want)
		}
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("wrong usage has made a directory")
	}
	// The frontend that makes the group needs no other file.
	for _, name := range []string{pki.JoinTokenFile, pki.OperatorFile, pki.CertificateFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pki.ReadFounding(dir); err != nil {
		t.Error(err)
	}
	_ = os.Remove(filepath.Join(dir, pki.FoundingFile))
	if _, err := pki.ReadFounding(dir); err == nil || !strings.Contains(err.Error(), pki.FoundingFile) {
		t.Errorf("without %s: %v", pki.FoundingFile, err)
	}
}
