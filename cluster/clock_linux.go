package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock reads a clock that advances while the machine is suspended, so that a lease has
// expired when the machine wakes. Go's own monotonic clock stops meanwhile, and the lease
// would seem valid.
func clock() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // every Linux that Go supports has this clock
	}
	return time.Duration(t.Nano())
}
