package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/spectators"
	"laurel/internal/cli"
	"laurel/internal/pidfile"
)

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
				fmt.Fprintf(cmd.ErrOrStderr(), "%s spectator %d: %s\n", time.Now().Format("15:04:05.000"), i, n)
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
