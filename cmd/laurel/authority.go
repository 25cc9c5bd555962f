package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
)

func newTokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a token with which frontends can join",
		Long: `Makes and prints a token with which frontends can join the group. It names the group's certificate
authority, so that a new frontend knows whom to trust, and contains a secret of which the group keeps
only a hash. It expires after --ttl or --uses uses.

Keep it secret: whoever has it can make a frontend of the group.`,
		Example: `  laurel cluster token
  laurel cluster token --ttl 10m --uses 2`,
		Args: cobra.NoArgs,
	}
	var ttl time.Duration
	var uses int
	c.Flags().DurationVar(&ttl, "ttl", time.Hour, "time until it expires")
	c.Flags().IntVar(&uses, "uses", 1, "number of frontends that can join with it")
	cli.NoEnvironment(c.Flags(), "ttl", "uses")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return withClient(cmd, to, func(ctx context.Context, c *client.Client) error {
			token, err := c.NewJoinToken(ctx, ttl, uses)
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			}
			return err
		})
	}
	return c
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
the new certificate. It is refused while a member has no certificate of the new authority.`,
		Example: `  laurel cluster ca > ca.pem
  laurel cluster ca rotate
  laurel cluster ca finish`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"rotate", "finish"},
	}
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return withClient(cmd, to, func(ctx context.Context, c *client.Client) error {
			out := cmd.OutOrStdout()
			if len(args) == 0 {
				pem, err := c.Authorities(ctx)
				if err == nil {
					_, err = out.Write(pem)
				}
				return err
			}
			if args[0] == "finish" {
				if err := c.FinishRotation(ctx); err != nil {
					return err
				}
				fmt.Fprintln(out, "the group trusts only the new authority")
				return nil
			}
			if err := c.RotateAuthority(ctx); err != nil {
				return err
			}
			fmt.Fprintln(out, "the group has a new authority; when all members have renewed their certificates, "+
				"run laurel cluster ca finish")
			return nil
		})
	}
	return c
}
