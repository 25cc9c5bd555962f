//go:build race

package cache

const raceFactor = 10
