package watch

import (
	"errors"
	"syscall"
)

// writeNow writes to the watcher's file descriptor without blocking. It returns the number
// of bytes that the connection accepted, which is 0 if there is no descriptor.
func writeNow(w *Watcher, b []byte) (n int, err error) {
	if w.raw == nil {
		return 0, nil
	}
	closed := w.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case closed != nil:
		return 0, closed
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return n, nil
}
