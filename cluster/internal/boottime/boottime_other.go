//go:build !linux

package boottime

import "time"

var start = time.Now()

// Now stops while the machine is suspended; docs/operations.md describes the
// consequence.
func Now() time.Duration { return time.Since(start) }
