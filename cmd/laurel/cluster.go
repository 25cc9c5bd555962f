package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
)

func newClusterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Show the group of frontends, and change who is in it",
	}
	c.AddCommand(newStatusCommand(), newJoinCommand(), newLeaveCommand(), newModeCommand(), newTransferCommand(), newTokenCommand(), newAuthorityCommand())
	return c
}

func newStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the frontends of the group, as one of them sees it",
		Long: `Shows the mode and the epoch of the group and, of each frontend, its role and state, what is left of its lease, and how far it is:

  PUSHED    its memory has every change up to this revision
  RELEASED  its readers may see every change up to this revision
  REVISION  its database has every event up to this revision

Without a lease (-) a frontend asks the master for each answer. In pull mode nobody has a lease.`,
		Example: `  laurel cluster status
  laurel cluster status --to http://127.0.0.1:8002 --json`,
		Args: cobra.NoArgs,
	}
	ask := addAsk(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error { return ask.print(cmd, "/v1/cluster", nil) }
	return c
}

// change does something to the group.
func change(cmd *cobra.Command, to *cli.Target, f func(context.Context, *client.Client) error) error {
	c, err := to.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(cmd.Context(), c)
}

func newJoinCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "join --id ID --peer HOST:PORT --url URL",
		Short: "Give a frontend a place in the group, by hand",
		Long: `Tells the group about a frontend. The usual way is another: a frontend that is started with --join does this by itself. This is for
adding one that was started without it.

What is said about the frontend is never taken from the environment.`,
		Example: `  laurel cluster join --id f4 --peer 10.0.0.4:9001 --url http://10.0.0.4:8001
  laurel cluster join --id reader1 --peer 10.0.0.9:9001 --url http://10.0.0.9:8001 --voter=false`,
		Args: cobra.NoArgs,
	}
	var m score.NewMember
	flags := c.Flags()
	flags.StringVar(&m.ID, "id", "", "the frontend's id")
	flags.StringVar(&m.Peer, "peer", "", "`HOST:PORT` at which the other members reach it")
	flags.StringVar(&m.URL, "url", "", "`URL` at which clients reach it")
	flags.BoolVar(&m.Voter, "voter", true, "whether it votes; one that does not answers reads all the same, and does not slow posts down")
	cli.NoEnvironment(flags, "id", "peer", "url", "voter")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, need := range []struct{ flag, value string }{{"id", m.ID}, {"peer", m.Peer}, {"url", m.URL}} {
			if need.value == "" {
				return cli.Usagef("--%s is missing; a member has an id, a peer address and a URL", need.flag)
			}
		}
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
			if err := c.Join(ctx, m); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in the group\n", m.ID)
			return nil
		})
	}
	return c
}

func newLeaveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "leave ID...",
		Short: "Take frontends out of the group for good",
		Long: `Takes frontends out of the group, one after the other, and stops at the first that the group does not let go. A frontend that is taken out
ends. One that is only stopped for a while needs no leave.

Where the group would be in danger without the frontend (too few voters to survive another loss, or to decide anything at all) it
refuses and says why; --force takes it out all the same.`,
		Example: `  laurel cluster leave f3
  laurel cluster leave f3 f4 --to http://127.0.0.1:8001
  laurel cluster leave f2 --force`,
		Args: cobra.MinimumNArgs(1),
	}
	var force bool
	c.Flags().BoolVar(&force, "force", false, "take it out even where that endangers the group")
	cli.NoEnvironment(c.Flags(), "force")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
			for _, id := range args {
				if err := c.Leave(ctx, id, force); err != nil {
					return leaveError(id, force, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s has left the group\n", id)
			}
			return nil
		})
	}
	return c
}

// leaveError tells a group that warns from one that cannot.
func leaveError(id string, force bool, err error) error {
	var p *score.Problem
	if !force && errors.As(err, &p) && p.Code == score.StatusConflict {
		return fmt.Errorf("WARNING: %s was not taken out: %s\nTo do it all the same: laurel cluster leave %s --force", id, p.Detail, id)
	}
	return fmt.Errorf("%s was not taken out: %w", id, err)
}

func newModeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "mode [push|pull]",
		Short: "Show or set how the frontends keep their answers true",
		Long: `In push mode the master puts every change into the memory of every frontend before it answers the bard: no answer is ever behind,
and a frontend that hangs delays posts for a moment. In pull mode each frontend asks the master again for what it holds, the more often
the more it is read: posts wait for nobody, and answers say by the header Age how old they may be.

The mode is kept with the scores, for the whole group and for good. When a switch to pull is confirmed no frontend answers by the old
rules any more.`,
		Example: `  laurel cluster mode
  laurel cluster mode pull
  laurel cluster mode push --to http://127.0.0.1:8002`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{string(score.Push), string(score.Pull)},
	}
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
			if len(args) == 1 {
				mode := score.CacheMode(args[0])
				if err := c.SetCacheMode(ctx, mode); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), mode)
				return nil
			}
			group, err := c.Frontends(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), group.Mode)
			return nil
		})
	}
	return c
}

func newTransferCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "transfer [ID]",
		Short: "Make another frontend the master",
		Long:  `Hands the mastership over to the frontend named, or to whichever voter is the most up to date. Events that arrive meanwhile wait.`,
		Example: `  laurel cluster transfer
  laurel cluster transfer f2`,
		Args: cobra.MaximumNArgs(1),
	}
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		target := ""
		if len(args) == 1 {
			target = args[0]
		}
		return change(cmd, to, func(ctx context.Context, c *client.Client) error {
			if err := c.Transfer(ctx, target); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the mastership was handed over to", cmp.Or(target, "another frontend"))
			return nil
		})
	}
	return c
}
