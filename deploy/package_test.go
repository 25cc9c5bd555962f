package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is the release that all tests share: its programs are built once.
var built = sync.OnceValues(func() (*release, error) { return newRelease(context.Background(), "..") })

func TestMain(m *testing.M) {
	code := m.Run()
	if r, err := built(); err == nil {
		os.RemoveAll(r.work)
	}
	os.Exit(code)
}

func theRelease(t *testing.T) *release {
	t.Helper()
	r, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// needs skips the test if a program is not installed. In .ci/run it fails then.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			skip(t, p+" is not installed")
		}
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "it takes root")
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("LAUREL_CI") == "full" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// output runs a program, which must succeed, and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func theDeb(t *testing.T) string {
	t.Helper()
	path, err := theRelease(t).deb(t.Context(), native.arch, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheDebianPackageIsCleanForLintian(t *testing.T) {
	needs(t, "lintian")
	if out := output(t, "lintian", "--allow-root", "--fail-on", "error,warning", theDeb(t)); out != "" {
		t.Error(out)
	}
}

// The package is installed into an empty directory and purged again. Its user is made there, too.
func TestTheDebianPackageLeavesOnlyDataAndUser(t *testing.T) {
	needs(t, "dpkg", "systemd-sysusers")
	needsRoot(t)
	deb, root := theDeb(t), t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := []string{"--root=" + root, "--force-script-chrootless", "--force-depends", "--log=/dev/null"}
	output(t, "dpkg", append(dpkg, "--install", deb)...)
	users, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(users), "laurel:") {
		t.Errorf("no user laurel in %q (%v)", users, err)
	}
	info, err := os.Stat(filepath.Join(root, "etc/laurel/frontend.env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("frontend.env: %v, %v; want mode 0600", info, err)
	}
	if got := output(t, filepath.Join(root, "usr/bin/laurel"), "--version"); !strings.Contains(got, theRelease(t).build) {
		t.Errorf("the installed program says %q", got)
	}

	data := filepath.Join(root, "var/lib/laurel")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if said := output(t, "dpkg", append(dpkg, "--purge", "laurel")...); !strings.Contains(said, "/var/lib/laurel") {
		t.Errorf("purging does not say that the data stay: %q", said)
	}
	left, err := filesBelow(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if strings.Contains(f.path, "laurel") && f.path != "var/lib/laurel" {
			t.Errorf("%s is left", f.path)
		}
	}
}

func TestEveryCommandHasAManualPageThatIsWellFormed(t *testing.T) {
	needs(t, "mandoc")
	r := theRelease(t)
	files, err := r.documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	lint := []string{"-T", "lint", "-W", "warning"}
	for _, f := range files {
		if name, page := strings.CutSuffix(filepath.Base(f.path), ".1"); page {
			text, err := os.ReadFile(f.from)
			if err != nil {
				t.Fatal(err)
			}
			pages[name] = string(text)
			lint = append(lint, f.from)
		}
	}
	if out := output(t, "mandoc", lint...); out != "" {
		t.Error(out)
	}
	for page, has := range map[string]string{
		"laurel":                `\-\-version`,
		"laurel-frontend":       `[$LAUREL_PEER_LISTEN]`,
		"laurel-cluster-status": "laurel-cluster",
		"bard-sing":             `\-\-speed`,
	} {
		if has = roff(has); !strings.Contains(pages[page], strings.ReplaceAll(has, `\e\-`, `\-`)) {
			t.Errorf("page %s does not have %s", page, has)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if _, err := exec.LookPath(shell); err == nil {
			for _, f := range files {
				if strings.Contains(f.path, "/"+shell) {
					output(t, shell, "-n", f.from)
				}
			}
		}
	}
}

func TestAnArchiveHasWhatAGroupNeeds(t *testing.T) {
	r, out := theRelease(t), t.TempDir()
	if err := r.archive(t.Context(), native, out); err != nil {
		t.Fatal(err)
	}
	if err := writeSums(out); err != nil {
		t.Fatal(err)
	}
	name := "laurel_" + r.version + "_" + native.String()
	packed, err := os.ReadFile(filepath.Join(out, name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(r.time) || h.Uid != 0 {
			t.Errorf("%s has time %v and owner %d", h.Name, h.ModTime, h.Uid)
		}
		has[strings.TrimPrefix(h.Name, name+"/")] = true
	}
	for _, want := range []string{
		"laurel", "bard", "LICENSE", "share/man/man1/laurel-frontend.1", "share/bash-completion/completions/bard",
		"deploy/systemd/laurel-frontend.service", "deploy/prometheus/laurel.rules.yaml", "deploy/kubernetes/laurel.yaml",
		"deploy/grafana/laurel.json",
	} {
		if !has[want] {
			t.Errorf("the archive lacks %s", want)
		}
	}
	c := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	c.Dir = out
	if said, err := c.CombinedOutput(); err != nil || !strings.Contains(string(said), name+".tar.gz: OK") {
		t.Errorf("sha256sum: %v\n%s", err, said)
	}
}

// LAUREL_LONG=1 builds everything twice, in directories of different names. That takes minutes.
func TestEqualCommitsGiveEqualBytes(t *testing.T) {
	build := func(out string) {
		r := theRelease(t)
		if os.Getenv("LAUREL_LONG") == "1" {
			if err := run(t.Context(), []string{"--out", out}); err != nil {
				t.Fatal(err)
			}
			return
		}
		again := *r
		again.work, again.manual = t.TempDir(), nil
		if err := os.Symlink(filepath.Join(r.work, native.String()), filepath.Join(again.work, native.String())); err != nil {
			t.Fatal(err)
		}
		_, err := again.deb(t.Context(), native.arch, out)
		if err := errors.Join(err, again.archive(t.Context(), native, out),
			again.writeImage(t.Context(), []target{native}, out), writeSums(out)); err != nil {
			t.Fatal(err)
		}
	}
	one, other := t.TempDir(), t.TempDir()
	build(one)
	build(other)
	sums, err := os.ReadFile(filepath.Join(one, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(other, "SHA256SUMS")); err != nil || string(again) != string(sums) {
		t.Errorf("one time:\n%sthe other:\n%s(%v)", sums, again, err)
	}
	if n := strings.Count(string(sums), "\n"); n < 3 {
		t.Errorf("%d packages", n)
	}
}

func TestTheListOfModulesNamesWhatIsLinked(t *testing.T) {
	r, out := theRelease(t), t.TempDir()
	if err := r.sbom(t.Context(), []target{native}, out); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, "laurel_"+r.version+"_sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(b, &bom); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, c := range bom.Components {
		listed[c.Name] = true
		if c.Version == "" || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%+v", c)
		}
	}
	for _, want := range []string{"std", "github.com/hashicorp/raft", "go.etcd.io/bbolt"} {
		if !listed[want] {
			t.Errorf("%s is not listed", want)
		}
	}
	if listed["pgregory.net/rapid"] {
		t.Error("a module that only tests use is listed")
	}
}

// unpack unpacks a tar into dir, with modes and owners.
func unpack(t *testing.T, in io.Reader, dir string) {
	t.Helper()
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path, mode := filepath.Join(dir, filepath.FromSlash(h.Name)), h.FileInfo().Mode()
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, mode.Perm())
		} else {
			err = copyFile(path, tr, mode)
		}
		err = errors.Join(err, os.Chmod(path, mode&(fs.ModePerm|fs.ModeSticky)), os.Chown(path, h.Uid, h.Gid))
		if err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(path string, from io.Reader, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
