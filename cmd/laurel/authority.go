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
		Short: "Make a token with which frontends join",
		Long: `Makes a token with which frontends join the group, and prints it. It names the group's certificate authority, so that a frontend that joins
knows whom to trust, and has a secret, of which the group keeps a hash. It is over after --ttl, or when it was used --uses times.

Pass it on as what it is: whoever has it can make a frontend of the group.`,
		Example: `  laurel cluster token
  laurel cluster token --ttl 10m --uses 2`,
		Args: cobra.NoArgs,
	}
	var ttl time.Duration
	var uses int
	c.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it can be used")
	c.Flags().IntVar(&uses, "uses", 1, "how many frontends it lets in")
	cli.NoEnvironment(c.Flags(), "ttl", "uses")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
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
		Short: "Show the group's certificate authority, or give it another",
		Long: `Without an argument, prints the certificates of the authorities that the group trusts, for --ca and for clients that are no part of Laurel.

rotate makes a new authority. From then on both are trusted, and all members renew their certificates by themselves within seconds; one that
is down does so when it is back. finish, when all have, ends the trust in the old one: join tokens that name it are over, and clients need the new
certificate. It is refused while a member has none by the new authority.`,
		Example: `  laurel cluster ca > ca.pem
  laurel cluster ca rotate
  laurel cluster ca finish`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"rotate", "finish"},
	}
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
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
				fmt.Fprintln(out, "the group trusts the new authority only")
				return nil
			}
			if err := c.RotateAuthority(ctx); err != nil {
				return err
			}
			fmt.Fprintln(out, "the group has a new authority; when all members have renewed their certificates: laurel cluster ca finish")
			return nil
		})
	}
	return c
}
