//go:build !linux

package cluster

import "time"

// clock stands still while the machine is suspended: docs/operations.md says what that means.
func clock() time.Duration { return sinceStart() }
