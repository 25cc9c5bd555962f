//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPause is the pause before a lock that another program has is tried again: it has it for
// a millisecond, unless it was stopped meanwhile.
const lockPause = 5 * time.Millisecond

// lockFile takes the lock of a file as soon as nobody else has it, unless ctx ends before.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		switch err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return func() { f.Close() }, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			f.Close()
			return nil, &os.PathError{Op: "flock", Path: path, Err: err}
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another program has the lock of %s, and does not end its read (%w); "+
				"if it is stopped, continue or end it", path, context.Cause(ctx))
		}
	}
}
