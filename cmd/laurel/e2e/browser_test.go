package e2e

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// browse has Chromium load a page, and stay there until stop is called or ctx ends.
func browse(ctx context.Context, t testing.TB, url string, args ...string) (stop func()) {
	t.Helper()
	path := ""
	for _, name := range []string{os.Getenv("LAUREL_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		skipOrFail(t, "no Chromium in PATH or LAUREL_CHROMIUM; on Debian: apt-get install chromium")
	}
	// What is left of the browser when it is killed may write for a moment more, which would
	// be an error of a directory of the test's own.
	dir, err := os.MkdirTemp("", "laurel-page-")
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-component-update", "--disable-quic", "--user-data-dir=" + dir}, args...)
	c := exec.CommandContext(ctx, path, append(args, url)...)
	c.Stdout, c.Stderr = io.Discard, io.Discard
	// Its children end with it: they are of its own process group.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	if err := c.Start(); err != nil {
		_ = os.RemoveAll(dir)
		skipOrFail(t, "Chromium: %v", err)
	}
	return func() {
		_ = c.Cancel() // an error means that it has ended
		_ = c.Wait()   // the error is that it was killed
		_ = os.RemoveAll(dir)
	}
}
