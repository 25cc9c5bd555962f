package fsm

import (
	"unsafe"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// unload lets go of the pages of the file that reading through it has put into the process's memory. They stay in the kernel's cache, and come back
// when they are looked at. Opening looks at every page, so without this a frontend would seem to need as much memory as its file is large.
func unload(db *bolt.DB) {
	// A transaction keeps the file mapped where it is.
	db.View(func(tx *bolt.Tx) error {
		info := db.Info()
		start := *(**byte)(unsafe.Pointer(&info.Data)) // an address that is none of Go's
		return unix.Madvise(unsafe.Slice(start, tx.Size()), unix.MADV_DONTNEED)
	})
}
