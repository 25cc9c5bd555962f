//go:build !linux

package cluster

import "time"

// clock stops while the machine is suspended; docs/operations.md describes the consequence.
func clock() time.Duration { return sinceStart() }
