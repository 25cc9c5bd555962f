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
		Short: "Simulate spectators, and tell how they were served",
		Long: `Simulates --count spectators, each a client with a home of its own, that read --rate times a second on average, at random moments
(Poisson). Of the reads 80 % ask for a contest that is running, the others for a medal table or a list.

It prints a line every second and, at the end, after --duration or Ctrl-C, how long the reads took from the moment they were due, by the
frontend that answered; how many failed; how often spectators went to another frontend and home again; and how many answers were
older than what the same spectator had seen before, which in push mode is none.`,
		Example: `  laurel client --count 1000 --rate 1 --duration 60s
  laurel client --count 5000 --rate 0.2 --watch --competition OG50BC
  laurel client --count 100 --rate 20 --zipf 1.2 --to http://127.0.0.1:8001,http://127.0.0.1:8002`,
		Args: cobra.NoArgs,
	}
	var o spectators.Options
	var verbose bool
	var id string
	flags := c.Flags()
	flags.IntVar(&o.Count, "count", 100, "how many spectators")
	flags.Float64Var(&o.Rate, "rate", 1, "reads of each spectator in a second, on average; 0 for none, with --watch")
	flags.DurationVar(&o.Duration, "duration", 0, "how long; 0 is until Ctrl-C")
	flags.StringVar(&o.Competition, "competition", "", "only contests of this competition")
	flags.Float64Var(&o.ScoreShare, "scores", 0.8, "the part of the reads that ask for one contest, 0 to 1")
	flags.Float64Var(&o.Zipf, "zipf", 0, "how much the spectators prefer the same contests: an exponent above 1; 0 is not at all")
	flags.BoolVar(&o.Watch, "watch", false, "each spectator also watches a contest and a medal table")
	flags.Uint64Var(&o.Seed, "seed", 1, "the same seed makes the same choices")
	flags.BoolVar(&verbose, "verbose", false, "print on standard error what each client does by itself: where it goes, and why")
	flags.StringVar(&id, "id", "client", "name of this crowd, for laurel stop client --id")
	run := pidfile.AddDirFlag(c)
	cli.NoEnvironment(flags, "id", "count", "rate", "duration", "competition", "scores", "zipf", "watch", "seed", "verbose")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkCrowd(&o); err != nil {
			return err
		}
		probe, err := to.Client()
		if err != nil {
			return err
		}
		probe.Close()
		known, err := to.Options()
		if err != nil {
			return err
		}
		o.Token, o.TLS = known.Token, known.TLS
		runDir, _ := run.Dir()
		leave := pidfile.RegisterOrWarn(runDir, pidfile.Entry{Kind: pidfile.Client, ID: id}, func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), "laurel:", err) })
		defer leave()
		o.URLs, o.Patience, o.Out = to.URLs, to.Patience, cmd.OutOrStdout()
		if verbose {
			o.Notify = func(i int, n client.Notice) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s spectator %d: %s\n", time.Now().Format("15:04:05.000"), i, n)
			}
		}
		return spectators.Run(cmd.Context(), o)
	}
	return c
}

// checkCrowd says which of the flags is out of bounds.
func checkCrowd(o *spectators.Options) error {
	switch {
	case o.Count < 1:
		return cli.Usagef("--count is %d; want 1 or more", o.Count)
	case !(o.Rate >= 0 && o.Rate <= 1e6) || o.Rate == 0 && !o.Watch:
		return cli.Usagef("--rate is %v; want a number above 0, or 0 with --watch", o.Rate)
	case !(o.ScoreShare >= 0 && o.ScoreShare <= 1):
		return cli.Usagef("--scores is %v; want a part from 0 to 1, such as 0.8", o.ScoreShare)
	case o.Zipf != 0 && !(o.Zipf > 1 && o.Zipf <= 100):
		return cli.Usagef("--zipf is %v; want an exponent above 1, such as 1.1, or 0", o.Zipf)
	case o.Duration < 0:
		return cli.Usagef("--duration is %s; want 0 or more", o.Duration)
	}
	return nil
}
