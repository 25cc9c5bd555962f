package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"laurel/cluster"
	"laurel/cmd/command"
	"laurel/cmd/rundir"
)

func newFrontendCommand() *cobra.Command {
	var o cluster.Options
	var addr string
	var run *rundir.Flag
	level := slog.LevelInfo
	c := &cobra.Command{
		Use:   "frontend",
		Short: "Run a frontend: take events, keep them with the group, answer for the scores",
		Long: `Run a frontend in the foreground. It keeps its data under --data and goes on from there when it is started again with the same
flags; --bootstrap and --join then change nothing, but that a frontend with a new --peer address makes it known to the group.

SIGTERM hands leadership over, if this frontend is the master, and stops. That is no leave: the frontend stays a member of the group, and
the group counts on it to come back. To take it out for good: laurel cluster leave ID.`,
		Example: `  laurel frontend --id f1 --data f1 --http 127.0.0.1:8001 --peer 127.0.0.1:9001 --bootstrap
  laurel frontend --id f2 --data f2 --http 127.0.0.1:8002 --peer 127.0.0.1:9002 --join http://127.0.0.1:8001
  laurel frontend --id f3 --data f3 --http 127.0.0.1:8003 --peer 127.0.0.1:9003 --join http://127.0.0.1:8001`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.ID == "" || o.Dir == "" {
				return command.Usagef("a frontend needs an --id and a --data directory")
			}
			if o.TimeScale < 0.1 || o.TimeScale > 100 {
				return command.Usagef("--time-scale is %g; want 0.1 to 100", o.TimeScale)
			}
			o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			// Before the start, which can take its time: it must be possible to stop that as well.
			runDir, _ := run.Dir()
			leave := rundir.Enter(runDir, frontendEntry(o.ID, o.Dir), func(err error) { o.Logger.Warn("there is no pid file", "error", err) })
			defer leave()
			f, err := startFrontend(addr, o)
			if err == nil {
				err = f.run(cmd.Context())
			}
			return frontendError(err)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.ID, "id", "", "name of the frontend, unique in its group")
	flags.StringVar(&o.Dir, "data", "", "directory of its data, made if it is missing")
	flags.StringVar(&addr, "http", "127.0.0.1:8001", "host:port for clients")
	flags.StringVar(&o.Peer, "peer", "127.0.0.1:9001", "host:port for the other members, on which they must reach this one")
	flags.StringVar(&o.URL, "public-url", "", "URL at which clients reach this frontend (default http:// and the --http address)")
	flags.BoolVar(&o.Bootstrap, "bootstrap", false, "make a new group, of this frontend alone")
	flags.StringSliceVar(&o.Join, "join", nil, "URLs of frontends of the group to join")
	flags.BoolVar(&o.Nonvoter, "nonvoter", false, "join without a vote: a copy that answers but does not decide")
	flags.Float64Var(&o.TimeScale, "time-scale", 1, "stretches all timings of failover, for a slow network; the same at all members")
	flags.TextVar(&level, "log-level", level, "least level that is logged: DEBUG, INFO, WARN or ERROR")
	flags.Uint64Var(&o.SnapshotEntries, "snapshot-entries", 0, "log entries between two snapshots")
	flags.MarkHidden("snapshot-entries")
	run = rundir.AddFlag(c)
	c.MarkFlagsMutuallyExclusive("bootstrap", "join")
	return c
}

func frontendError(err error) error {
	var storage *cluster.StorageError
	var empty *cluster.EmptyError
	switch {
	case errors.As(err, &storage):
		return &command.ExitError{Code: command.ExitDisk, Err: err}
	case errors.Is(err, cluster.ErrRemoved):
		return &command.ExitError{Code: command.ExitRemoved, Err: err}
	case errors.As(err, &empty):
		return command.Usagef("%s", err)
	case err != nil:
		return fmt.Errorf("frontend: %w", err)
	}
	return nil
}
