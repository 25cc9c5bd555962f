package pidfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// exited reports whether a process has ended. Its locks are released a moment before its
// ports.
func exited(p *os.Process) bool {
	ended := true
	// Without a handle, the released lock has to suffice.
	_ = p.WithHandle(func(pidfd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
		ended = err == nil && n > 0
	})
	return ended
}
