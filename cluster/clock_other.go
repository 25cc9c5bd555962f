//go:build !linux

package cluster

import "time"

var start = time.Now()

// clock stops while the machine is suspended; docs/operations.md describes the
// consequence.
func clock() time.Duration { return time.Since(start) }
