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
		Short: "Run three frontends, a bard and clients here, until Ctrl-C",
		Long: `Starts three frontends as processes of their own, on free ports and with their data in a temporary directory, sings them the Games of
Gaul, Rome, Egypt and Britain, and lets 30 clients follow, a third at home at each frontend: half of them watch, half ask again and again.

It says what to try: kill a frontend, the master too, and see that its clients move to the others, that nothing is lost, that it comes back
with its data after 5 seconds, and that its clients come home. Ctrl-C ends it and leaves nothing behind.`,
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
				return fmt.Errorf("the demo starts this very program three times, but cannot find it: %w", err)
			}
			runDir, leave, err := enterDemo(cmd.ErrOrStderr(), run)
			if err != nil {
				return err
			}
			defer leave()
			o.Program, o.Env, o.RunDir = program, plainEnvironment(), runDir
			o.Kill = func(id string) string { return stopCommand(runDir, "frontend --id "+id+" --signal KILL") }
			o.Out = cmd.OutOrStdout()
			// A terminal that is closed, or a reader that has gone (laurel demo | head), ends the demo as Ctrl-C does.
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			return demo.Run(ctx, o)
		},
	}
	c.Flags().Float64Var(&o.Speed, "speed", 1, "how fast the bard sings; 1 is a few events a second, 2 twice that")
	c.Flags().BoolVar(&o.Quiet, "quiet", false, "do not print what is sung, only what happens to frontends and clients")
	cli.NoEnvironment(c.Flags(), "speed", "quiet")
	run = pidfile.AddDirFlag(c)
	return c
}

// enterDemo makes the demo known in a run directory, in which its frontends will be too: the usual one, unless frontends run there
// already, which have the same ids and are not to be mistaken for the demo's.
func enterDemo(stderr io.Writer, run *pidfile.DirFlag) (dir string, leave func(), err error) {
	dir, named := run.Dir()
	remove := func() {}
	if !named && occupied(dir) {
		if dir, err = os.MkdirTemp("", "laurel-run-"); err != nil {
			return "", nil, err
		}
		remove = func() { os.Remove(dir) }
	}
	warn := func(err error) { fmt.Fprintln(stderr, "laurel:", err) }
	leaveEntry := pidfile.RegisterOrWarn(dir, pidfile.Entry{Kind: pidfile.Demo, ID: "demo"}, warn)
	return dir, func() {
		// Frontends that were killed have left pid files; to list is to clear them away.
		if list, err := pidfile.List(dir); err == nil {
			pidfile.CloseAll(list)
		}
		leaveEntry()
		remove()
	}, nil
}

// occupied tells whether frontends run in a run directory, or it cannot be used.
func occupied(dir string) bool {
	list, err := pidfile.List(dir)
	defer pidfile.CloseAll(list)
	return err != nil && !errors.Is(err, errors.ErrUnsupported) ||
		slices.ContainsFunc(list, func(p *pidfile.Process) bool { return p.Kind == pidfile.Frontend || p.Kind == pidfile.Demo })
}
