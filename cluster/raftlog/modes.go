package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"laurel/cluster/disk"
	"laurel/cluster/snapshots"
	"laurel/fsm"
	"laurel/trust/pki"
)

// owned are the patterns of the files and directories that Laurel keeps in a data
// directory. Package pki makes the member's keys, internal/frontend the files about operators,
// package forming forming.json, and package sworn the files about the keys of frontends.
var owned = []string{
	identityFile, removedFile, divergedFile, gobackFile, recoveryFile, restoreFile, voteFile, logDir, snapshots.Dir,
	fsm.File + "*", disk.ReserveFile, ".new-*",
	pki.DirName, pki.OperatorFile, "operator.recovery", "forming.json",
	"witness.key", "witness.state", "putout.json*", "evidence", "sworn.json",
}

// Modes of what a data directory holds: only the owner has access.
const (
	privateDir  fs.FileMode = 0o700
	privateFile fs.FileMode = 0o600
)

// protect gives a data directory and what Laurel keeps in it the modes privateDir and
// privateFile. It returns what it changed. Libraries make files with other modes, and the
// directory may have existed. Files that Laurel does not know stay as they are.
func protect(dir string) (changed []string, err error) {
	visit := func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		mode := privateFile
		switch {
		case d.IsDir():
			mode = privateDir
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Perm() == mode {
			return nil
		}
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			return err
		}
		changed = append(changed, path)
		return nil
	}
	info, err := os.Stat(dir)
	if err == nil {
		err = visit(dir, fs.FileInfoToDirEntry(info), nil)
	}
	for _, pattern := range owned {
		names, err2 := fs.Glob(os.DirFS(dir), pattern)
		err = errors.Join(err, err2)
		for _, name := range names {
			err = errors.Join(err, filepath.WalkDir(filepath.Join(dir, name), visit))
		}
	}
	return changed, err
}

// protect protects the data directory and logs what it changed. Without the right to
// change modes the member still starts.
func (s *Store) protect() {
	changed, err := protect(s.dir)
	if len(changed) > 0 {
		s.logger.Warn("the data directory was not for its owner only; "+
			fmt.Sprintf("changed directories to mode %o and files to %o", privateDir, privateFile),
			"dir", s.dir, "changed", len(changed), "first", changed[0])
	}
	if err != nil {
		s.logger.Error("the modes of the data directory could not be changed; others than the owner may have "+
			"access to it", "dir", s.dir, "err", err)
	}
}
