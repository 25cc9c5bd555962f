package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"laurel/internal/cli"
	"laurel/internal/localgroup"
	"laurel/internal/pidfile"
)

// maxUp bounds a group on one machine: more frontends than this survive nothing that fewer do not.
const maxUp = 9

func newUpCommand() *cobra.Command {
	var o localgroup.Options
	var patience time.Duration
	c := &cobra.Command{
		Use:   "up",
		Short: "Start frontends here that stay when the terminal is closed",
		Long: `Starts a group of frontends as processes of their own, waits until they are ready, and says where they are. They go on when the terminal is
closed, until laurel stop. Their data, their logs and their addresses are kept under --data.

Where the group runs already, only what is missing is started: a frontend that was killed comes back with its data and at its addresses.
With a greater number of --frontends, new ones join; none is ever taken away (see laurel cluster leave).

The ports are 8001, 8002 ... for clients and 9001, 9002 ... between the frontends, or the next that are free.`,
		Example: `  laurel up
  laurel stop frontend --id f2 --signal KILL && laurel up
  laurel up --frontends 5 --data /var/tmp/games
  laurel stop all`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.IntVar(&o.Size, "frontends", 0, "how many frontends there should be at least (default 3, or as many as there are)")
	flags.StringVar(&o.Dir, "data", "", "`DIR` of the group (default $XDG_DATA_HOME/laurel, or else ~/.local/share/laurel)")
	flags.DurationVar(&patience, "patience", 30*time.Second, "how long to wait until all are ready")
	// LAUREL_DATA is a frontend's directory.
	cli.NoEnvironment(flags, "frontends", "data", "patience")
	run := pidfile.AddDirFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Changed("frontends") && (o.Size < 1 || o.Size > maxUp) {
			return cli.Usagef("--frontends is %d; want 1 to %d", o.Size, maxUp)
		}
		if patience <= 0 {
			return cli.Usagef("--patience is %s; want more than 0, such as 30s", patience)
		}
		if err := place(&o, run); err != nil {
			return err
		}
		o.Lifetime, o.StartWithin = localgroup.Detached, patience
		g, err := localgroup.Start(cmd.Context(), o)
		if g != nil {
			tellUp(cmd.OutOrStdout(), g, o)
		}
		return err
	}
	return c
}

// place finds the program and the directories. The frontends run elsewhere, so all paths are absolute.
func place(o *localgroup.Options, run *pidfile.DirFlag) (err error) {
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("this very program is to run as a frontend, but cannot be found: %w", err)
	}
	if o.Dir == "" {
		if o.Dir, err = defaultData(); err != nil {
			return err
		}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	o.RunDir, _ = run.Dir()
	o.Env = environmentWithoutLaurel()
	return nil
}

func defaultData() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "laurel"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.Join(cli.Usagef("where should the data be? Name a directory with --data"), err)
	}
	return filepath.Join(home, ".local", "share", "laurel"), nil
}

// environmentWithoutLaurel is this process's environment without settings of Laurel: a developer's own are not meant for other frontends.
func environmentWithoutLaurel() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LAUREL_") {
			env = append(env, v)
		}
	}
	return env
}

// stopCommand is how processes of a run directory are stopped, as somebody types it in another terminal.
func stopCommand(runDir, args string) string {
	if runDir != pidfile.DefaultDir() {
		args += " --run-dir " + runDir
	}
	return typed() + " stop " + args
}

// upCommand is how the group is made whole again.
func upCommand(o localgroup.Options) string {
	line := typed() + " up"
	if dir, err := defaultData(); err != nil || dir != o.Dir {
		line += " --data " + o.Dir
	}
	if o.RunDir != pidfile.DefaultDir() {
		line += " --run-dir " + o.RunDir
	}
	return line
}

// typed is this program as somebody types it.
func typed() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/laurel" // the program itself is gone when that ends
	}
	return os.Args[0]
}

func tellUp(w io.Writer, g *localgroup.Group, o localgroup.Options) {
	var first *localgroup.Frontend
	list := g.Frontends()
	for _, f := range list {
		what := "does not run"
		switch f.State {
		case localgroup.Running:
			what = fmt.Sprintf("pid %d, was up already", f.PID)
		case localgroup.Started:
			what = fmt.Sprintf("pid %d, started", f.PID)
		case localgroup.Removed:
			what = "was taken out of the group, and stays away"
		}
		if first == nil && f.PID != 0 {
			first = &f
		}
		fmt.Fprintf(w, "%s  %s  %s\n", f.ID, f.URL(), what)
	}
	if !slices.ContainsFunc(list, func(f localgroup.Frontend) bool { return f.State != localgroup.Running }) {
		fmt.Fprintln(w, "The group was up already; nothing was started.")
	}
	fmt.Fprintf(w, "Data and logs: %s\n", o.Dir)
	if first == nil {
		return
	}
	fmt.Fprintf(w, "The page:      %s/\n", first.URL())
	fmt.Fprintf(w, "Kill one:      %s\n", stopCommand(o.RunDir, "frontend --id "+first.ID+" --signal KILL"))
	fmt.Fprintf(w, "Bring it back: %s\n", upCommand(o))
	fmt.Fprintf(w, "Stop all:      %s\n", stopCommand(o.RunDir, "all"))
}
