// Command bench loads three Laurel frontends on this machine and, in turn, puts the same work through three members of etcd: writes (posts, stream, memory,
// pushcost), reads (fresh, reads, spectators), watching (watchers), and writes and reads while members are killed, paused and handed over (failover, handover, hang, flap).
// It is a module of its own, so that the client of etcd stays out of Laurel's. It runs on Linux:
//
//	go run -C cmd/bench . posts
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Loads three Laurel frontends on this machine, and etcd beside them",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.StringVar(&o.laurel, "laurel", "", "the laurel program (left out: it is built from this repository)")
	f.StringVar(&o.etcd, "etcd", "etcd", "the etcd program")
	f.StringVar(&o.dir, "dir", os.TempDir(), "where the temporary data directories go; must be on a disk")
	f.StringArrayVar(&o.frontendArgs, "frontend-arg", nil, "one more argument for every frontend, such as --frontend-arg=--log-level=debug")
	f.IntVar(&o.rounds, "rounds", 5, "rounds, where there are any; each starts with new data directories")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "the measured time of one cell")
	f.DurationVar(&o.warmup, "warmup", time.Second, "load before the measured time")
	f.DurationVar(&o.settle, "settle", time.Second, "rest before each cell")

	posts := &cobra.Command{
		Use:   "posts",
		Short: "Single durable events over HTTP, against single puts into etcd",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return with(c, o, (*bench).posts) },
	}
	stream := &cobra.Command{
		Use:   "stream",
		Short: "NDJSON streams of events",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return with(c, o, (*bench).streams) },
	}
	memory := &cobra.Command{
		Use:   "memory",
		Short: "The memory of each frontend after a marathon of 145,281 events",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return with(c, o, (*bench).memory) },
	}
	all := &cobra.Command{
		Use:   "all",
		Short: "All writing (posts, stream, memory), with the facts of the machine, as Markdown for docs/benchmarks.md",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return with(c, o, (*bench).all) },
	}
	for _, c := range []*cobra.Command{posts, all} {
		c.Flags().IntSliceVar(&o.posters, "posters", []int{1, 16, 64, 256}, "how many posters post at once, one event each")
		c.Flags().StringSliceVar(&o.systems, "systems", []string{laurelName, etcdName}, "what to load, in turn")
		c.Flags().StringSliceVar(&o.to, "to", []string{toMaster, toAll}, "whom to post to: the master, or all three in turn, the master last")
	}
	for _, c := range []*cobra.Command{stream, all} {
		c.Flags().IntSliceVar(&o.streamCounts, "streams", []int{1}, "how many streams at once")
	}
	stream.Flags().StringSliceVar(&o.streamTo, "to", []string{toMaster}, "whom to stream to: the master, or all three in turn, the master last")
	for _, c := range []*cobra.Command{stream, memory, all} {
		c.Flags().IntVar(&o.window, "window", 4096, "the most events of one stream that are sent and not yet answered")
	}
	memory.Flags().StringVar(&o.data, "data", os.Getenv("LAUREL_GAMES"), "the folder that has marathon/events.ndjson.gz (also LAUREL_GAMES; left out: ../shared/data beside the repository)")
	root.AddCommand(posts, stream, memory, all, bareCommand(), hubCommand())
	root.AddCommand(readCommands(o)...)
	root.AddCommand(trustCommand(o), overloadCommand(o), boardsCommand(o), flapCommand(o))
	return root
}

// with runs one of the subcommands that write.
func with(c *cobra.Command, o *options, run func(*bench, context.Context) error) error {
	return o.bounded(c, o.limit(), run)
}

// bounded makes ready, runs one subcommand, and leaves nothing behind.
func (o *options) bounded(c *cobra.Command, limit time.Duration, run func(*bench, context.Context) error) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context(), limit, fmt.Errorf("the run took longer than %s, several times what it should", limit))
	defer cancel()
	b, err := open(ctx, o, c.OutOrStdout())
	if err != nil {
		return err
	}
	defer b.close()
	if err := run(b, ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil && !strings.Contains(err.Error(), cause.Error()) {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
	return nil
}
