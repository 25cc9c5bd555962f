package main

import (
	"context"
	"io"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/watchui"
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

func shellQuote(s string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,:/=+@%"
	if s != "" && strings.Trim(s, safe) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
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
		for _, name := range []string{"competition", "sport", "status", "competitor", "find", "section", "limit", "after"} {
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

func newWatchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch [CONTEST...]",
		Short: "Show scores and medals as they change",
		Long: `Shows contests, medal tables, timelines and windows of leaderboards, and every change of them, until
Ctrl-C. On a terminal it shows a table that highlights changes for a moment. Otherwise it prints one
line for each change, and changes of the connection on standard error.

Without a contest or a flag that selects something it begins with what is live, next and finished last,
and shows every change of anything; with --all it begins with all contests. If the frontend dies, the watch
continues at another one, and returns when the first is back; no change is left out. It gives up only if
no frontend has begun it within --patience at the start.`,
		Example: `  laurel watch
  laurel watch OG50BC/CUR-M-GPA-01 --timeline OG50BC/CUR-M-GPA-01
  laurel watch --competition OG50BC
  laurel watch --medals OG50BC --json | jq .data.rows
  laurel watch --leaderboard OG50BC/ATH-M-MAR --split 10km --around 2888 --limit 7`,
	}
	var w client.WatchOptions
	var home string
	var asJSON, all bool
	flags := c.Flags()
	flags.BoolVar(&all, "all", false, "begin with all contests and medal tables, however many there are")
	flags.StringSliceVar(&w.Competitions, "competition", nil,
		"all contests and the medal table of this `COMPETITION`; may be repeated")
	flags.StringSliceVar(&w.Medals, "medals", nil, "the medal table of this `COMPETITION`; may be repeated")
	flags.StringSliceVar(&w.Timelines, "timeline", nil, "every event of this `CONTEST`; may be repeated")
	flags.StringSliceVar(&w.Leaderboards, "leaderboard", nil,
		"a window of the leaderboard of this `CONTEST`; may be repeated")
	flags.StringVar(&w.Part.Split, "split", "", "leaderboards: the split (default the one that the contest shows)")
	flags.StringVar(&w.Part.Category, "category", "", "leaderboards: only marks of this category, ranked within it")
	flags.StringVar(&w.Part.Around, "around", "",
		"leaderboards: the `competitor` in the middle (default the first rows)")
	flags.IntVar(&w.Part.Limit, "limit", 0, "leaderboards: number of rows; 0 is the frontend's default")
	flags.StringVar(&home, "home", "", "`ID` of the preferred frontend (default the one with the least load)")
	flags.BoolVar(&asJSON, "json", false, "print lines of JSON: {\"event\":\"score\",\"data\":{..}}")
	cli.NoEnvironment(flags)
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		w.Contests = args
		chosen := len(args)+len(w.Competitions)+len(w.Medals)+len(w.Timelines)+len(w.Leaderboards) > 0
		if all && chosen {
			return cli.Usagef("--all watches everything; leave it out to watch what the other arguments select")
		}
		w.Now = !all && !chosen
		if len(w.Leaderboards) == 0 && w.Part != (client.BoardPart{}) {
			return cli.Usagef("--split, --category, --around and --limit select a window of a leaderboard; " +
				"name the contest with --leaderboard")
		}
		to.Home = home
		c, err := to.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		updates := giveUpAtStart(cmd.Context(), to, c.Watch(cmd.Context(), w))
		if asJSON {
			return watchui.PrintJSON(cmd.OutOrStdout(), updates)
		}
		if f, ok := cli.Terminal(cmd.OutOrStdout()); ok {
			return watchui.Show(f, updates)
		}
		return watchui.Print(cmd.OutOrStdout(), cmd.ErrOrStderr(), updates)
	}
	return c
}

// giveUpAtStart ends a watch that no frontend has begun within the patience. Once one has,
// it continues whatever happens.
func giveUpAtStart(
	ctx context.Context, to *cli.Target, updates iter.Seq2[client.Update, error],
) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		began, connected := time.Now(), false
		for u, err := range updates {
			connected = connected || u.Kind == client.UpdateConnected
			late := time.Since(began)+u.Wait > to.Patience
			if u.Kind == client.UpdateLost && !connected && late && ctx.Err() == nil {
				err := u.Err // a refusal, if it is a problem
				if score.CodeOf(err) == "" {
					err = &client.UnreachableError{Tried: to.URLs, Err: err}
				}
				yield(client.Update{}, err)
				return
			}
			if !yield(u, err) {
				return
			}
		}
	}
}
