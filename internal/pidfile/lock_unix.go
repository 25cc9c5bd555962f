//go:build unix

package pidfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// lock takes the lock of a new file. Of the two kinds of locks it is the one whose holder the kernel names.
func lock(f *os.File) error {
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
}

// holder tells which process has the lock of a file. The number is 0 or less if it has none here. A process does not see its own locks.
func holder(f *os.File) (pid int, held bool, err error) {
	l := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil {
		return 0, false, fmt.Errorf("ask who has the lock of %s: %w", f.Name(), err)
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
