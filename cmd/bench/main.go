// Command bench loads three Laurel frontends on this machine and, in turn, puts the same
// work through etcd, NATS or Redis. Each subcommand is one experiment; its last output
// is a table in Markdown for docs/benchmarks.md. It is a module of its own, so that the
// clients of the peers stay out of Laurel's. It runs on Linux:
//
//	go run -C cmd/bench . posts
//
// With --laurel BEFORE,AFTER an experiment measures two versions of Laurel in turn.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// bench is one run: its options, its temporary directory, and the programs that it loads.
type bench struct {
	programs     []string // laurel, in the versions that are compared
	program      int      // the one that is measured now
	etcd         string
	dir          string
	frontendArgs []string
	rounds       int
	duration     time.Duration // measured in each cell
	warmup       time.Duration
	settle       time.Duration // for the work that the cell before has left behind

	root string // of the repository
	work string // temporary
	out  io.Writer
}

// maxRun bounds a run: one that hangs must not load the machine for ever.
const maxRun = 3 * time.Hour

func newCommand() *cobra.Command {
	b := &bench{}
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Load three Laurel frontends on this machine, and other systems beside them",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.StringSliceVar(&b.programs, "laurel", nil, "the laurel `PROGRAM`, or several that are compared with the first\n"+
		"(default: build it from this repository)")
	f.StringVar(&b.etcd, "etcd", "etcd", "the etcd `PROGRAM`")
	f.StringVar(&b.dir, "dir", os.TempDir(), "`DIR` for temporary data; it must be on a disk")
	f.StringArrayVar(&b.frontendArgs, "frontend-arg", nil, "an additional `ARG` for every frontend; may be repeated")
	number(f, &b.rounds, "rounds", 5, 1, 1000, "rounds; each starts with new data directories")
	number(f, &b.duration, "duration", 3*time.Second, 100*time.Millisecond, 10*time.Minute, "measured time of a cell")
	number(f, &b.warmup, "warmup", time.Second, 0, time.Minute, "load before the measured time")
	number(f, &b.settle, "settle", time.Second, 0, time.Minute, "pause before each cell")
	for _, c := range []func(*bench) *cobra.Command{
		postsCommand, streamCommand, singCommand, readsCommand, watchersCommand, boardsCommand, idleCommand,
		swornCommand, overloadCommand, backupCommand, failoverCommand, natsServerCommand,
	} {
		root.AddCommand(c(b))
	}
	return root
}

// command returns a command that runs an experiment in the temporary directory of b.
func (b *bench) command(name, short, long string, flags func(*pflag.FlagSet), run func(context.Context) error) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Long: long, Args: cobra.NoArgs}
	if flags != nil {
		flags(c.Flags())
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeoutCause(c.Context(), maxRun, fmt.Errorf("the run took longer than %s", maxRun))
		defer cancel()
		if err := b.open(ctx, c.OutOrStdout()); err != nil {
			return err
		}
		defer os.RemoveAll(b.work)
		err := run(ctx)
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
	return c
}

// open makes the temporary directory and builds laurel, unless it is given.
func (b *bench) open(ctx context.Context, out io.Writer) (err error) {
	b.out = out
	if b.root, err = repository(ctx); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	if err := checkOnDisk(b.dir); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp(b.dir, "laurel-bench-"); err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	if len(b.programs) > 0 {
		return nil
	}
	laurel, err := b.build(ctx, laurelName)
	if err != nil {
		os.RemoveAll(b.work)
	}
	b.programs = []string{laurel}
	return err
}

// build builds a program of this repository.
func (b *bench) build(ctx context.Context, name string) (program string, err error) {
	program = filepath.Join(b.work, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-C", b.root, "-o", program, "./cmd/"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s (use --%s for one that is built): %w\n%s", name, name, err, out)
	}
	return program, nil
}

// repository returns the root of the laurel module, which this module replaces by a
// directory.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "laurel").Output()
	if err != nil {
		return "", fmt.Errorf("find the laurel repository; run it as: go run -C cmd/bench . posts: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// checkOnDisk refuses a directory in memory, where a durable write costs nothing.
func checkOnDisk(dir string) error {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("--dir %s: %w", dir, err)
	}
	if fs.Type == tmpfs || fs.Type == ramfs {
		return fmt.Errorf("--dir %s is in memory, where a sync costs nothing; name a directory on a disk", dir)
	}
	return nil
}

// lookPath returns an error if a program is missing. packages are those that have it.
func lookPath(packages string, programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is missing (apt-get install %s): %w", p, packages, err)
		}
	}
	return nil
}
