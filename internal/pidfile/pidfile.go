// Package pidfile registers the processes of Laurel on this machine by pid files in a run
// directory, and finds and signals them.
//
// A process holds a lock on its pid file for as long as it lives. [List] asks the kernel
// for the process that holds the lock, and only that process is signalled: the pid in a
// stale file may belong to another process, but the holder of the lock is the right one.
// A start time beside the pid would be a weaker proof, and not every system has it.
package pidfile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
)

// Kinds of processes.
const (
	Frontend = "frontend"
	Bard     = "bard"
	Client   = "client"
	Demo     = "demo"
)

// Entry is the content of a pid file.
type Entry struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	PID  int    `json:"pid"`
	// Data is a frontend's data directory, absolute.
	Data string `json:"data,omitempty"`
}

func (e Entry) String() string { return fmt.Sprintf("%s %s (pid %d)", e.Kind, e.ID, e.PID) }

// runDirVariable is also read here, as the completion of a flag's value runs before
// package cli reads the environment.
const runDirVariable = "LAUREL_RUN_DIR"

// DefaultDir returns the default run directory of this user.
func DefaultDir() string {
	// After a change of user the variable may name a directory that does not exist or
	// belongs to another user; a service has none.
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && check(dir) == nil {
		return filepath.Join(dir, "laurel")
	}
	return filepath.Join(os.TempDir(), "laurel-"+strconv.Itoa(os.Getuid()))
}

// DirFlag is the flag --run-dir of a command.
type DirFlag struct{ value string }

// AddDirFlag adds the flag --run-dir to a command.
func AddDirFlag(c *cobra.Command) *DirFlag {
	f := &DirFlag{}
	c.Flags().StringVar(&f.value, "run-dir", "",
		"`DIR` of the pid files (default $XDG_RUNTIME_DIR/laurel, or else laurel-UID in the temporary directory)")
	return f
}

// Dir returns the absolute path of the run directory, and reports whether the user has
// set it.
func (f *DirFlag) Dir() (dir string, named bool) {
	dir = cmp.Or(f.value, os.Getenv(runDirVariable))
	if dir == "" {
		return DefaultDir(), false
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return dir, true
}

// RegisterOrWarn is Register for a process that can run without a pid file: it calls warn
// with the reason if there is none. The caller calls leave at the end.
func RegisterOrWarn(dir string, e Entry, warn func(error)) (leave func()) {
	r, err := Register(dir, e)
	if err == nil {
		return r.Close
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		warn(fmt.Errorf("laurel stop will not find this %s: %w", e.Kind, err))
	}
	return func() {}
}

// prepare makes the directory if it is missing.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	return check(dir)
}

// check refuses a directory into which another user could write. In a shared temporary
// directory every user can make names.
func check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory; remove it, or choose another with --run-dir", dir)
	}
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return fmt.Errorf("the run directory %s belongs to user %d, not to user %d; run this command as that user, "+
			"or choose another directory with --run-dir", dir, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("other users can write into the run directory %s (mode %o); chmod 700 it, "+
			"or choose another with --run-dir", dir, mode)
	}
	return nil
}
