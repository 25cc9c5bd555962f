//go:build !unix

package pidfile

import (
	"errors"
	"io/fs"
	"os"
)

func lock(*os.File) error { return errors.ErrUnsupported }

func holder(*os.File) (pid int, held bool, err error) { return 0, false, errors.ErrUnsupported }

func ownerOf(fs.FileInfo) (uid int, ok bool) { return 0, false }
