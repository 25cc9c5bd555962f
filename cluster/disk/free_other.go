//go:build !(linux || darwin || freebsd)

package disk

import "errors"

// Free returns an error: the room of a file system is not known here.
func Free(string) (int64, error) { return 0, errors.ErrUnsupported }
