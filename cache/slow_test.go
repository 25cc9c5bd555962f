//go:build !race

package cache

// slower is by how much the worlds are fewer. They run in one goroutine, in which there is no race to be found.
const slower = 1
