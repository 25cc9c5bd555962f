package cluster

import (
	"time"
)

var start = time.Now()

func sinceStart() time.Duration { return time.Since(start) }

// turn is a lock that may be held for long. It is a channel, because virtual time (testing/synctest) stands still while anybody waits for a
// mutex, and what its holder waits for would never come.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }
