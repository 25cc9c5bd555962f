package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run: its options, its temporary directory, the program it loads.
type bench struct {
	options
	root string // of the repository
	work string // temporary, removed at the end
	out  io.Writer
}

func open(ctx context.Context, o *options, out io.Writer) (*bench, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	if err := onDisk(o.dir); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(o.dir, "laurel-bench-")
	if err != nil {
		return nil, fmt.Errorf("no temporary directory: %w", err)
	}
	b := &bench{options: *o, root: root, work: work, out: out}
	if b.laurel == "" && b.loads(laurelName) {
		if err := b.build(ctx); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

func (b *bench) close() { os.RemoveAll(b.work) }

func (b *bench) loads(system string) bool { return slices.Contains(b.systems, system) }

func (b *bench) build(ctx context.Context) error {
	b.laurel = filepath.Join(b.work, "laurel")
	cmd := exec.CommandContext(ctx, "go", "build", "-C", b.root, "-o", b.laurel, "./cmd/laurel")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building laurel (give --laurel PATH to use one that is built): %w\n%s", err, out)
	}
	return nil
}

// cell bounds one cell: one that hangs must not hang the run.
func (b *bench) cell(ctx context.Context) (context.Context, context.CancelFunc) {
	const grace = 30 * time.Second
	return context.WithTimeoutCause(ctx, b.warmup+b.duration+grace, fmt.Errorf("no end %s after it was due", grace))
}

// rest waits out the --settle time, so that what one cell leaves to do does not weigh on the next.
func (b *bench) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(b.settle):
		return nil
	}
}

// repository finds the root of the laurel module, upwards from here.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; {
		f, err := os.Open(filepath.Join(dir, "go.mod"))
		if err == nil {
			line, _ := bufio.NewReader(f).ReadString('\n')
			f.Close()
			if strings.TrimSpace(line) == "module laurel" {
				return dir, nil
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("%s is not inside the laurel repository; run it as: go run -C cmd/bench . posts", start)
		}
		dir = up
	}
}

// onDisk refuses a directory in memory, where a write that is 'durable' costs nothing.
func onDisk(dir string) error {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("--dir %s: %w", dir, err)
	}
	if fs.Type == tmpfs || fs.Type == ramfs {
		return fmt.Errorf("--dir %s is in memory, where an fsync costs nothing; name a directory on a disk", dir)
	}
	return nil
}
