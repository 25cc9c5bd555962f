//go:build !race

package cache

// raceFactor divides the number of worlds under the race detector. They run in one
// goroutine, so there is no race to find.
const raceFactor = 1
