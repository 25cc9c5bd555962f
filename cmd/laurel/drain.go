package main

import (
	"context"

	"github.com/spf13/cobra"

	"laurel/client"
)

func newDrainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "drain ID",
		Short: "Have a frontend send its clients and its leadership to others",
		Long: `Prepares a frontend for its stop: /readyz answers 503, its watchers are sent to other frontends within seconds,
leadership goes to another voter, and clients of the group choose other frontends. It answers all that still comes.

Nothing of this is stored: a frontend that is started again serves. --undo ends it before. On SIGTERM a frontend does
the same by itself, so you need this only to give load balancers time before that.`,
		Example: `  laurel cluster drain f2
  laurel cluster drain f2 --undo`,
		Args: cobra.ExactArgs(1),
	}
	undo := c.Flags().Bool("undo", false, "end it: the frontend serves again")
	return actionCommand(c, func(ctx context.Context, c *client.Client, args []string) (string, error) {
		line := " is draining; stop it when it has no watchers in laurel cluster status"
		if *undo {
			line = " is not draining any more"
		}
		return args[0] + line, c.Drain(ctx, args[0], *undo)
	})
}
