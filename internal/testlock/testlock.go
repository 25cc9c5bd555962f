//go:build unix

// Package testlock keeps the tests of packages that need the whole machine from running
// beside each other, as go test does.
package testlock

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// holds is set in the environment of the process that has the lock, and so in that of the
// processes that it starts, which must not wait for it.
const holds = "LAUREL_TEST_LOCK"

// Wait waits until no other process has called it, with LAUREL_CI=full, where tests take
// minutes: beside others, frontends lose their master for want of a processor or of the disk.
// It holds until this process ends. The processes that this one starts do not wait.
func Wait() error {
	if os.Getenv("LAUREL_CI") != "full" || os.Getenv(holds) != "" {
		return nil
	}
	fd, err := syscall.Open(path(), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path(), err)
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil { // fd is never closed: the lock would go with it
		return fmt.Errorf("lock %s: %w", path(), err)
	}
	return os.Setenv(holds, "1")
}

func path() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("laurel-tests-%d.lock", os.Getuid()))
}
