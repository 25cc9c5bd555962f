package pidfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// exited tells whether a process is over. Its locks go a moment before its other files and ports.
func exited(p *os.Process) bool {
	over := true
	// Without a handle the lock has to do.
	_ = p.WithHandle(func(pidfd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
		over = err == nil && n > 0
	})
	return over
}
