package main

import (
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
)

// readQuestion returns the path and the query of the read that a command line asks for.
type readQuestion func(args []string) (path string, query url.Values, err error)

// readCommand makes c print the answer to one read, followed by notes if it is text, and
// adds the flags for it.
func readCommand(c *cobra.Command, ask readQuestion, notes ...string) *cobra.Command {
	asJSON := jsonFlag(c)
	return withClient(c, func(cmd *cobra.Command, args []string, c *client.Client) error {
		path, query, err := ask(args)
		if err != nil {
			return err
		}
		format := client.Text
		if *asJSON {
			format = client.JSON
		}
		body, err := c.Get(cmd.Context(), path, query, format)
		if err != nil {
			return err
		}
		if *asJSON {
			notes = nil
		}
		return printAnswer(cmd, body, notes...)
	})
}

// printAnswer prints the answer to a read as whole lines, followed by notes.
func printAnswer(cmd *cobra.Command, body []byte, notes ...string) error {
	text := strings.TrimSuffix(string(body), "\n") + "\n" + strings.Join(notes, "")
	_, err := io.WriteString(cmd.OutOrStdout(), text)
	return err
}

// jsonFlag adds the flag --json.
func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print the frontend's JSON instead of a table")
}

func newScoresCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "scores [CONTEST]",
		Short: "Show a contest, or the list of contests",
		Example: `  laurel scores
  laurel scores OG50BC/CUR-M-GPA-01
  laurel scores --competition OG50BC --status RUNNING
  laurel scores --section live
  laurel scores --find 'semi-final gaul'
  laurel scores --competitor GAU --limit 1000 --json`,
		Args: cobra.MaximumNArgs(1),
	}
	var f score.Filter
	var page client.Page
	flags := c.Flags()
	flags.StringVar(&f.Competition, "competition", "", "only contests of this competition, such as OG50BC")
	flags.StringVar(&f.Sport, "sport", "", "only contests of this sport")
	flags.StringVar(&f.Status, "status", "",
		"only contests with this schedule or result status, such as RUNNING or OFFICIAL")
	flags.StringVar(&f.Competitor, "competitor", "", "only contests of this competitor or organisation")
	flags.StringVar(&f.Find, "find", "", "only contests with each of these `words` in ids, titles, names and the like")
	flags.StringVar((*string)(&f.Section), "section", "",
		"only contests that are `live, next or finished`, in the order of their start, or the last finished first")
	flags.IntVar(&page.Limit, "limit", 0, "largest number of contests; 0 is the frontend's default")
	flags.StringVar(&page.After, "after", "", "continue after the `next` of the page before")
	return verifiableCommand(c, func(args []string) (string, url.Values, error) {
		if len(args) == 0 {
			return client.ScorePath(""), client.ScoresQuery(f, page), nil
		}
		for _, name := range []string{
			"competition", "sport", "status", "competitor", "find", "section", "limit", "after",
		} {
			if flags.Changed(name) {
				return "", nil, cli.Usagef("--%s selects from the list; it does not go with one contest", name)
			}
		}
		return client.ScorePath(args[0]), nil, nil
	})
}

func newMedalsCommand() *cobra.Command {
	return verifiableCommand(&cobra.Command{
		Use:   "medals COMPETITION [ORGANISATION]",
		Short: "Show a medal table, or one row of it",
		Example: `  laurel medals OG50BC
  laurel medals OG50BC GAU
  laurel medals OG50BC --json`,
		Args: cobra.RangeArgs(1, 2),
	}, func(args []string) (string, url.Values, error) {
		return client.MedalsPath(args[0], strings.Join(args[1:], "")), nil, nil
	})
}

func newLeaderboardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "leaderboard CONTEST",
		Short: "Show the leaderboard of a ranked contest",
		Example: `  laurel leaderboard OG50BC/ATH-M-MAR
  laurel leaderboard OG50BC/ATH-M-MAR --split 10km --category W --limit 20
  laurel leaderboard OG50BC/ATH-M-MAR --around 2888 --limit 5`,
		Args: cobra.ExactArgs(1),
	}
	var p client.BoardPart
	flags := c.Flags()
	flags.StringVar(&p.Split, "split", "", "the split (default the one that the contest shows)")
	flags.StringVar(&p.Category, "category", "", "only marks of this category, ranked within it")
	flags.IntVar(&p.Limit, "limit", 0, "largest number of rows; 0 is the frontend's default")
	flags.StringVar(&p.After, "after", "", "continue after the `next` of the page before")
	flags.StringVar(&p.Around, "around", "", "the `competitor` in the middle of the page")
	return verifiableCommand(c, func(args []string) (string, url.Values, error) {
		if p.After != "" && p.Around != "" {
			return "", nil, cli.Usagef("--after does not go with --around: each says where the page begins")
		}
		return client.LeaderboardPath(args[0]), client.LeaderboardQuery(p), nil
	})
}
