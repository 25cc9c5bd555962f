package main

import (
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/operator"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/access"
)

func newAutopilotCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "autopilot",
		Short: "Show and change how dead frontends are removed",
	}
	c.AddCommand(newAutopilotShowCommand(), newAutopilotSetCommand())
	return c
}

func newAutopilotShowCommand() *cobra.Command {
	return readCommand(&cobra.Command{
		Use:   "show",
		Short: "Show how the frontends are, and which of them are to be removed",
		Long: `Shows how the master finds the frontends of the group. A frontend is healthy while it answers, follows the
master and has its log. It is dead when no frontend that answers has heard it for clean_up_after. The master
removes one dead frontend at a time, or says why it keeps it.`,
		Example: `  laurel cluster autopilot show
  laurel cluster autopilot show --json`,
		Args: cobra.NoArgs,
	}, func([]string) (string, url.Values, error) { return "/v1/cluster/autopilot", nil, nil })
}

func newAutopilotSetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "set",
		Short: "Change how dead frontends are removed",
		Long: `Changes the settings clean_up_after, min_voters and stabilize of the group, those of the flags that are given.
Each change is a line in the audit trail.

Frontends without a vote are removed when they were silent for --clean-up-after. Those with a vote are removed only
with --min-voters: so many stay. Set it to the number without which you would rather be called than have the
group shrink.`,
		Example: `  laurel cluster autopilot set --min-voters 3
  laurel cluster autopilot set --clean-up-after 24h --stabilize 30s
  laurel cluster autopilot set --clean-up-after 0s`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	after := flags.Duration("clean-up-after", 0,
		"silence after which a frontend is dead; 0s to remove nobody (72h if it was never set)")
	voters := flags.Int("min-voters", 0,
		"number of frontends with a vote that stay, at least 3; 0 to remove none of them")
	stabilize := flags.Duration("stabilize", 0,
		"for how long the group must have been healthy before a removal (10s if it was never set)")
	return operator.Command(c, func(cmd *cobra.Command, _ []string, c *client.Client, k *operator.Key) error {
		var wanted []access.Setting
		for _, s := range []struct{ flag, name, value string }{
			{"clean-up-after", access.SettingCleanUpAfter, score.FormatDuration(*after)},
			{"min-voters", access.SettingMinVoters, strconv.Itoa(*voters)},
			{"stabilize", access.SettingStabilize, score.FormatDuration(*stabilize)},
		} {
			if flags.Changed(s.flag) {
				wanted = append(wanted, access.Setting{Name: s.name, Value: s.value})
			}
		}
		if len(wanted) == 0 {
			return cli.Usagef("give at least one of --clean-up-after, --min-voters and --stabilize")
		}
		return changeSettings(cmd, c, k, wanted)
	})
}
