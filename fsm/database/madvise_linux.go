package database

import (
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// DropPages releases the pages of the file that reading has mapped into the process. They
// stay in the kernel's cache and are mapped again on access. Opening a file reads every
// page, so without this a frontend would appear to need as much memory as its file is
// large. The open transaction keeps bbolt from moving the memory map.
func DropPages(tx *bolt.Tx) {
	unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}
