package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/client"
	"laurel/cluster"
	"laurel/cmd/laurel/operator"
	"laurel/cmd/laurel/recovery"
	"laurel/internal/cli"
	"laurel/internal/frontend"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/pki"
)

func newAccessCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "access",
		Short: "Show and change the grants of the group",
		Long: `Shows the grants of the group: the roles of keys and tokens. Only operators can use this. The token of
the first operator is in the data directory of the frontend that made the group.`,
		Example: `  laurel access
  laurel access grant bard/cacofonix --role bard --key cacofonix.pub --competition OG50BC
  laurel access grant feed --role bard --rate 100 --expires 720h
  laurel access revoke 1f0c2a9b66d3e481`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newGrantCommand(), newRevokeCommand(), newRecoverCommand())
	return readCommand(c, func([]string) (string, url.Values, error) { return "/v1/access", nil, nil })
}

func newGrantCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "grant NAME --role ROLE",
		Short: "Grant a role to the holder of a key or of a new token",
		Long: `Grants NAME a role. A reader can read the scores of a private group, in a browser too: the page asks for
the token. A bard can post events. An operator can change the group and its grants. Each role includes
the ones before it. A bard posts as the source NAME or one below it, such as NAME/2.

--competition and --type are for bards, --rate is for bards and operators. A reader and an operator use
tokens; with --key an operator signs events of any source, and nothing else.

With --key, the role is for the holder of the private key, and no secret is sent. A second grant to
the same key replaces the first. Without --key, a token is made and printed once; the group keeps only
its hash.`,
		Args: cobra.ExactArgs(1),
		Example: `  laurel access grant bard/cacofonix --role bard --key cacofonix.pub --competition OG50BC --type alert
  laurel access grant feed --role bard --rate 100 --expires 720h
  laurel access grant obelix --role operator`,
	}
	var g access.GrantRequest
	var role, key, expires string
	var types []string
	flags := c.Flags()
	flags.StringVar(&role, "role", "", "reader, bard or operator")
	flags.StringVar(&key, "key", "", "the `PUBLIC` key of a signer, as bard key prints it, or a file with it")
	flags.StringSliceVar(&g.Competitions, "competition", nil,
		"only events of this competition, for a bard; may be repeated (default any)")
	flags.StringSliceVar(&types, "type", nil, "only events of this type, for a bard; may be repeated (default any)")
	flags.Float64Var(&g.Rate, "rate", 0,
		"largest number of events per second at each frontend; 0 is the frontend's own limit")
	flags.StringVar(&expires, "expires", "",
		"`WHEN` the grant ends: a time such as 2026-12-31T00:00:00Z, or a duration such as 720h (default never)")
	return operator.Command(c, func(cmd *cobra.Command, args []string, c *client.Client, k *operator.Key) error {
		g.Name, g.Role = args[0], access.Role(role)
		for _, t := range types {
			g.Types = append(g.Types, score.Type(t))
		}
		if role == "" {
			return cli.Usagef("--role is missing; want reader, bard or operator")
		}
		if err := notEmpty(flags, "competition", "type", "key", "expires"); err != nil {
			return err
		}
		var err error
		if key != "" {
			if g.Public, err = cli.ReadPublicKey(key); err != nil {
				return cli.Usagef("--key: %w", err)
			}
		}
		if g.Expires, err = parseExpiry(expires); err != nil {
			return cli.Usagef("--expires: %w", err)
		}
		return grant(cmd, c, k, g)
	})
}

// notEmpty refuses flags that are given without a value, as by a script whose variable is
// not set. Without a restriction the grant would permit more than was meant.
func notEmpty(flags *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		f := flags.Lookup(name)
		if text := strings.Trim(f.Value.String(), "[]"); f.Changed && text == "" {
			return cli.Usagef("--%s is empty; give it a value, or leave it out", name)
		}
	}
	return nil
}

// grant makes a grant and prints its id, or its token.
func grant(cmd *cobra.Command, c *client.Client, k *operator.Key, g access.GrantRequest) error {
	already := ""
	var made access.GrantResponse
	var err error
	if k.Given() {
		made, err = k.Grant(cmd.Context(), c, g)
	} else {
		if had, err := hasGrant(cmd.Context(), c, &g); err != nil {
			return err
		} else if had {
			already = " already"
		}
		made, err = c.Grant(cmd.Context(), g)
	}
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if made.Token == "" {
		fmt.Fprintf(out, "%s has the role %s by the key %s%s\n", g.Name, g.Role, made.ID, already)
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(),
		"%s has the role %s by the token %s, which is not shown again:\n", g.Name, g.Role, made.ID)
	fmt.Fprintln(out, made.Token)
	return nil
}

