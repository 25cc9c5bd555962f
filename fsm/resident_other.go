//go:build !linux

package fsm

import bolt "go.etcd.io/bbolt"

// unload is for Linux alone.
func unload(*bolt.DB) {}
