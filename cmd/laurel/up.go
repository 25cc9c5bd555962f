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

// maxUp bounds a group on one machine. More frontends survive nothing that fewer do not.
const maxUp = 9

func newUpCommand() *cobra.Command {
	var o localgroup.Options
	var patience time.Duration
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a group of frontends on this machine that outlives the terminal",
		Long: `Starts a group of frontends as processes, waits until they are ready, and prints their addresses. They
run until laurel stop, also after you close the terminal. Their data, logs and addresses are kept in
--data.

If the group runs already, only what is missing is started: a frontend that was killed comes back with
its data and its addresses. A greater number of --frontends adds new ones. None is ever removed; for
that, use laurel cluster leave.

The ports are 8001, 8002 ... for clients and 9001, 9002 ... between the frontends, or the next free
ones.`,
		Example: `  laurel up
  laurel stop frontend --id f2 --signal KILL && laurel up
  laurel up --frontends 5 --data /var/tmp/games
  laurel stop all`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.IntVar(&o.Size, "frontends", 0, "least number of frontends (default 3, or as many as there are)")
	flags.StringVar(&o.Dir, "data", "",
		"`DIR` of the group (default $XDG_DATA_HOME/laurel, or else ~/.local/share/laurel)")
	flags.DurationVar(&patience, "patience", 30*time.Second, "how long to wait until all are ready")
	// LAUREL_DATA is the directory of one frontend.
	cli.NoEnvironment(flags, "frontends", "data", "patience")
	run := pidfile.AddDirFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Changed("frontends") && (o.Size < 1 || o.Size > maxUp) {
			return cli.Usagef("--frontends is %d; want 1 to %d", o.Size, maxUp)
		}
		if patience <= 0 {
			return cli.Usagef("--patience is %s; want more than 0, such as 30s", patience)
		}
		if err := completeUp(&o, run); err != nil {
			return err
		}
		o.Lifetime, o.StartWithin = localgroup.Detached, patience
		g, err := localgroup.Start(cmd.Context(), o)
		if g != nil {
			printGroup(cmd.OutOrStdout(), g, o)
		}
		return err
	}
	return c
}

// completeUp sets the program, the environment and the directories. Paths are absolute,
// as the frontends run in another directory.
func completeUp(o *localgroup.Options, run *pidfile.DirFlag) (err error) {
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("find the path of this program, which runs as the frontends: %w", err)
	}
	if o.Dir == "" {
		if o.Dir, err = defaultUpDir(); err != nil {
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

func defaultUpDir() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "laurel"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.Join(cli.Usagef("there is no default directory for the data; name one with --data"), err)
	}
	return filepath.Join(home, ".local", "share", "laurel"), nil
}

// environmentWithoutLaurel returns the environment without settings of Laurel, which are
// for other frontends.
func environmentWithoutLaurel() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LAUREL_") {
			env = append(env, v)
		}
	}
	return env
}

// stopCommand returns the command line that stops processes of a run directory.
func stopCommand(runDir, args string) string {
	if runDir != pidfile.DefaultDir() {
		args += " --run-dir " + shellQuote(runDir)
	}
	return programName() + " stop " + args
}

// upCommand returns the command line that restarts what is missing of a group.
func upCommand(o localgroup.Options) string {
	line := programName() + " up"
	if dir, err := defaultUpDir(); err != nil || dir != o.Dir {
		line += " --data " + shellQuote(o.Dir)
	}
	if o.RunDir != pidfile.DefaultDir() {
		line += " --run-dir " + shellQuote(o.RunDir)
	}
	return line
}

// programName returns what to type to run this program.
func programName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/laurel" // the program in the build cache is removed when go run ends
	}
	return shellQuote(os.Args[0])
}

// printGroup prints the frontends of a group and what to do with them.
func printGroup(w io.Writer, g *localgroup.Group, o localgroup.Options) {
	var first *localgroup.Frontend
	list := g.Frontends()
	for _, f := range list {
		state := "does not run"
		switch f.State {
		case localgroup.Running:
			state = fmt.Sprintf("pid %d, was running", f.PID)
		case localgroup.Started:
			state = fmt.Sprintf("pid %d, started", f.PID)
		case localgroup.Removed:
			state = "was removed from the group"
		}
		if first == nil && f.PID != 0 {
			first = &f
		}
		fmt.Fprintf(w, "%s  %s  %s\n", f.ID, f.URL(), state)
	}
	if !slices.ContainsFunc(list, func(f localgroup.Frontend) bool { return f.State != localgroup.Running }) {
		fmt.Fprintln(w, "The group was running; nothing was started.")
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
