package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"laurel/cmd/laurel/demo"
	"laurel/internal/cli"
	"laurel/internal/pidfile"
)

func newDemoCommand() *cobra.Command {
	var o demo.Options
	var run *pidfile.DirFlag
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run three frontends, a bard and clients on this machine until Ctrl-C",
		Long: `Starts three frontends as processes, on free ports and with their data in a temporary directory. A bard
posts the Games of Gaul, Rome, Egypt and Britain to them without end, and 30 clients follow: half of
them watch, half read again and again. Each frontend is the home of a third of the clients.

The demo prints what to try. Kill a frontend, or the master: its clients move to the others, nothing is
lost, and after 5 seconds the frontend comes back with its data and its clients return. Ctrl-C ends the
demo and removes everything.`,
		Example: `  laurel demo
  laurel demo --speed 10
  laurel demo --quiet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !(o.Speed > 0) {
				return cli.Usagef("--speed is %v; want a number above 0, such as 1 or 0.5", o.Speed)
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the path of this program, which the demo runs as frontends: %w", err)
			}
			runDir, leave, err := registerDemo(cmd.ErrOrStderr(), run)
			if err != nil {
				return err
			}
			defer leave()
			o.Program, o.Env, o.RunDir = program, environmentWithoutLaurel(), runDir
			o.KillCommand = func(id string) string {
				return stopCommand(runDir, "frontend --id "+id+" --signal KILL")
			}
			o.Out = cmd.OutOrStdout()
			// Closing the terminal, or the reader of a pipe (laurel demo | head), ends
			// the demo as Ctrl-C does.
			ctx, stop := signal.NotifyContext(cmd.Context(),
				os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			return demo.Run(ctx, o)
		},
	}
	c.Flags().Float64Var(&o.Speed, "speed", 1, "rate of events: 1 is a few a second, 2 twice as many")
	c.Flags().BoolVar(&o.Quiet, "quiet", false, "print only what happens to frontends and clients, not the events")
	cli.NoEnvironment(c.Flags(), "speed", "quiet")
	run = pidfile.AddDirFlag(c)
	return c
}

// registerDemo writes a pid file for the demo and returns the run directory that its
// frontends use, too. It is a new one if frontends run in the default directory: theirs
// have the same ids.
func registerDemo(stderr io.Writer, run *pidfile.DirFlag) (dir string, leave func(), err error) {
	dir, named := run.Dir()
	remove := func() {}
	if !named && isOccupied(dir) {
		if dir, err = os.MkdirTemp("", "laurel-run-"); err != nil {
			return "", nil, err
		}
		remove = func() { os.Remove(dir) }
	}
	warn := func(err error) { fmt.Fprintln(stderr, "laurel:", err) }
	unregister := pidfile.RegisterOrWarn(dir, pidfile.Entry{Kind: pidfile.Demo, ID: "demo"}, warn)
	return dir, func() {
		// Killed frontends have left pid files; List removes them.
		if list, err := pidfile.List(dir); err == nil {
			pidfile.CloseAll(list)
		}
		unregister()
		remove()
	}, nil
}

// isOccupied reports whether frontends run in a run directory, or it cannot be used.
func isOccupied(dir string) bool {
	list, err := pidfile.List(dir)
	defer pidfile.CloseAll(list)
	return err != nil && !errors.Is(err, errors.ErrUnsupported) ||
		slices.ContainsFunc(list, func(p *pidfile.Process) bool {
			return p.Kind == pidfile.Frontend || p.Kind == pidfile.Demo
		})
}