// hasGrant reports whether the holder of a key has exactly what is to be granted.
func hasGrant(ctx context.Context, c *client.Client, g *access.GrantRequest) (bool, error) {
	if len(g.Public) == 0 {
		return false, nil // each token is a new one
	}
	view, err := c.Access(ctx)
	return slices.ContainsFunc(view.Grants, func(old access.Grant) bool {
		return old.ID == score.KeyID(g.Public) && !old.Revoked && old.Name == g.Name && old.Role == g.Role &&
			slices.Equal(old.Competitions, g.Competitions) && slices.Equal(old.Types, g.Types) &&
			old.Rate == g.Rate && old.Expires.Equal(g.Expires)
	}), err
}

// parseExpiry parses a time, or a duration from now. "" is the zero time.
func parseExpiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return time.Now().UTC().Add(d).Truncate(time.Second), nil
	}
	t, err := score.ParseTime(text)
	if err != nil {
		return t, fmt.Errorf("%w, or a duration such as 720h", err)
	}
	return t.UTC(), nil
}

func newRevokeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke ID...",
		Short: "Revoke grants or join tokens",
		Long: `Revokes the grants, or join tokens, with these ids, which laurel access shows. The whole text of a token
stands for its id; the secret in it is not sent. Events that were posted before stay. A key or token that was
revoked can never be granted a role again.

The last operator's token that does not expire cannot be revoked.`,
		Example: `  laurel access revoke 1f0c2a9b66d3e481`,
		Args:    cobra.MinimumNArgs(1),
	}
	return operator.Command(c, func(cmd *cobra.Command, args []string, c *client.Client, k *operator.Key) error {
		revoke := c.Revoke
		if k.Given() {
			revoke = func(ctx context.Context, id string) error { return k.Change(ctx, c, access.Change{Revoke: id}) }
		}
		for _, arg := range args {
			id := tokenID(arg)
			if err := revoke(cmd.Context(), id); err != nil {
				return fmt.Errorf("revoke %s: %w", id, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked\n", id)
		}
		return nil
	})
}

func newRecoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "recover --data DIR",
		Short: "Make a token for an operator on the machine of a voter",
		Long: `Makes a token for an operator when no operator's token is at hand. Run it where a frontend with a vote keeps
its data, as the user who runs that frontend, and start the frontend again: it then has the master grant the
role to the token, under the name recovered/ID. Its log and the audit trail show that.

The token is printed once, and is valid when the frontend has been started again and the group has a
master. A token that was recovered before with the same frontend ends.`,
		Example: `  laurel access recover --data /var/lib/laurel`,
		Args:    cobra.NoArgs,
	}
	dir := c.Flags().String("data", "", "data `DIR` of a frontend with a vote")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkVoterDir(*dir); err != nil {
			return err
		}
		token, err := frontend.AskForOperator(*dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "the token %s will be an operator's when the frontend with the data in %s "+
			"has been started again; it is not shown again:\n", token.ID, *dir)
		fmt.Fprintln(cmd.OutOrStdout(), token.Text())
		return nil
	}
	return c
}

// checkVoterDir returns an error unless dir has the data of a voter of a secure group, and
// is this user's: the frontend could not read a file that is another user's.
func checkVoterDir(dir string) error {
	if dir == "" {
		return cli.Usagef("--data is missing; want the data directory of a frontend with a vote")
	}
	holder, err := pki.ReadHolder(pki.DirIn(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cli.Usagef("--data is %q, which has no certificate; want the data directory of a frontend with a vote "+
			"(in a group with --insecure everybody is an operator)", dir)
	case err != nil:
		return err
	case holder.Role != pki.Voter:
		return cli.Usagef("--data is %q, of %q, which has no vote; use the directory of a frontend with a vote",
			dir, holder.Member)
	}
	if err := cluster.CheckEnded(dir); err != nil {
		return cli.Usagef("--data is %q, whose frontend does not start again; use the directory of another one: %w",
			dir, err)
	}
	return recovery.CheckOwner(dir)
}

// tokenID returns the id of the token with a text, or the text if it is that of no token.
func tokenID(text string) string {
	if t, err := access.ParseBearerToken(text); err == nil {
		return t.ID
	}
	if t, err := pki.ParseJoinToken(text); err == nil {
		return t.ID
	}
	return text
}

func newAuditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show the audit trail of changes to the group and its grants",
		Long: `Shows what operators, and members by themselves, have changed, the oldest change first. The group keeps
the last 10,000 lines together with the scores.`,
		Example: `  laurel audit
  laurel audit --after 1200 --limit 1000 --json`,
		Args: cobra.NoArgs,
	}
	var page client.Page
	c.Flags().IntVar(&page.Limit, "limit", 0, "largest number of lines; 0 is the frontend's default")
	c.Flags().StringVar(&page.After, "after", "", "continue after the line with this `number`")
	return readCommand(c, func([]string) (string, url.Values, error) { return "/v1/audit", page.Query(), nil })
}
