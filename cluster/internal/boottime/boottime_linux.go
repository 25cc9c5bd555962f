// Package boottime is the clock of leases.
package boottime

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Now reads a clock that advances while the machine is suspended, so that a lease has
// expired when the machine wakes. Go's own monotonic clock stops meanwhile, and the lease
// would seem valid. The system call does not block, so the scheduler need not learn of it:
// in an idle process that would wake the runtime's monitor.
func Now() time.Duration {
	var t unix.Timespec
	_, _, err := syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	if err != 0 {
		panic(err) // every Linux that Go supports has this clock
	}
	return time.Duration(t.Nano())
}
