//go:build !linux

package doctor

import (
	"errors"
	"os"
)

func fileSystem(string) (string, error) { return "", errors.ErrUnsupported }

func openFiles() (uint64, error) { return 0, errors.ErrUnsupported }

func clockSynced() (bool, error) { return false, errors.ErrUnsupported }

func dataSync(f *os.File) error { return f.Sync() }
