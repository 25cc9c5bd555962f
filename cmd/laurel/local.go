package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/demo"
	"laurel/cmd/laurel/spectators"
	"laurel/internal/cli"
	"laurel/internal/localgroup"
	"laurel/internal/pidfile"
	"laurel/internal/textfmt"
)

// maxUp bounds a group on one machine. More frontends survive nothing that fewer do not.
const maxUp = 9

func newUpCommand() *cobra.Command {
	var o localgroup.Options
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
	flags.DurationVar(&o.StartWithin, "patience", 30*time.Second, "how long to wait until all are ready")
	cli.NoEnvironment(flags) // LAUREL_DATA is the directory of one frontend
	run := pidfile.AddDirFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if flags.Changed("frontends") && (o.Size < 1 || o.Size > maxUp) {
			return cli.Usagef("--frontends is %d; want 1 to %d", o.Size, maxUp)
		}
		if o.StartWithin <= 0 {
			return cli.Usagef("--patience is %s; want more than 0, such as 30s", o.StartWithin)
		}
		if err := setProgram(&o); err != nil {
			return err
		}
		if o.Dir == "" {
			if o.Dir, err = defaultUpDir(); err != nil {
				return err
			}
		}
		// Absolute, as the frontends run in another directory.
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return err
		}
		o.RunDir, o.Detached = run.Dir(), true
		g, err := localgroup.Start(cmd.Context(), o)
		if g != nil {
			printGroup(cmd.OutOrStdout(), g, o)
		}
		return err
	}
	return c
}

// setProgram makes the frontends run this program, without the settings of Laurel in the
// environment, which are for other frontends.
func setProgram(o *localgroup.Options) (err error) {
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("find the path of this program, which runs as the frontends: %w", err)
	}
	o.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LAUREL_") })
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

// commandLine returns what to type to run this program with args and a run directory.
func commandLine(args, runDir string) string {
	program := textfmt.ShellWord(os.Args[0])
	if strings.Contains(program, "go-build") {
		program = "go run ./cmd/laurel" // the program in the build cache is removed when go run ends
	}
	if runDir != pidfile.DefaultDir() {
		args += " --run-dir " + textfmt.ShellWord(runDir)
	}
	return program + " " + args
}

func killCommand(id, runDir string) string {
	return commandLine("stop frontend --id "+id+" --signal KILL", runDir)
}

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
	up := "up"
	if dir, err := defaultUpDir(); err != nil || dir != o.Dir {
		up += " --data " + textfmt.ShellWord(o.Dir)
	}
	fmt.Fprintf(w, "The page:      %s/\n", first.URL())
	fmt.Fprintf(w, "Kill one:      %s\n", killCommand(first.ID, o.RunDir))
	fmt.Fprintf(w, "Bring it back: %s\n", commandLine(up, o.RunDir))
	fmt.Fprintf(w, "Stop all:      %s\n", commandLine("stop all", o.RunDir))
}

func newDemoCommand() *cobra.Command {
	var o demo.Options
	var spy bool
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
			if err := setProgram(&o.Group); err != nil {
				return err
			}
			runDir, leave, err := registerDemo(cmd.ErrOrStderr(), run)
			if err != nil {
				return err
			}
			defer leave()
			o.Group.RunDir, o.Out = runDir, cmd.OutOrStdout()
			o.KillCommand = func(id string) string { return killCommand(id, runDir) }
			// Closing the terminal, or the reader of a pipe (laurel demo | head), ends
			// the demo as Ctrl-C does.
			ctx, stop := signal.NotifyContext(cmd.Context(),
				os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			if spy {
				return runSpyDemo(ctx, o)
			}
			return demo.Run(ctx, o)
		},
	}
	c.Flags().Float64Var(&o.Speed, "speed", 1, "rate of events: 1 is a few a second, 2 twice as many")
	c.Flags().BoolVar(&o.Quiet, "quiet", false, "print only what happens to frontends and clients, not the events")
	c.Flags().BoolVar(&spy, "spy", false,
		"four frontends, of which the master falls to a spy; needs go run -tags spy ./cmd/laurel demo --spy")
	cli.NoEnvironment(c.Flags())
	run = pidfile.AddDirFlag(c)
	return c
}

// registerDemo writes a pid file for the demo and returns the run directory that its
// frontends use, too. It is a new one if frontends run in the default directory: theirs
// have the same ids.
func registerDemo(stderr io.Writer, run *pidfile.DirFlag) (dir string, leave func(), err error) {
	dir = run.Dir()
	if !run.IsSet() && isOccupied(dir) {
		if dir, err = os.MkdirTemp("", "laurel-run-"); err != nil {
			return "", nil, err
		}
	}
	warn := func(err error) { fmt.Fprintln(stderr, "laurel:", err) }
	unregister := pidfile.RegisterOrWarn(dir, pidfile.Entry{Kind: pidfile.Demo, ID: "demo"}, warn)
	return dir, func() {
		// Killed frontends have left pid files; List removes them.
		if list, err := pidfile.List(dir); err == nil {
			pidfile.CloseAll(list)
		}
		unregister()
		os.Remove(dir) // fails while there is another file
	}, nil
}

