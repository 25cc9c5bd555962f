package e2e

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The script is what docs/operations.md has operators do when two of three machines burn, and when
// all do. It compares every answer with that of a group to which nothing happened.
func TestTheDrillEndsWithTheTruth(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	for _, name := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			skipOrFail(t, "%v", err)
		}
	}
	args := []string{filepath.Join(repository, ".ci", "drill"), filepath.Dir(program(t, "laurel")), t.TempDir()}
	for range 8 {
		_, port, err := net.SplitHostPort(freePort(t))
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, port)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // with all that it starts
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
