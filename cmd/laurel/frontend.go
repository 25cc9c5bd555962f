package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"laurel/cluster"
	"laurel/httpapi"
	"laurel/internal/cli"
	"laurel/internal/frontend"
	"laurel/internal/pidfile"
)

func newFrontendCommand() *cobra.Command {
	var o cluster.Options
	var t trusting
	var public httpapi.Options
	var addr string
	var run *pidfile.DirFlag
	level := slog.LevelInfo
	c := &cobra.Command{
		Use:   "frontend",
		Short: "Run a frontend: take events, keep them with the group, answer for the scores",
		Long: `Run a frontend in the foreground. It keeps its data under --data and goes on from there when it is started again with the same
flags; --bootstrap and --join then change nothing, but that a frontend with a new --peer address makes it known to the group.

The members of a group know each other by certificates. --bootstrap makes the group's own authority and leaves the token of its first operator in
DATA/operator.token; with it, laurel cluster token makes tokens for others to join. Certificates renew themselves. --insecure does without all
that, authenticates nobody, and takes loopback addresses only.

SIGTERM hands leadership over, if this frontend is the master, and stops. That is no leave: the frontend stays a member of the group, and
the group counts on it to come back. To take it out for good: laurel cluster leave ID.

` + cli.FrontendExitCodes,
		Example: `  laurel frontend --id f1 --data f1 --http 127.0.0.1:8001 --peer 127.0.0.1:9001 --bootstrap
  LAUREL_JOIN_TOKEN=$(laurel cluster token --token @f1/operator.token) \
    laurel frontend --id f2 --data f2 --http 127.0.0.1:8002 --peer 127.0.0.1:9002 --join https://127.0.0.1:8001
  laurel frontend --id f1 --data f1 --bootstrap --insecure`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.ID == "" || o.Dir == "" {
				return cli.Usagef("a frontend needs an --id and a --data directory")
			}
			if o.TimeScale < 0.1 || o.TimeScale > 100 {
				return cli.Usagef("--time-scale is %g; want 0.1 to 100", o.TimeScale)
			}
			o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			// Before the start, which can take its time: it must be possible to stop that as well.
			runDir, _ := run.Dir()
			leave := pidfile.RegisterOrWarn(runDir, frontendEntry(o.ID, o.Dir), func(err error) { o.Logger.Warn("there is no pid file", "error", err) })
			defer leave()
			return frontendError(runFrontend(cmd.Context(), addr, o, &t, public))
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.ID, "id", "", "name of the frontend, unique in its group")
	flags.StringVar(&o.Dir, "data", "", "directory of its data, made if it is missing")
	flags.StringVar(&addr, "http", "127.0.0.1:8001", "host:port for clients")
	flags.StringVar(&o.Peer, "peer", "127.0.0.1:9001", "host:port for the other members, on which they must reach this one")
	flags.StringVar(&o.URL, "public-url", "", "URL at which clients reach this frontend (default https:// or, with --insecure, http://, and the --http address)")
	flags.BoolVar(&o.Bootstrap, "bootstrap", false, "make a new group, of this frontend alone")
	flags.StringSliceVar(&o.Join, "join", nil, "URLs of frontends of the group to join")
	flags.BoolVar(&o.Nonvoter, "nonvoter", false, "join without a vote: a copy that answers but does not decide")
	flags.Float64Var(&o.TimeScale, "time-scale", 1, "stretches all timings of failover, for a slow network; the same at all members")
	flags.StringVar(&t.joinToken, "join-token", "", "token to join with, which laurel cluster token makes; only needed the first time. Others can see a command line, so better set the variable")
	flags.BoolVar(&t.insecure, "insecure", false, "authenticate nobody and encrypt nothing; for tests and first steps, on loopback addresses only")
	flags.StringVar(&t.cert, "tls-cert", "", "`FILE` with the certificate that clients are shown, and its chain, in PEM; read again when it changes (default the group's own authority's)")
	flags.StringVar(&t.key, "tls-key", "", "`FILE` with its private key")
	flags.BoolVar(&public.Private, "private", false, "show scores only to those with a token of a reader")
	flags.StringSliceVar(&public.Origins, "cors-origin", nil, "origins whose web pages may read, such as https://scores.example (default all, unless --private)")
	flags.Func("proxies", "`NETWORKS`, such as 10.1.0.0/16, with commas between, from which many clients come by one address: what bounds one address does not bound these, nor this machine", func(list string) (err error) {
		public.Limits.Proxies, err = networks(list)
		return err
	})
	flags.TextVar(&level, "log-level", level, "least level that is logged: DEBUG, INFO, WARN or ERROR")
	flags.Uint64Var(&o.SnapshotEntries, "snapshot-entries", 0, "log entries between two snapshots")
	flags.MarkHidden("snapshot-entries")
	run = pidfile.AddDirFlag(c)
	c.MarkFlagsMutuallyExclusive("bootstrap", "join")
	return c
}

// runFrontend runs a frontend until ctx ends or it cannot go on.
func runFrontend(ctx context.Context, addr string, o cluster.Options, t *trusting, api httpapi.Options) error {
	if err := t.prepare(ctx, addr, &o); err != nil {
		return err
	}
	certificate, err := t.clientCertificate(o.Logger)
	if err != nil {
		return err
	}
	f, err := frontend.Start(frontend.Options{HTTP: addr, Member: o, API: api, Certificate: certificate})
	if err != nil {
		return err
	}
	return f.Run(ctx)
}

// networks reads networks with commas between; an address is one by itself.
func networks(list string) (all []netip.Prefix, err error) {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		n, err := netip.ParsePrefix(one)
		if err != nil {
			addr, notAddr := netip.ParseAddr(one)
			if notAddr != nil {
				return nil, fmt.Errorf("got %q; want networks such as 10.1.0.0/16", one)
			}
			n = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, n.Masked())
	}
	return all, nil
}

// frontendError gives err the exit code of its kind. Where it joins several kinds, the one that forbids
// another start decides.
func frontendError(err error) error {
	var storage *cluster.StorageError
	var contradiction *cluster.ContradictionError
	var empty *cluster.EmptyError
	var exit *cli.ExitError
	switch {
	case errors.As(err, &contradiction):
		return &cli.ExitError{Code: cli.ExitContradiction, Err: err}
	case errors.Is(err, cluster.ErrRemoved):
		return &cli.ExitError{Code: cli.ExitRemoved, Err: err}
	case errors.As(err, &storage):
		return &cli.ExitError{Code: cli.ExitDisk, Err: err}
	case errors.As(err, &empty):
		return cli.Usagef("%s; begin a new group with --bootstrap, or join one with --join URL", err)
	case errors.As(err, &exit):
		return err
	case err != nil:
		return fmt.Errorf("frontend: %w", err)
	}
	return nil
}
