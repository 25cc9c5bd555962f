package debugzip

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/internal/cli"
	"laurel/trust/access"
)

// planted are secrets that stand in everything that is collected.
var planted = []string{
	"laurel-token-1.0123456789abcdef." + strings.Repeat("Q", 43), // of a grant
	"laurel-join-1.fingerprint.id.JoinersOwnSecret",
	"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPlantedPrivateKey\n-----END PRIVATE KEY-----",
	"https://somebody:HerPassword@scores.example/",
	"SecretOfTheStoreOfBackups", // of a variable
	"TheSecretInAFile",          // of a variable that names a file
	"203.0.113.7",               // a client
	"2001:db8::7",
	"[::ffff:203.0.113.9]:4711",
}

// forbidden are what of the planted texts must not be found.
var forbidden = []string{
	strings.Repeat("Q", 43), "JoinersOwnSecret", "PlantedPrivateKey", "HerPassword", "SecretOfTheStoreOfBackups", "TheSecretInAFile",
	"203.0.113.7", "2001:db8::7", "203.0.113.9", "NeverShown",
}

// collected runs laurel debug zip, and returns the files that it wrote.
func collected(t *testing.T, args ...string) map[string]string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "laurel.zip")
	root := NewCommand()
	root.SetArgs(append([]string{"zip", "--out", out}, args...))
	var errs bytes.Buffer
	root.SetErr(&errs)
	root.SetOut(io.Discard)
	if code := cli.Run(context.Background(), root); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v; want a file for its owner only", info, err)
	}
	z, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(b)
	}
	return files
}

// frontend serves a frontend that has body at each path, and is in a group with others.
func frontend(t *testing.T, body string, others ...string) *httptest.Server {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Laurel-Frontend", "f1")
		switch r.URL.Path {
		case "/v1/frontends":
			fmt.Fprintf(w, `{"mode":"push","epoch":3,"master":"f1","frontends":[{"id":"f1","url":%q,"state":"serving"}%s]}`,
				s.URL, strings.Join(others, ""))
		case "/v1/cluster/settings":
			http.Error(w, "no", http.StatusForbidden)
		case "/metrics":
			_, _ = io.WriteString(w, body)
		default:
			_, _ = io.WriteString(w, body[:min(len(body), 10_000)])
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func manifestOf(t *testing.T, files map[string]string) (m manifest) {
	t.Helper()
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatalf("%v: %s", err, files["manifest.json"])
	}
	return m
}

func TestTheFileHasNoSecrets(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("TheSecretInAFile\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := access.BearerToken{ID: "0123456789abcdef", Secret: strings.Repeat("Q", 42) + "A"}
	t.Setenv("LAUREL_TOKEN", planted[0][:len(planted[0])-1]+"A")
	t.Setenv("LAUREL_JOIN_TOKEN", planted[1])
	t.Setenv("LAUREL_S3_SECRET", "SecretOfTheStoreOfBackups")
	t.Setenv("LAUREL_NEW_FLAG", "@"+secret)
	t.Setenv("LAUREL_PUBLIC_URL", planted[3])
	t.Setenv("LAUREL_ODD", "NeverShown")
	t.Setenv("LAUREL_ID", "f1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "NeverShown")
	text := "before " + strings.Join(planted, " between ") + " " + string(token.Secret) + " behind"
	s := frontend(t, text)
	debug := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
	defer debug.Close()
	// The profiles are binary, and pprof puts no texts in them.
	files := collected(t, "--to", s.URL, "--data", t.TempDir(), "--debug", strings.TrimPrefix(debug.URL, "http://"))
	for _, name := range []string{"doctor.json", "environment.txt", "manifest.json", "frontends/f1/metrics.txt",
		"frontends/f1/cluster.json", "frontends/f1/readyz.json", "profiles/goroutines.txt", "profiles/cpu.pb.gz"} {
		if files[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	for name, content := range files {
		if strings.HasSuffix(name, ".pb.gz") {
			continue
		}
		for _, s := range append(forbidden, string(token.Secret)) {
			if strings.Contains(content, s) {
				t.Errorf("%s has %q: %s", name, s, content)
			}
		}
	}
	if got := files["frontends/f1/metrics.txt"]; !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " behind") {
		t.Errorf("too much was hidden: %s", got)
	}
	for _, want := range []string{"LAUREL_ID=f1\n", "LAUREL_TOKEN=(hidden)\n", "LAUREL_S3_SECRET=(hidden)\n", "LAUREL_ODD=(hidden)\n",
		"LAUREL_PUBLIC_URL=https://(hidden)@scores.example/\n"} {
		if !strings.Contains(files["environment.txt"], want) {
			t.Errorf("the environment lacks %q: %s", want, files["environment.txt"])
		}
	}
	if m := manifestOf(t, files); m.Missing["frontends/f1/settings.json"] != "status 403" || !strings.Contains(m.Notes[0], "journalctl") {
		t.Errorf("the manifest has %+v", m)
	}
}

func TestAFrontendThatIsDownIsNamedAndTheOthersAreAsked(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	s := frontend(t, "well", fmt.Sprintf(`,{"id":"f2","url":%q,"state":"unreachable"},{"id":"../../f3","url":%q,"state":"serving"}`,
		down.URL, down.URL))
	files := collected(t, "--to", s.URL)
	m := manifestOf(t, files)
	if len(m.Frontends) != 3 || m.Frontends[0].Error != "" || m.Frontends[1].ID != "f2" || m.Frontends[1].Error == "" {
		t.Errorf("the manifest names %+v", m.Frontends)
	}
	if files["frontends/f1/metrics.txt"] != "well" {
		t.Error("the metrics of the one that runs are missing")
	}
	for name := range files {
		if strings.Contains(name, "..") {
			t.Errorf("the file %s leads out of the directory", name)
		}
	}
}

func TestTheFileIsBounded(t *testing.T) {
	s := frontend(t, strings.Repeat("x", maxFile+1))
	files := collected(t, "--to", s.URL)
	if n := len(files["frontends/f1/metrics.txt"]); n != maxFile {
		t.Errorf("a file has %d bytes; want %d", n, maxFile)
	}
	if m := manifestOf(t, files); !slices.Contains(m.Cut, "frontends/f1/metrics.txt") {
		t.Errorf("the manifest does not say that it was cut: %v", m.Cut)
	}
	a := newArchive(io.Discard, func(s string) string { return s })
	for n := range 2 * maxTotal / maxFile {
		if err := a.text(fmt.Sprint(n), make([]byte, maxFile)); err != nil {
			t.Fatal(err)
		}
	}
	if a.bytes != maxTotal || len(a.cut) != maxTotal/maxFile {
		t.Errorf("%d bytes, %d files were cut; want %d and %d", a.bytes, len(a.cut), maxTotal, maxTotal/maxFile)
	}
}

func TestAnExistingFileIsNotReplaced(t *testing.T) {
	out := filepath.Join(t.TempDir(), "laurel.zip")
	if err := os.WriteFile(out, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := NewCommand()
	root.SetArgs([]string{"zip", "--out", out})
	root.SetErr(io.Discard)
	if code := cli.Run(t.Context(), root); code != cli.ExitUsage {
		t.Errorf("exit code %d; want wrong usage", code)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "mine" {
		t.Errorf("the file has %q, %v", b, err)
	}
}
