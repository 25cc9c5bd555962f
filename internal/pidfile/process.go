package pidfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

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
	// Where a handle is only a pid, this check keeps the time in which it could be reused
	// short.
	if _, held, err := holder(p.file); err != nil || !held {
		return cmp.Or(err, os.ErrProcessDone)
	}
	return p.handle.Signal(s)
}

// waitInterval is the interval at which Wait polls: the kernel notifies only the parent
// of a process.
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

// hasExited reports whether a process whose lock is released has ended: the kernel releases
// its locks a moment before its ports. Without a handle of the kernel, which only Linux
// has, the released lock has to suffice.
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
