//go:build !linux

package disk

import (
	"errors"
	"os"
)

// Allocate returns an error: blocks are not allocated here before they are written.
func Allocate(string, int64) error { return errors.ErrUnsupported }

func extend(*os.File, int64) error { return errors.ErrUnsupported }
