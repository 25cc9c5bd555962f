package main

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"laurel/internal/cli"
)

func TestAuthoritiesReplaceTheFileThatTheCommandTrusts(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	file := filepath.Join(t.TempDir(), "ca.pem")
	old := text + "old\n"
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAUREL_CA", file)
	content := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, answer := range []string{"", "<html>"} {
		if code, _, _, _ := run(t, answers(answer), "cluster", "ca", "--out", file); code != cli.ExitFailed || content() != old {
			t.Errorf("the answer %q gives exit code %d, and the file has %q", answer, code, content())
		}
	}
	code, out, errs, _ := run(t, answers(text), "cluster", "ca", "--out", file)
	if code != cli.ExitOK || content() != text || !strings.Contains(out, file) {
		t.Errorf("exit code %d: %s%s; the file has %q", code, out, errs, content())
	}
	if files, err := os.ReadDir(filepath.Dir(file)); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
	if code, _, _, asked := run(t, answers(text), "cluster", "ca", "rotate", "--out", file); code != cli.ExitUsage || len(asked) > 0 {
		t.Errorf("rotate with --out gives exit code %d and sends %q", code, asked)
	}
}

func TestAuthoritiesReplaceNothingButARegularFile(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	dir := t.TempDir()
	device, link, behind := filepath.Join(dir, "device"), filepath.Join(dir, "link"), filepath.Join(dir, "ca.pem")
	if err := syscall.Mkfifo(device, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(behind, nil, 0o600), os.Symlink("ca.pem", link)); err != nil {
		t.Fatal(err)
	}
	code, _, errs, _ := run(t, answers(text), "cluster", "ca", "--out", device)
	if info, err := os.Lstat(device); code != cli.ExitFailed || err != nil || info.Mode().IsRegular() {
		t.Errorf("a device: exit code %d, %s; now it is %v, %v", code, errs, info, err)
	}
	code, _, errs, _ = run(t, answers(text), "cluster", "ca", "--out", link)
	if b, err := os.ReadFile(behind); code != cli.ExitOK || err != nil || string(b) != text {
		t.Errorf("a link: exit code %d, %s; behind it is %q, %v", code, errs, b, err)
	}
}

func TestAuthorityFileThatTheShellEmptiedSaysWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAUREL_CA", file)
	code, _, errs, _ := run(t, answers(""), "cluster", "ca")
	if code != cli.ExitUsage || !strings.Contains(errs, "is empty") || !strings.Contains(errs, "--out "+file) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	// The command that the error names does not read the file.
	if code, _, errs, _ := run(t, answers("pem"), "cluster", "ca", "--ca="); code != cli.ExitOK {
		t.Errorf("exit code %d without --ca: %s", code, errs)
	}
}
