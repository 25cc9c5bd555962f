//go:build linux || darwin || freebsd

package disk

import "syscall"

// Free returns the room on the file system of a directory for an unprivileged process, in
// bytes.
func Free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
