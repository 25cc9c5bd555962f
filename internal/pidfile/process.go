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
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// Process is another process that runs here.
type Process struct {
	Entry // PID is what the kernel says, not the file

	file   *os.File
	handle *os.Process
}

// List lists the processes of a run directory, in the order of kinds and ids, and takes away the pid files of those that are gone.
// This process itself is not among them. A directory that is not there has none. Close is to be called on each.
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
		if _, own := mine.Load(f.Name()); own || !f.Type().IsRegular() || strings.HasPrefix(f.Name(), ".") || filepath.Ext(f.Name()) != suffix {
			continue
		}
		p, err := open(filepath.Join(dir, f.Name()))
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

// CloseAll closes all processes of a list. They go on.
func CloseAll(list []*Process) {
	for _, p := range list {
		p.Close()
	}
}

// open gives the process that has the lock on a pid file; nil, and the file is removed, if there is none.
func open(path string) (*Process, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it has just ended in order
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

// find takes hold of the lock's holder; false if the lock is free.
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
		return false, fmt.Errorf("%s is locked by process %d, but is no pid file: %w", p.file.Name(), pid, err)
	}
	p.PID = pid
	if pid <= 0 {
		return true, nil // the kernel has no number for it here: it is in another container, or on another machine
	}
	// On Linux the handle stays with this one process, also when its number goes to another.
	if p.handle, err = os.FindProcess(pid); err != nil {
		return false, fmt.Errorf("find process %d: %w", pid, err)
	}
	// The number could have changed hands before there was a handle. Only one process ever locks this file, so if it still is locked,
	// that process has had the number all the time.
	_, held, err = holder(p.file)
	return held, err
}

// Close lets go of the process, which goes on.
func (p *Process) Close() {
	p.file.Close()
	if p.handle != nil {
		_ = p.handle.Release() // it cannot fail in a way that matters
	}
}

// Signal sends a signal. A process that has ended meanwhile gives os.ErrProcessDone.
func (p *Process) Signal(s syscall.Signal) error {
	if p.handle == nil {
		return fmt.Errorf("%s %s runs where it cannot be signalled from here, in another container or on another machine; stop it there", p.Kind, p.ID)
	}
	// Where a handle is but the number, this makes the time in which it could change hands as short as can be.
	if _, held, err := holder(p.file); err != nil || !held {
		return cmp.Or(err, os.ErrProcessDone)
	}
	return p.handle.Signal(s)
}

// often is how often Wait looks: the kernel tells nobody but the parent.
const often = 5 * time.Millisecond

// Wait waits until the process has ended, and takes its pid file away.
func (p *Process) Wait(ctx context.Context) error {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		_, held, err := holder(p.file)
		if err != nil {
			return err
		}
		if !held && (p.handle == nil || exited(p.handle)) {
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
