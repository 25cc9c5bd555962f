//go:build race

package cluster

// raced reports whether the race detector is on, which makes members several times slower.
const raced = true
