package main

import (
	"net/url"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
)

func newScoresCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "scores [CONTEST]",
		Short: "Show a contest, or the list of them",
		Example: `  laurel scores
  laurel scores OG50BC/CUR-M-GPA-01
  laurel scores --competition OG50BC --status RUNNING
  laurel scores --competitor GAU --limit 1000 --json`,
		Args: cobra.MaximumNArgs(1),
	}
	var f score.Filter
	var page client.Page
	flags := c.Flags()
	flags.StringVar(&f.Competition, "competition", "", "only contests of this competition, such as OG50BC")
	flags.StringVar(&f.Sport, "sport", "", "only contests of this sport")
	flags.StringVar(&f.Status, "status", "", "only contests with this schedule status or result status, such as RUNNING or OFFICIAL")
	flags.StringVar(&f.Competitor, "competitor", "", "only contests of this competitor or organisation")
	flags.IntVar(&page.Limit, "limit", 0, "how many at most; 0 leaves it to the frontend")
	flags.StringVar(&page.After, "after", "", "go on after the `next` of an earlier list")
	list := []string{"competition", "sport", "status", "competitor", "limit", "after"}
	cli.NoEnvironment(flags, list...)
	ask := addAsk(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return ask.print(cmd, client.ScorePath(""), client.ScoresQuery(f, page))
		}
		for _, name := range list {
			if flags.Changed(name) {
				return cli.Usagef("--%s chooses from the list; it does not go with one contest", name)
			}
		}
		return ask.print(cmd, client.ScorePath(args[0]), nil)
	}
	return c
}

// ask is a question whose answer is printed as it comes.
type ask struct {
	to   *cli.Target
	json bool
}

// addAsk gives c the flags of a question.
func addAsk(c *cobra.Command) *ask {
	a := &ask{to: cli.AddRequestTarget(c)}
	c.Flags().BoolVar(&a.json, "json", false, "print the frontend's JSON instead of a table")
	cli.NoEnvironment(c.Flags(), "json")
	return a
}

func (a *ask) print(cmd *cobra.Command, path string, query url.Values) error {
	c, err := a.to.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	format := client.Text
	if a.json {
		format = client.JSON
	}
	body, err := c.Get(cmd.Context(), path, query, format)
	if err != nil {
		return err
	}
	if n := len(body); n > 0 && body[n-1] != '\n' {
		body = append(body, '\n')
	}
	_, err = cmd.OutOrStdout().Write(body)
	return err
}
