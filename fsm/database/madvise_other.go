//go:build !linux

package database

import bolt "go.etcd.io/bbolt"

// DropPages does nothing: only Linux is supported.
func DropPages(*bolt.Tx) {}
