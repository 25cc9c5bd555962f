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
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const suffix = ".pid" // of pid files

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

// Dir returns the absolute path of the run directory.
func (f *DirFlag) Dir() string {
	if f.value == "" {
		return DefaultDir()
	}
	if abs, err := filepath.Abs(f.value); err == nil {
		return abs
	}
	return f.value
}

// IsSet reports whether the user has chosen the run directory.
func (f *DirFlag) IsSet() bool { return f.value != "" }

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
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != os.Geteuid() {
		return fmt.Errorf("the run directory %s belongs to user %d, not to user %d; run this command as that user, "+
			"or choose another directory with --run-dir", dir, owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("other users can write into the run directory %s (mode %o); chmod 700 it, "+
			"or choose another with --run-dir", dir, mode)
	}
	return nil
}

// own has the names of the pid files of this process. It must not open them a second
// time: the lock belongs to the process, and closing any descriptor of the file releases
// it.
var own sync.Map

// Register writes a pid file for this process, which leave removes. It sets e.PID. If the
// process ends without a call of leave, the lock is released, and others remove the file.
func Register(dir string, e Entry) (leave func(), err error) {
	e.PID = os.Getpid()
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	// Another process may remove the directory together with its last file.
	for try := 0; ; try++ {
		leave, err := write(dir, e, append(body, '\n'))
		removed := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
		if !removed || try == 100 {
			return leave, err
		}
	}
}

func write(dir string, e Entry, body []byte) (leave func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	if err := check(dir); err != nil {
		return nil, err
	}
	// Names are used only once, so a file without a lock can be removed by name.
	id := url.PathEscape(e.ID)
	f, err := os.CreateTemp(dir, "."+e.Kind+"-"+id[:min(len(id), 64)]+"-*")
	if err != nil {
		return nil, fmt.Errorf("write a pid file: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := lock(f); err != nil {
		return nil, fmt.Errorf("lock the pid file: %w", err)
	}
	if _, err := f.Write(body); err != nil {
		return nil, fmt.Errorf("write the pid file: %w", err)
	}
	name := strings.TrimPrefix(filepath.Base(f.Name()), ".") + suffix
	own.Store(name, nil)
	// Without a lock its process would seem dead, so the name comes last.
	path := filepath.Join(dir, name)
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, fmt.Errorf("rename the pid file: %w", err)
	}
	return func() {
		os.Remove(path)
		f.Close()
		own.Delete(name)
		os.Remove(dir) // fails while there is another file
	}, nil
}

// RegisterOrWarn is Register for a process that can run without a pid file: it calls warn
// with the reason if there is none. The caller calls leave at the end.
func RegisterOrWarn(dir string, e Entry, warn func(error)) (leave func()) {
	leave, err := Register(dir, e)
	if err != nil {
		warn(fmt.Errorf("laurel stop will not find this %s: %w", e.Kind, err))
		return func() {}
	}
	return leave
}

// Lock locks a file, which it makes if necessary, until unlock is called or this process
// ends. It fails if another process holds the lock.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// lock locks a file. Unlike with flock, the kernel can name the holder of such a lock.
func lock(f *os.File) error {
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
}

// Process is another running process.
type Process struct {
	Entry // its PID is from the kernel, not from the file

	file   *os.File
	handle *os.Process
}

// List lists the processes of a run directory, sorted by kind and id, without this
// process. It removes stale pid files. A directory that does not exist has no processes.
// The caller closes each process.
func List(dir string) (list []*Process, err error) {
	if err := check(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the run directory: %w", err)
	}
	for _, f := range files {
		name := f.Name()
		_, isOwn := own.Load(name)
		if isOwn || filepath.Ext(name) != suffix {
			continue
		}
		p, err := open(filepath.Join(dir, name))
		if err != nil {
			CloseAll(list)
			return nil, err
		}
		if p != nil {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *Process) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.PID, b.PID))
	})
	return list, nil
}

// CloseAll closes all processes of a list. They keep running.
func CloseAll(list []*Process) {
	for _, p := range list {
		p.Close()
	}
}

// open returns the process that holds the lock on a pid file. If there is none, it
// removes the file and returns nil.
func open(path string) (*Process, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the process has just ended
	}
	if err != nil {
		return nil, fmt.Errorf("open a pid file: %w", err)
	}
	p := &Process{file: f}
	held, err := p.find()
	if err != nil || !held {
		p.Close()
		if err == nil {
			os.Remove(path)
		}
		return nil, err
	}
	return p, nil
}

// find finds the holder of the lock. It reports false if the lock is free.
func (p *Process) find() (bool, error) {
	pid, held, err := holder(p.file)
	if err != nil || !held {
		return false, err
	}
	body, err := io.ReadAll(io.LimitReader(p.file, 64<<10))
	if err != nil {
		return false, fmt.Errorf("read a pid file: %w", err)
	}
	if err := json.Unmarshal(body, &p.Entry); err != nil {
		return false, fmt.Errorf("%s is locked by process %d, but is not a pid file: %w", p.file.Name(), pid, err)
	}
	p.PID = pid
	if pid <= 0 {
		return true, nil // the process is in another container or on another machine
	}
	// On Linux the handle refers to this process even when its pid is reused.
	if p.handle, err = os.FindProcess(pid); err != nil {
		return false, fmt.Errorf("find process %d: %w", pid, err)
	}
	// The pid could have been reused before the handle was made. Only one process ever
	// locks this file, so if the lock is still held, its holder has had the pid all the
	// time.
	_, held, err = holder(p.file)
	return held, err
}

// Close releases the handle of the process, which keeps running.
func (p *Process) Close() {
	p.file.Close()
	if p.handle != nil {
		_ = p.handle.Release() // a failure has no consequence
	}
}

// Signal sends a signal. If the process has ended, it returns os.ErrProcessDone.
func (p *Process) Signal(s syscall.Signal) error {
	if p.handle == nil {
		return fmt.Errorf("%s %s runs in another container or on another machine; stop it there", p.Kind, p.ID)
	}
	// Where a handle is only a pid, this leaves little time for its reuse.
	if _, held, err := holder(p.file); err != nil || !held {
		return cmp.Or(err, os.ErrProcessDone)
	}
	return p.handle.Signal(s)
}

// waitInterval is how often Wait polls: the kernel notifies only the parent of a process.
const waitInterval = 5 * time.Millisecond

// Wait waits until the process has ended, and removes its pid file.
func (p *Process) Wait(ctx context.Context) error {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		_, held, err := holder(p.file)
		if err != nil {
			return err
		}
		if !held && p.hasExited() {
			os.Remove(p.file.Name())
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// hasExited reports whether a process whose lock is released has ended: the kernel
// releases its locks a moment before its ports. Without a handle of the kernel, which
// only Linux has, the released lock has to suffice.
func (p *Process) hasExited() bool {
	ended := true
	if p.handle != nil {
		_ = p.handle.WithHandle(func(pidfd uintptr) {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
			ended = err == nil && n > 0
		})
	}
	return ended
}

// holder returns the process that holds the lock on a file. pid is 0 or less if it has
// none on this machine. A process does not see its own locks.
func holder(f *os.File) (pid int, held bool, err error) {
	l := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil {
		return 0, false, fmt.Errorf("find the holder of the lock on %s: %w", f.Name(), err)
	}
	return int(l.Pid), l.Type != syscall.F_UNLCK, nil
}