// isOccupied reports whether frontends run in a run directory, or it cannot be used.
func isOccupied(dir string) bool {
	list, err := pidfile.List(dir)
	defer pidfile.CloseAll(list)
	return err != nil ||
		slices.ContainsFunc(list, func(p *pidfile.Process) bool {
			return p.Kind == pidfile.Frontend || p.Kind == pidfile.Demo
		})
}

func newClientCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "client",
		Short: "Simulate spectators and report how they were served",
		Long: `Simulates --count spectators, each a client with a home frontend of its own. Each reads --rate times a
second on average, at random moments (a Poisson process). 80 % of the reads ask for a contest that is
running, the others for a medal table or a list.

The command prints a line every second. At the end, after --duration or Ctrl-C, it prints the latency of
the reads from the moment they were due, by the frontend that answered; how many failed; how often
spectators went to another frontend and home again; and how many answers were older than what the same
spectator had seen before, which does not happen in push mode.`,
		Example: `  laurel client --count 1000 --rate 1 --duration 60s
  laurel client --count 5000 --rate 0.2 --watch --competition OG50BC
  laurel client --count 100 --rate 20 --zipf 1.2 --to http://127.0.0.1:8001,http://127.0.0.1:8002`,
		Args: cobra.NoArgs,
	}
	var o spectators.Options
	var verbose bool
	var id string
	flags := c.Flags()
	flags.IntVar(&o.Count, "count", 100, "number of spectators")
	flags.Float64Var(&o.Rate, "rate", 1, "reads per second of each spectator, on average; 0 for none, with --watch")
	flags.DurationVar(&o.Duration, "duration", 0, "how long; 0 is until Ctrl-C")
	flags.StringVar(&o.Competition, "competition", "", "only contests of this competition")
	flags.Float64Var(&o.ScoreShare, "scores", 0.8, "share of the reads that ask for one contest, 0 to 1")
	flags.Float64Var(&o.Zipf, "zipf", 0, "exponent, above 1, of a Zipf distribution of the contests; 0 is uniform")
	flags.BoolVar(&o.Watch, "watch", false, "each spectator also watches a contest and a medal table")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of the random choices")
	flags.BoolVar(&verbose, "verbose", false, "print on standard error when a client changes its frontend, and why")
	flags.StringVar(&id, "id", "client", "name for laurel stop client --id")
	cli.NoEnvironment(flags)
	run := pidfile.AddDirFlag(c)
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkSpectators(&o); err != nil {
			return err
		}
		probe, err := to.Client() // checks the flags
		if err != nil {
			return err
		}
		probe.Close()
		if o.Client, err = to.Options(); err != nil {
			return err
		}
		o.Client.Notify = nil
		warn := func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), "laurel:", err) }
		leave := pidfile.RegisterOrWarn(run.Dir(), pidfile.Entry{Kind: pidfile.Client, ID: id}, warn)
		defer leave()
		o.URLs, o.Out = to.URLs, cmd.OutOrStdout()
		if verbose {
			o.Notify = func(i int, n client.Notice) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s spectator %d: %s\n",
					time.Now().Format("15:04:05.000"), i, textfmt.OneLine(n.String()))
			}
		}
		return spectators.Run(cmd.Context(), o)
	}
	return c
}

// checkSpectators returns an error for a flag that is out of bounds.
func checkSpectators(o *spectators.Options) error {
	switch {
	case o.Count < 1:
		return cli.Usagef("--count is %d; want 1 or more", o.Count)
	case !(o.Rate >= 0 && o.Rate <= 1e6) || o.Rate == 0 && !o.Watch:
		return cli.Usagef("--rate is %v; want a number above 0, or 0 with --watch", o.Rate)
	case !(o.ScoreShare >= 0 && o.ScoreShare <= 1):
		return cli.Usagef("--scores is %v; want a share from 0 to 1, such as 0.8", o.ScoreShare)
	case o.Zipf != 0 && !(o.Zipf > 1 && o.Zipf <= 100):
		return cli.Usagef("--zipf is %v; want an exponent above 1, such as 1.1, or 0", o.Zipf)
	case o.Duration < 0:
		return cli.Usagef("--duration is %s; want 0 or more", o.Duration)
	}
	return nil
}
