package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/backup"
	"laurel/cluster"
	"laurel/httpapi"
	"laurel/internal/address"
	"laurel/internal/boundlog"
	"laurel/internal/cli"
	"laurel/internal/frontend"
	"laurel/internal/pidfile"
	"laurel/internal/systemd"
	"laurel/score"
	"laurel/trust/access"
)

// frontendFlags is the flags of laurel frontend: the options of the frontend, and what
// makes its identity.
type frontendFlags struct {
	frontend.Options
	service   *systemd.Service
	debug     string // host:port of the debug server; "": none
	metrics   string // where the metrics are shown: metricsAtHTTP or metricsAtDebug
	insecure  bool
	joinToken string // or @ and the name of a file with it, until prepare
	expect    int    // the number of frontends that form a group; 0: none
	authority string // the directory with the authority of a group that is to be made
	certFile  string // with the certificate for clients
	keyFile   string // of that certificate

	sworn        bool
	operatorKey  string // the public key of the first operator of a sworn group, or a file with it
	operatorName string

	backup string // the URL of a backup.Plan; "" for none
}

// Values of --metrics.
const (
	metricsAtHTTP  = "http"
	metricsAtDebug = "debug"
)

func newFrontendCommand() *cobra.Command {
	var f frontendFlags
	var run *pidfile.DirFlag
	level := slog.LevelInfo
	c := &cobra.Command{
		Use:   "frontend",
		Short: "Run a frontend, a member of the group that stores events and answers reads",
		Long: `Runs a frontend in the foreground. It keeps its data in the --data directory. Start it again with the
same flags to continue: --bootstrap and --join then do nothing, and a new --peer address is made known
to the group. It does not start if --join names another group than the one whose data it has.

With --bootstrap-expect N, frontends that all have the same flags form a group by themselves: each waits
until N of them, itself included, have told each other that they have no data. One of them then makes the
group, and the others join it. Exactly one group comes of fewer than 2N frontends, whatever fails meanwhile.
The flag does nothing for a frontend with data, or where a frontend at the addresses of --join has a group.
Without --insecure that needs the join token of laurel authority new, and its authority at one at least.

The members of a group authenticate each other by certificates, which renew themselves. --bootstrap
makes the group's certificate authority and writes the token of the first operator to
DATA/operator.token. With that token, laurel cluster token makes tokens for other frontends to join.
--insecure does without certificates and authenticates nobody; it allows loopback addresses only.

On SIGTERM the frontend sends its watchers and its leadership to others, as after laurel cluster drain, and
stops. A second SIGTERM stops it at once. It stays a member: the group counts on it to come back. To remove it
for good, use laurel cluster leave ID.

` + cli.FrontendExitCodes,
		Example: `  laurel frontend --id f1 --data f1 --http 127.0.0.1:8001 --peer 127.0.0.1:9001 --bootstrap
  LAUREL_JOIN_TOKEN=$(laurel cluster token --token @f1/operator.token) \
    laurel frontend --id f2 --data f2 --http 127.0.0.1:8002 --peer 127.0.0.1:9002 --join https://127.0.0.1:8001
  laurel frontend --id f1 --data f1 --bootstrap --insecure`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			lines := slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})
			log := slog.New(boundlog.New(lines)).With("frontend", f.Member.ID)
			f.Member.Logger, f.Member.Version = log, cli.Version()
			log.Info("starting", "version", cli.Version(), "go", runtime.Version(),
				"data", f.Member.Dir, "http", f.HTTP, "peer", f.Member.Peer)
			// The pid file comes first, so that a frontend that starts slowly can be
			// stopped, too.
			warn := func(err error) { log.Warn("no pid file", "err", err) }
			entry := pidfile.Entry{Kind: pidfile.Frontend, ID: f.Member.ID, Data: f.Member.Dir}
			if dir, err := filepath.Abs(f.Member.Dir); err == nil {
				entry.Data = dir
			}
			leave := pidfile.RegisterOrWarn(run.Dir(), entry, warn)
			defer leave()
			return frontendError(f.run(cmd.Context()))
		},
	}
	f.add(c)
	c.Flags().TextVar(&level, "log-level", level, "lowest level that is logged: DEBUG, INFO, WARN or ERROR")
	run = pidfile.AddDirFlag(c)
	return c
}

func (f *frontendFlags) add(c *cobra.Command) {
	flags, m := c.Flags(), &f.Member
	flags.StringVar(&m.ID, "id", "", "id of the frontend, unique in its group")
	flags.StringVar(&m.Dir, "data", "", "directory of its data; made if it is missing")
	flags.StringVar(&f.HTTP, "http", "127.0.0.1:8001", "host:port for clients")
	flags.StringVar(&m.Peer, "peer", "127.0.0.1:9001", "host:port at which the other members reach this one")
	flags.StringVar(&m.PeerListen, "peer-listen", "",
		"host:port to listen on for the other members, such as :9001, if that is not the --peer address")
	flags.Func("public-url",
		"`URL` at which clients reach this frontend, such as https://scores.example/live (default https:// or, "+
			"with --insecure, http://, and the --http address, with the name of the machine for all addresses)",
		func(text string) (err error) {
			f.URL, err = address.Parse(text)
			return err
		})
	f.addGroup(flags)
	flags.Float64Var(&m.TimeScale, "time-scale", 1,
		"factor for all failover timeouts, for a slow network; use the same for all members")
	flags.StringVar(&f.joinToken, "join-token", "",
		"`TOKEN` to join with, from laurel cluster token or laurel authority new, or @FILE; needed only "+
			"the first time. Prefer the variable or a file: other users can see a command line")
	flags.BoolVar(&f.insecure, "insecure", false,
		"authenticate nobody and encrypt nothing; for tests and first steps, on loopback addresses only")
	flags.StringVar(&f.certFile, "tls-cert", "",
		"`FILE` with the certificate for clients and its chain, in PEM; read again when it changes "+
			"(default a certificate of the group's own authority)")
	flags.StringVar(&f.keyFile, "tls-key", "", "`FILE` with the private key of that certificate")
	flags.StringSliceVar(&f.API.Origins, "cors-origin", nil,
		"origins whose web pages may read, such as https://scores.example (default all, unless the group is private); "+
			"none may make changes")
	flags.Func("proxies",
		"`NETWORKS` of proxies that are trusted, such as 10.1.0.0/16, separated by commas: what they report in "+
			"X-Forwarded-For and X-Forwarded-Proto is believed; limits per address do not apply to them, nor to "+
			"this machine",
		func(list string) error {
			networks, err := parseNetworks(list)
			f.API.Limits.Proxies = append(f.API.Limits.Proxies, networks...)
			return err
		})
	flags.StringVar(&f.backup, "backup", "",
		"`URL` to which the master copies the store, such as 'file:///backups?every=10m&keep=24' or "+
			"'s3://BUCKET/PREFIX?every=10m&keep=24&region=R', with credentials in AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY; give it to all frontends (default none)")
	flags.StringVar(&f.debug, "debug", "",
		"loopback `HOST:PORT` for profiles by pprof and for /metrics, such as 127.0.0.1:6060 (default none)")
	flags.StringVar(&f.metrics, "metrics", metricsAtHTTP,
		"where /metrics is: http for the --http address, or debug for the --debug address only")
	flags.Uint64Var(&m.SnapshotEntries, "snapshot-entries", 0, "number of log entries between two snapshots")
	flags.MarkHidden("snapshot-entries")
}

// addGroup adds the flags that make a group, or join one.
func (f *frontendFlags) addGroup(flags *pflag.FlagSet) {
	m := &f.Member
	flags.BoolVar(&m.Bootstrap, "bootstrap", false,
		"make a new group with this frontend as its only member")
	flags.IntVar(&f.expect, "bootstrap-expect", 0, "form a new group with other frontends that have the same flag: "+
		"`N` in all, at the addresses of --join; no effect with data, or if one of them has a group")
	flags.StringVar(&f.authority, "authority", "", "with --bootstrap or --bootstrap-expect: `DIR` with the authority "+
		"that laurel authority new has made, for the new group (default: it makes one itself)")
	flags.StringSliceVar(&m.Join, "join", nil, "URLs of frontends of the group to join; dns:NAME:PORT stands for all "+
		"addresses of a name, and dns+srv:NAME for its SRV records")
	flags.BoolVar(&m.Nonvoter, "nonvoter", false, "join without a vote: a copy that answers but does not decide; "+
		"not for a frontend that has a vote")
	flags.BoolVar(&m.Replace, "replace", false,
		"join in the place of a dead frontend with this id; in a group with certificates with a token of "+
			"laurel cluster token --replace")
	flags.Uint64Var(&m.MaxFormat, "max-format", access.NewestFormat,
		"latest format of the group in which this frontend takes part: the group is raised to no later one, "+
			"and a new group begins with it; see laurel cluster format")
	flags.BoolVar(&m.Private, "private", false,
		"with --bootstrap: the new group shows scores only to callers with a reader's token; "+
			"later, laurel cluster set private=true or false changes that")
	flags.StringVar(&m.Lineage, "lineage", "",
		"with --bootstrap or --bootstrap-expect: `NAME` of the store of the new group, which signatures have; "+
			"that of laurel export, to post what was exported (default a random one)")
	flags.BoolVar(&f.sworn, "sworn", false,
		"with --bootstrap: an operator must sign the changes of the new group, and a bard its events; "+
			"of use with four voters, of which one may then be corrupt")
	flags.StringVar(&f.operatorKey, "operator-key", "",
		"with --sworn: the `PUBLIC` key of the first operator, as laurel operator key new prints it, or a file with it")
	flags.StringVar(&f.operatorName, "operator-name", "operator", "with --sworn: the name of the first operator")
}

func (f *frontendFlags) check() error {
	switch {
	case f.Member.ID == "" || f.Member.Dir == "":
		return cli.Usagef("a frontend needs an --id and a --data directory")
	case !(f.Member.TimeScale >= 0.1 && f.Member.TimeScale <= 100): // or no number
		return cli.Usagef("--time-scale is %g; want 0.1 to 100", f.Member.TimeScale)
	case f.Member.Nonvoter && f.makesGroup():
		return cli.Usagef("--nonvoter has no effect with --bootstrap and --bootstrap-expect: " +
			"the first frontends of a group have votes")
	case f.Member.Private && !f.makesGroup():
		return cli.Usagef("--private is for the group that --bootstrap or --bootstrap-expect makes; " +
			"in a group that exists, laurel cluster set private=true hides the scores at all frontends")
	case f.Member.Private && f.insecure:
		return cli.Usagef("--private has no effect with --insecure, which authenticates nobody")
	case f.Member.Lineage != "" && !f.makesGroup():
		return cli.Usagef("--lineage is for the group that --bootstrap makes; a store keeps the lineage that it has")
	case f.Member.Lineage != "" && !score.ValidLineage(f.Member.Lineage):
		return cli.Usagef("--lineage is %q; want 1 to 32 small letters and digits", f.Member.Lineage)
	case f.joinToken != "" && f.insecure:
		return cli.Usagef("--join-token has no effect with --insecure, which authenticates nobody")
	case f.Member.Join != nil && len(f.Member.Join) == 0: // a variable that is not set
		return cli.Usagef("--join is empty; name the frontends of the group, or leave it out")
	case f.metrics != metricsAtHTTP && f.metrics != metricsAtDebug:
		return cli.Usagef("--metrics is %q; want %s or %s", f.metrics, metricsAtHTTP, metricsAtDebug)
	case f.metrics == metricsAtDebug && f.debug == "":
		return cli.Usagef("--metrics=%s needs the address of --debug", metricsAtDebug)
	case f.debug != "" && !isLoopback(f.debug):
		return cli.Usagef("--debug is %s; want a loopback address such as 127.0.0.1:6060: profiles show memory, "+
			"and nobody is authenticated", f.debug)
	}
	if err := cluster.CheckFormat(f.Member.MaxFormat); err != nil {
		return cli.Usagef("--max-format: %w", err)
	}
	if err := cluster.CheckID(f.Member.ID); err != nil {
		return cli.Usagef("--id: %w", err)
	}
	for i, text := range f.Member.Join {
		p, err := address.ParsePlace(text)
		if err != nil {
			return cli.Usagef("--join is %q; want URLs of frontends, such as https://10.0.0.1:8001, or a name in DNS, "+
				"such as dns:laurel-peers:8001: %w", text, err)
		}
		f.Member.Join[i] = p.String()
	}
	for i, text := range f.API.Origins {
		origin, err := httpapi.ParseOrigin(text)
		if err != nil {
			return cli.Usagef("--cors-origin: %w", err)
		}
		f.API.Origins[i] = origin
	}
	if f.backup != "" {
		plan, err := backup.ParseURL(f.backup, f.Member.Dir)
		if err != nil {
			return cli.Usagef("--backup: %w", err)
		}
		f.Backup = &plan
	}
	if err := errors.Join(f.checkForming(), f.checkSworn()); err != nil {
		return err
	}
	return f.checkAddresses()
}

// run runs a frontend until ctx ends or it cannot continue.
func (f *frontendFlags) run(ctx context.Context) error {
	// Memory that is never touched, and so never resident, lets garbage reach 40 MiB
	// before it is collected. The heap alone, 8 MiB, had it collected 13 times a second.
	defer runtime.KeepAlive(make([]byte, 32<<20))
	f.service = systemd.New(f.Member.Logger)
	go f.service.Run(ctx)
	defer f.service.Stopping() // before the process ends
	if err := f.prepare(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			f.Member.Logger.Info("stopped before it had a group")
			return nil
		}
		return err
	}
	debug := http.NewServeMux()
	if f.debug != "" {
		stop, err := serveDebug(f.debug, debug, f.Member.Logger)
		if err != nil {
			return err
		}
		defer stop()
	}
	f.API.HideMetrics = f.metrics == metricsAtDebug
	started, err := startFrontend(f.Options, debug)
	if err != nil {
		return err
	}
	// A group without a majority can take long to be ready, so that is not waited for.
	f.service.Ready(func() { started.Member().Frontends() })
	return started.Run(ctx)
}

// prepare gets the certificates of the frontend, and decides which group it is for.
func (f *frontendFlags) prepare(ctx context.Context) error {
	if err := f.setCertificate(); err != nil { // before a group is made or a join token used
		return err
	}
	if err := f.checkDirectory(); err != nil {
		return err
	}
	if err := f.readJoinToken(); err != nil {
		return err
	}
	if err := f.form(ctx); err != nil {
		return err
	}
	return f.setIdentity(ctx)
}

// parseNetworks parses networks separated by commas. An address is a network of one.
func parseNetworks(list string) (networks []netip.Prefix, err error) {
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		n, err := netip.ParsePrefix(text)
		if addr, e := netip.ParseAddr(text); e == nil {
			n, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("got %q; want networks such as 10.1.0.0/16", text)
		}
		if n.Addr().Is4In6() && n.Bits() >= 96 { // clients of IPv4 are taken as such
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		networks = append(networks, n.Masked())
	}
	return networks, nil
}

// frontendError gives err its exit code. If it joins errors of several kinds, the one
// that forbids a restart decides.
func frontendError(err error) error {
	switch {
	case err == nil || is[*cli.ExitError](err):
		return err
	case is[*cluster.ContradictionError](err):
		return &cli.ExitError{Code: cli.ExitContradiction, Err: err}
	case is[*cluster.FormatError](err), score.CodeOf(err) == score.UnsupportedFormat:
		return &cli.ExitError{Code: cli.ExitFormat, Err: err}
	case errors.Is(err, cluster.ErrRemoved):
		return &cli.ExitError{Code: cli.ExitRemoved, Err: err}
	case is[*cluster.GoBackError](err):
		return &cli.ExitError{Code: cli.ExitGoBack, Err: err}
	case is[*cluster.StorageError](err):
		return &cli.ExitError{Code: cli.ExitDisk, Err: err}
	case is[*cluster.LineageError](err):
		return cli.Usagef("--lineage: %w", err)
	case is[*cluster.EmptyError](err):
		return cli.Usagef("%s; begin a new group with --bootstrap, or join one with --join URL", err)
	case errors.Is(err, cluster.ErrHasVote):
		return cli.Usagef("--nonvoter: %w; leave the flag out or, to take the vote away, remove the frontend with "+
			"laurel cluster leave, and let it join with an empty data directory", err)
	}
	return fmt.Errorf("frontend: %w", err)
}

// is reports whether err is, or wraps, an E.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// serveDebug serves mux at a loopback address, with profiles under /debug/pprof/, until
// stop is called.
func serveDebug(addr string, mux *http.ServeMux, log *slog.Logger) (stop func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for --debug: %w", err)
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: address.OnlyThisMachine(mux, ""), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with stop
	log.Info("debug server is listening", "url", "http://"+listener.Addr().String()+"/debug/pprof/")
	return func() {
		server.Close()
		listener.Close() // the server does not close it if it is closed before it serves
	}, nil
}
