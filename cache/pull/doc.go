// Package pull holds the answers of a frontend in pull mode, in which nobody has a lease:
// the frontend asks the master again and again whether its answers have changed. A Store
// holds the answers with the time at which each was last known to be true. A Schedule
// decides which of them are checked next, so that a bounded number of checks leaves as
// few stale reads as possible.
//
// Like package cache it is pure: readings of a clock and the master's answers come in,
// keys to poll come out. The goroutine that polls is in package cluster. Start reading at
// Store.
package pull
