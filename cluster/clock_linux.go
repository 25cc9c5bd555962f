package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock reads a clock that goes on while the machine is suspended. Go's own monotonic clock stands still then, and a lease would seem to
// have been kept; with this one it is over when the machine wakes.
func clock() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return sinceStart()
	}
	return time.Duration(t.Nano())
}
