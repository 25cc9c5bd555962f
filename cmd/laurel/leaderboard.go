package main

import (
	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
)

func newLeaderboardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "leaderboard CONTEST",
		Short: "Show who is where in a ranked contest",
		Example: `  laurel leaderboard OG50BC/ATH-M-MAR
  laurel leaderboard OG50BC/ATH-M-MAR --split 10km --category W --limit 20
  laurel leaderboard OG50BC/ATH-M-MAR --around 2888 --limit 5`,
		Args: cobra.ExactArgs(1),
	}
	var p client.BoardPart
	flags := c.Flags()
	flags.StringVar(&p.Split, "split", "", "the split; without it the one that the contest shows")
	flags.StringVar(&p.Category, "category", "", "only marks of this category, with ranks within it")
	flags.IntVar(&p.Limit, "limit", 0, "how many at most; 0 leaves it to the frontend")
	flags.StringVar(&p.After, "after", "", "go on after the `next` of an earlier page")
	flags.StringVar(&p.Around, "around", "", "the `competitor` to have in the middle")
	cli.NoEnvironment(flags, "split", "category", "limit", "after", "around")
	ask := addAsk(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if p.After != "" && p.Around != "" {
			return cli.Usagef("--after does not go with --around: each says where the page begins")
		}
		return ask.print(cmd, client.LeaderboardPath(args[0]), client.LeaderboardQuery(p))
	}
	return c
}
