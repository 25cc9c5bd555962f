package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/operator"
	"laurel/cmd/laurel/recovery"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/access"
)

func newClusterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Show and change the group of frontends",
	}
	c.AddCommand(newStatusCommand(), newJoinCommand(), newLeaveCommand(), newSettingsCommand(), newSetCommand(),
		newFormatCommand(), newTransferCommand(), newDrainCommand(), newTokenCommand(), newAuthorityCommand(),
		newAutopilotCommand(), recovery.NewCommand())
	return c
}

// statusNotes explains the table of laurel cluster status.
const statusNotes = `
Readers see every change up to RELEASED. REVISION is what a frontend has applied to its database; right
after a post it can differ between the frontends for a moment.
`

func newStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the frontends of the group, as one of them sees it",
		Long: `Shows the mode and the epoch of the group and, for each frontend, its role, its state, the time left of
its lease, and these revisions:

  PUSHED    its memory has every change up to this revision
  RELEASED  its readers see every change up to this revision
  REVISION  its database has applied every event up to this revision

The first line has the number of voters that may be lost while the group goes on. A frontend is HEALTHY while it
answers, follows the master and has its log.

A frontend without a lease (-) asks the master for each answer. In pull mode no frontend has a lease.
In a sworn group a line below says which frontends the asked one has put out, and why.

Exit code 1 means that the group has no master, too.`,
		Example: `  laurel cluster status
  laurel cluster status --to http://127.0.0.1:8002 --json`,
		Args: cobra.NoArgs,
	}
	asJSON := jsonFlag(c)
	return withClient(c, func(cmd *cobra.Command, _ []string, c *client.Client) error {
		const path = "/v1/cluster"
		body, err := c.Get(cmd.Context(), path, nil, client.JSON)
		if err != nil {
			return err
		}
		var group score.Frontends
		if err := json.Unmarshal(body, &group); err != nil {
			return fmt.Errorf("cannot read the status of the group: %w", err)
		}
		notes := ""
		if !*asJSON {
			notes = statusNotes
			if body, err = c.Get(cmd.Context(), path, nil, client.Text); err != nil {
				return err
			}
		}
		if err := printAnswer(cmd, body, notes); err != nil {
			return err
		}
		if group.Master == "" {
			return errors.New("the group has no master, so it accepts no posts and no changes; " +
				"it elects one when a majority of its voters is up")
		}
		return nil
	})
}

// withClient makes c run f with a client of the group, and adds the flags for it. The
// flags that c has already describe what it asks for.
func withClient(
	c *cobra.Command, f func(cmd *cobra.Command, args []string, c *client.Client) error,
) *cobra.Command {
	cli.NoEnvironment(c.Flags())
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := to.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(cmd, args, c)
	}
	return c
}

// actionCommand is withClient for a command that prints the line which act returns.
func actionCommand(
	c *cobra.Command, act func(ctx context.Context, c *client.Client, args []string) (line string, err error),
) *cobra.Command {
	return withClient(c, func(cmd *cobra.Command, args []string, c *client.Client) error {
		line, err := act(cmd.Context(), c, args)
		if err == nil {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
		}
		return err
	})
}

func newJoinCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "join --id ID --peer HOST:PORT --url URL",
		Short: "Add a frontend to the group by hand",
		Long: `Adds a frontend that waits to be added, or changes its place in the group. You rarely need this: a frontend
that is started with --join adds itself, and one that has moved tells its new address. Use it to give a vote to a
frontend without one, or the host of --url to the certificate of one that has no vote.

A frontend that gets a vote must be started without --nonvoter from then on. It keeps the vote for as long as
it is in the group: to take it away, remove the frontend with laurel cluster leave, and let it join with
--nonvoter and an empty data directory.

The flags about the frontend are never taken from the environment.`,
		Example: `  laurel cluster join --id f4 --peer 10.0.0.4:9001 --url http://10.0.0.4:8001
  laurel cluster join --id reader1 --peer 10.0.0.9:9001 --url http://10.0.0.9:8001 --voter=false`,
		Args: cobra.NoArgs,
	}
	var m score.NewMember
	flags := c.Flags()
	flags.StringVar(&m.ID, "id", "", "the frontend's id")
	flags.StringVar(&m.Peer, "peer", "", "`HOST:PORT` at which the other members reach it")
	flags.StringVar(&m.URL, "url", "", "`URL` at which clients reach it")
	flags.BoolVar(&m.Voter, "voter", true,
		"whether it votes; a frontend without a vote answers reads and does not slow down posts")
	return actionCommand(c, func(ctx context.Context, c *client.Client, _ []string) (string, error) {
		for _, required := range []struct{ flag, value string }{{"id", m.ID}, {"peer", m.Peer}, {"url", m.URL}} {
			if required.value == "" {
				return "", cli.Usagef("--%s is missing; a member needs an id, a peer address and a URL", required.flag)
			}
		}
		at, err := address.Parse(m.URL)
		if err != nil {
			return "", cli.Usagef("--url is %q; want the URL at which clients reach the frontend: %w", m.URL, err)
		}
		m.URL = at.String()
		group, err := c.Frontends(ctx)
		if err != nil {
			return "", err
		}
		err = c.Join(ctx, m)
		if p, ok := errors.AsType[*score.Problem](err); ok && p.Field == "voter" {
			return "", cli.Usagef("--voter=false: %w", err)
		}
		line := m.ID + " is in the group"
		for _, was := range group.Frontends {
			switch {
			case was.ID != m.ID, was.URL == "":
			case was.URL != m.URL:
				line += "; clients are told its own --public-url or --http address, " + was.URL
			case was.Peer == m.Peer && was.Voter == m.Voter:
				line = m.ID + " was in the group already, at these addresses and with this vote"
			}
		}
		return line, err
	})
}

func newLeaveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "leave ID...",
		Short: "Remove frontends from the group for good",
		Long: `Removes frontends from the group, one after the other, and stops at the first that the group refuses to
remove. A removed frontend ends. Do not remove a frontend that you only stop for a while.

The group refuses if the removal would endanger it: too few voters would be left to survive another
loss, or to decide at all. --force removes the frontend nevertheless.`,
		Example: `  laurel cluster leave f3
  laurel cluster leave f3 f4 --to http://127.0.0.1:8001
  laurel cluster leave f2 --force`,
		Args: cobra.MinimumNArgs(1),
	}
	var force bool
	c.Flags().BoolVar(&force, "force", false, "remove the frontend even if this endangers the group")
	return withClient(c, func(cmd *cobra.Command, args []string, c *client.Client) error {
		for _, id := range args {
			group, err := c.Leave(cmd.Context(), id, force)
			if err != nil {
				return fmt.Errorf("remove %s: %w", id, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has left the group\n", id)
			if slices.Contains(group.KeyHolders, id) {
				fmt.Fprintf(cmd.OutOrStdout(), "the private key of the group's authority left with it; "+
					"to make it worthless run laurel cluster ca rotate, and then laurel cluster ca finish\n")
			}
		}
		return nil
	})
}

func newSettingsCommand() *cobra.Command {
	return readCommand(&cobra.Command{
		Use:   "settings",
		Short: "Show the settings of the group",
		Long: `Shows the settings, which are stored with the scores and hold for every frontend:

  cache_mode   push: the master pushes every change into the memory of every frontend before it
               acknowledges the post. No answer is ever stale, and a frontend that hangs delays posts for
               a moment.
               pull: each frontend polls the master for the answers that it holds, the more often the more
               they are read. Posts wait for no frontend, and the header Age bounds the age of an answer.
  clean_up_after, min_voters, stabilize
               how dead frontends are removed; see laurel cluster autopilot
  format       the format of log and snapshots; see laurel cluster format
  format_hold  true: the format is not raised
  incarnation  names the store's revisions; the ids of watchers begin with it
  lineage      names the store; signatures name it
  private      true: scores are shown only to callers with a reader's token
  sworn        true: changes must be signed by an operator, and events by bards`,
		Example: `  laurel cluster settings
  laurel cluster settings --json`,
		Args: cobra.NoArgs,
	}, func([]string) (string, url.Values, error) { return "/v1/cluster/settings", nil, nil }, "")
}

func newTransferCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "transfer [ID]",
		Short: "Make another frontend the master",
		Long: `Transfers leadership to the frontend with this id, or to the voter that is most up to date. Posts that
arrive meanwhile wait.`,
		Example: `  laurel cluster transfer
  laurel cluster transfer f2`,
		Args: cobra.MaximumNArgs(1),
	}
	return actionCommand(c, func(ctx context.Context, c *client.Client, args []string) (string, error) {
		if len(args) == 0 {
			return "leadership was transferred to another frontend", c.Transfer(ctx, "")
		}
		group, err := c.Frontends(ctx)
		if err != nil {
			return "", err
		}
		if group.Master == args[0] {
			return args[0] + " is the master already", c.Transfer(ctx, args[0])
		}
		return "leadership was transferred to " + args[0], c.Transfer(ctx, args[0])
	})
}

func newTokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a token with which frontends can join",
		Long: `Makes and prints a token with which frontends can join the group. It names the group's certificate
authority, so that a new frontend knows whom to trust, and contains a secret of which the group keeps
only a hash. It expires after --ttl or --uses uses.

The certificate of a frontend has the address at which the master reaches it, and no other but those of
--host, so use that for the names by which clients reach it. With --nonvoter the frontend gets no vote:
start it with --nonvoter, too.

With --replace it is for a frontend that takes the place of a dead one, with an empty data directory: start it with
the id of the dead one and --replace, too. A frontend that answers is never replaced.

Keep it secret: everybody who has it can add a frontend to the group.`,
		Example: `  laurel cluster token
  laurel cluster token --ttl 10m --uses 2
  laurel cluster token --replace f3
  laurel cluster token --nonvoter --host scores.example.org,10.0.0.9`,
		Args: cobra.NoArgs,
	}
	var ttl time.Duration
	var uses int
	var terms access.Terms
	c.Flags().BoolVar(&terms.Nonvoter, "nonvoter", false, "admit frontends without a vote only")
	c.Flags().StringVar(&terms.Replace, "replace", "",
		"`ID` of a dead frontend: admit only one with this id and --replace, in its place")
	c.Flags().StringSliceVar(&terms.Hosts, "host", nil,
		"`NAMES` or addresses, separated by commas, that their certificates may have, too")
	c.Flags().DurationVar(&ttl, "ttl", time.Hour, "time until it expires")
	c.Flags().IntVar(&uses, "uses", 1, "number of frontends that can join with it")
	flags := c.Flags()
	return operator.Command(c, func(cmd *cobra.Command, _ []string, c *client.Client, k *operator.Key) error {
		if err := notEmpty(flags, "host", "replace"); err != nil {
			return err
		}
		make := c.NewJoinToken
		if k.Given() {
			make = func(ctx context.Context, ttl time.Duration, uses int, terms access.Terms) (string, error) {
				return k.JoinToken(ctx, c, ttl, uses, terms)
			}
		}
		text, err := make(cmd.Context(), ttl, uses, terms)
		if err == nil {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
		}
		return err
	})
}

func newAuthorityCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ca [rotate|finish]",
		Short: "Show or rotate the group's certificate authority",
		Long: `Without an argument, prints the certificates of the authorities that the group trusts, in PEM. Use them
for --ca, and for other clients.

rotate makes a new authority. From then on both are trusted, and all members renew their certificates
within seconds; a member that is down does so when it is back.

finish ends the trust in the old authority. Join tokens that name it become invalid, and clients need
the new certificate. It is refused while a member has no certificate of the new authority.

With --out the certificates replace a file when all of them have arrived. Use it for the file that --ca or
LAUREL_CA names: a shell empties the file of > before it can be read.`,
		Example: `  laurel cluster ca --out ca.pem
  laurel cluster ca rotate
  laurel cluster ca finish`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"rotate", "finish"},
	}
	out := c.Flags().String("out", "", "write the certificates to `FILE` instead of standard output")
	cli.NoEnvironment(c.Flags())
	return actionCommand(c, func(ctx context.Context, c *client.Client, args []string) (string, error) {
		switch {
		case len(args) > 0 && *out != "":
			return "", cli.Usagef("--out is for laurel cluster ca without an argument")
		case len(args) == 0:
			pem, err := c.Authorities(ctx)
			if err == nil && *out != "" {
				return "the certificates are in " + *out, writeAuthorities(*out, pem)
			}
			return strings.TrimSuffix(string(pem), "\n"), err
		case args[0] == "finish":
			return "the group trusts only the new authority", c.FinishRotation(ctx)
		}
		return "the group has a new authority; when all members have renewed their certificates, " +
			"run laurel cluster ca finish", c.RotateAuthority(ctx)
	})
}

// writeAuthorities replaces a file by certificates, if they are some.
func writeAuthorities(file string, pem []byte) error {
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("the answer contains no certificate; %s is as it was", file)
	}
	return cli.ReplaceFile(file, pem)
}
