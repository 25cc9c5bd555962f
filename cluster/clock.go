package cluster

import "time"

var start = time.Now()

// sinceStart returns the time since the start of the process.
func sinceStart() time.Duration { return time.Since(start) }
