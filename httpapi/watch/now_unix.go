//go:build unix

package watch

import (
	"errors"
	"syscall"
)

// writeNow writes without waiting. It returns what the connection took.
func writeNow(w *Watcher, b []byte) (n int, err error) {
	if w.raw == nil {
		return 0, nil
	}
	outer := w.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case outer != nil:
		return 0, outer
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return n, nil
}
