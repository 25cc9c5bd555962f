package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/access"
)

func newAccessCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "access",
		Short: "Show who may do what, and give and take rights",
		Long: `Shows the grants of the group: who may do what, and by which key or token. Only operators may; the token of the first is in the data
directory of the frontend that began the group.`,
		Example: `  laurel access
  laurel access grant bard/cacofonix --role bard --key "$(bard key show cacofonix.key)" --competition OG50BC
  laurel access grant feed --role bard --rate 100 --expires 720h
  laurel access revoke 1f0c2a9b66d3e481`,
		Args: cobra.NoArgs,
	}
	ask := addAsk(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error { return ask.print(cmd, "/v1/access", nil) }
	c.AddCommand(newGrantCommand(), newRevokeCommand())
	return c
}

func newGrantCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "grant NAME --role ROLE",
		Short: "Give a right to the holder of a key, or of a new token",
		Long: `Gives NAME a role: reader, who reads what a private group shows to nobody else; bard, who posts events; or operator, who changes the group, and
who may do what. Each includes those before it. A bard posts as the source NAME, or one below it, such as NAME/2.

With --key the right is that of whoever signs with the private key, and nothing secret is sent. Granted again to the same key, it is changed. Without
it a token is made and printed, once: the group keeps only a hash of it.`,
		Args: cobra.ExactArgs(1),
		Example: `  laurel access grant bard/cacofonix --role bard --key cacofonix.pub --competition OG50BC --type score.play --type alert
  laurel access grant feed --role bard --rate 100 --expires 720h
  laurel access grant obelix --role operator`,
	}
	var g access.GrantRequest
	var role, key, expires string
	var types []string
	flags := c.Flags()
	flags.StringVar(&role, "role", "", "reader, bard or operator")
	flags.StringVar(&key, "key", "", "the `PUBLIC` key of one who signs, as bard key prints it, or the file that it is in")
	flags.StringSliceVar(&g.Competitions, "competition", nil, "only about this competition; may be given more than once (default any)")
	flags.StringSliceVar(&types, "type", nil, "only events of this type; may be given more than once (default any)")
	flags.Float64Var(&g.Rate, "rate", 0, "most events a second, at each frontend; 0 is as many as the frontend takes of anybody")
	flags.StringVar(&expires, "expires", "", "`WHEN` it is over: a time such as 2026-12-31T00:00:00Z, or from now, such as 720h (default never)")
	cli.NoEnvironment(flags, "role", "key", "competition", "type", "rate", "expires")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		g.Name, g.Role = args[0], access.Role(role)
		for _, t := range types {
			g.Types = append(g.Types, score.Type(t))
		}
		if role == "" {
			return cli.Usagef("--role is missing; want reader, bard or operator")
		}
		var err error
		if key != "" {
			if g.Public, err = cli.ReadPublicKey(key); err != nil {
				return cli.Usagef("--key: %w", err)
			}
		}
		if g.Expires, err = momentIn(expires); err != nil {
			return cli.Usagef("--expires: %w", err)
		}
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
			made, err := c.Grant(ctx, g)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if made.Token == "" {
				fmt.Fprintf(out, "%s has the role %s by the key %s\n", g.Name, g.Role, made.ID)
				return nil
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s has the role %s by the token %s, which is not shown again:\n", g.Name, g.Role, made.ID)
			fmt.Fprintln(out, made.Token)
			return nil
		})
	}
	return c
}

// momentIn is a time, or one that is so far from now; none for "".
func momentIn(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return time.Now().UTC().Add(d).Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("got %q; want a time such as 2026-12-31T00:00:00Z, or how long from now, such as 720h", text)
	}
	return t.UTC(), nil
}

func newRevokeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke ID...",
		Short: "Take rights, or join tokens, back",
		Long: `Takes back the grants, or the join tokens, of these ids (laurel access shows them). What was posted before stays; a key or token that was revoked never
gets a right again.`,
		Example: `  laurel access revoke 1f0c2a9b66d3e481`,
		Args:    cobra.MinimumNArgs(1),
	}
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
			for _, id := range args {
				if err := c.Revoke(ctx, id); err != nil {
					return fmt.Errorf("%s was not revoked: %w", id, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked\n", id)
			}
			return nil
		})
	}
	return c
}

func newAuditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed the group, and who may do what",
		Long: `Shows the trail of what operators, and members by themselves, have changed, the oldest first: its last 10,000 lines are kept with the
scores.`,
		Example: `  laurel audit
  laurel audit --after 1200 --limit 1000 --json`,
		Args: cobra.NoArgs,
	}
	var page client.Page
	flags := c.Flags()
	flags.IntVar(&page.Limit, "limit", 0, "how many lines at most; 0 leaves it to the frontend")
	flags.StringVar(&page.After, "after", "", "go on after the line of this `number`")
	cli.NoEnvironment(flags, "limit", "after")
	ask := addAsk(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error { return ask.print(cmd, "/v1/audit", client.PageQuery(page)) }
	return c
}
