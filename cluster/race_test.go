//go:build race

package cluster

// raceDetector makes the members several times slower, so fewer tests run at a time.
const raceDetector = true
