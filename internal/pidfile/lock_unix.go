//go:build unix

package pidfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// lock locks a new file. Unlike with flock, the kernel can name the holder of such a
// lock.
func lock(f *os.File) error {
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
}

// holder returns the process that holds the lock on a file. pid is 0 or less if it has
// none on this machine. A process does not see its own locks.
func holder(f *os.File) (pid int, held bool, err error) {
	l := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil {
		return 0, false, fmt.Errorf("find the holder of the lock on %s: %w", f.Name(), err)
	}
	return int(l.Pid), l.Type != syscall.F_UNLCK, nil
}

func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
