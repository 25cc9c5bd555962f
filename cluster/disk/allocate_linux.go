package disk

import (
	"errors"
	"os"
	"syscall"
)

const keepSize = 1 // FALLOC_FL_KEEP_SIZE

// Allocate gives a file the blocks for its first size bytes. Its size stays as it is: the
// blocks behind its end are used when it grows.
func Allocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(fallocate(f, keepSize, size), f.Close())
}

// extend makes a file of size bytes that has all its blocks.
func extend(f *os.File, size int64) error { return fallocate(f, 0, size) }

func fallocate(f *os.File, mode uint32, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), mode, 0, size)
		if err != syscall.EINTR {
			return os.NewSyscallError("fallocate", err)
		}
	}
}
