//go:build unix

package testlock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestOneProcessHasTheLockAndThoseThatItStartsDoNotWait(t *testing.T) {
	if os.Getenv("LAUREL_TEST_STARTED") != "" { // by this test
		if err := Wait(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("LAUREL_CI", "full")
	t.Setenv(holds, "")
	if err := Wait(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("the lock can be taken twice: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), "LAUREL_TEST_STARTED=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("a process that the holder starts: %v\n%s", err, out)
	}
}
