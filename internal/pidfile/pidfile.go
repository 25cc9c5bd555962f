// Package pidfile is how the commands find the processes that run here: by pid files in a run directory.
//
// A process has a lock on its pid file for as long as it lives, however it ends. Whoever wants to signal it asks the kernel who has
// that lock, and signals that process and no other: a number in a file may long belong to somebody else, the holder of a lock cannot.
// A time of start beside the number would be a weaker proof, and not every system tells it.
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

// Entry is what a process says about itself.
type Entry struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	PID  int    `json:"pid"`
	// Data is a frontend's data directory, absolute.
	Data string `json:"data,omitempty"`
}

func (e Entry) String() string { return fmt.Sprintf("%s %s (pid %d)", e.Kind, e.ID, e.PID) }

// variable is read here and not only by package cli, for completion, which does not come that far.
const variable = "LAUREL_RUN_DIR"

// Default is the run directory of this user, where nobody has named another.
func DefaultDir() string {
	// After a change of user the variable may name a directory that is not there, or is another's; a service has none at all.
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && check(dir) == nil {
		return filepath.Join(dir, "laurel")
	}
	return filepath.Join(os.TempDir(), "laurel-"+strconv.Itoa(os.Getuid()))
}

// Flag is a command's --run-dir.
type DirFlag struct{ typed string }

// AddDirFlag gives a command the flag --run-dir.
func AddDirFlag(c *cobra.Command) *DirFlag {
	f := &DirFlag{}
	c.Flags().StringVar(&f.typed, "run-dir", "", "`DIR` of the pid files of what runs here (default $XDG_RUNTIME_DIR/laurel, or else laurel-UID in the temporary directory)")
	return f
}

// Dir is the directory that was named, or the default; absolute. Named tells which.
func (f *DirFlag) Dir() (dir string, named bool) {
	dir = cmp.Or(f.typed, os.Getenv(variable))
	if dir == "" {
		return DefaultDir(), false
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return dir, true
}

// Enter is Register for a process that goes on without a pid file where it cannot have one: warn is told why. Leave is to be called at
// the end.
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

// check refuses a directory into which somebody else could put files: the names below a shared temporary directory are anybody's.
func check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory; remove it, or choose another with --run-dir", dir)
	}
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return fmt.Errorf("the run directory %s belongs to user %d, and this is user %d; run this as that user, or choose another with --run-dir", dir, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others may write into the run directory %s (%o); chmod 700 it, or choose another with --run-dir", dir, mode)
	}
	return nil
}
