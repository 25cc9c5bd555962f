package main

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/watchui"
	"laurel/internal/cli"
)

func newWatchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch [CONTEST...]",
		Short: "Show scores and medals as they change",
		Long: `Shows contests, medal tables, timelines and windows of leaderboards, and every change of them, until
Ctrl-C. On a terminal it shows a table that highlights changes for a moment. Otherwise it prints one
line for each change, and changes of the connection on standard error.

Without a contest or a flag that selects something it shows everything. If the frontend dies, the watch
continues at another one, and returns when the first is back; no change is left out. It gives up only if
it reaches no frontend within --patience at the start.`,
		Example: `  laurel watch
  laurel watch OG50BC/CUR-M-GPA-01 --timeline OG50BC/CUR-M-GPA-01
  laurel watch --competition OG50BC
  laurel watch --medals OG50BC --json | jq .data.rows
  laurel watch --leaderboard OG50BC/ATH-M-MAR --split 10km --around 2888 --limit 7`,
	}
	var w client.WatchOptions
	var asJSON bool
	flags := c.Flags()
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
	flags.StringVar(&w.Home, "home", "", "`ID` of the preferred frontend (default the one with the least load)")
	flags.BoolVar(&asJSON, "json", false, "print lines of JSON: {\"event\":\"score\",\"data\":{..}}")
	cli.NoEnvironment(flags, "competition", "medals", "timeline", "leaderboard", "split", "category", "around",
		"limit", "home", "json")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		w.Contests = args
		if len(w.Leaderboards) == 0 && w.Part != (client.BoardPart{}) {
			return cli.Usagef("--split, --category, --around and --limit select a window of a leaderboard; " +
				"name the contest with --leaderboard")
		}
		c, err := to.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		updates := giveUpAtStart(cmd.Context(), to, c.Watch(cmd.Context(), w))
		if asJSON {
			return watchui.PrintJSON(cmd.OutOrStdout(), updates)
		}
		if f, ok := watchui.Terminal(cmd.OutOrStdout()); ok {
			return watchui.Show(f, updates)
		}
		return watchui.Print(cmd.OutOrStdout(), cmd.ErrOrStderr(), updates)
	}
	return c
}

// giveUpAtStart ends a watch that has reached no frontend within the patience. Once it
// has reached one, it continues whatever happens.
func giveUpAtStart(
	ctx context.Context, to *cli.Target, updates iter.Seq2[client.Update, error],
) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		began, connected := time.Now(), false
		for u, err := range updates {
			connected = connected || u.Kind == client.UpdateConnected
			late := time.Since(began)+u.Wait > to.Patience
			if u.Kind == client.UpdateLost && !connected && late && ctx.Err() == nil {
				yield(client.Update{}, &client.UnreachableError{Tried: to.URLs, Err: u.Err})
				return
			}
			if !yield(u, err) {
				return
			}
		}
	}
}
