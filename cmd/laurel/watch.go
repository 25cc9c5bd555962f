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
		Long: `Shows contests, medal tables, timelines and parts of leaderboards, and every change of them, until Ctrl-C: on a terminal as a table in which what has changed
stands out for a moment; elsewhere as one line for each change, with what happens to the connection on standard error.

Without a contest or a flag that chooses, it shows everything. When the frontend dies it goes on at another, and goes home when the first
is back; no change is left out. It gives up only if no frontend is reached at the start for as long as --patience.`,
		Example: `  laurel watch
  laurel watch OG50BC/CUR-M-GPA-01 --timeline OG50BC/CUR-M-GPA-01
  laurel watch --competition OG50BC
  laurel watch --medals OG50BC --json | jq .data.rows
  laurel watch --leaderboard OG50BC/ATH-M-MAR --split 10km --around 2888 --limit 7`,
	}
	var w client.Watching
	var asJSON bool
	flags := c.Flags()
	flags.StringSliceVar(&w.Competitions, "competition", nil, "all contests and the medal table of this `COMPETITION`; may be repeated")
	flags.StringSliceVar(&w.Medals, "medals", nil, "the medal table of this `COMPETITION`; may be repeated")
	flags.StringSliceVar(&w.Timelines, "timeline", nil, "every event of this `CONTEST`; may be repeated")
	flags.StringSliceVar(&w.Leaderboards, "leaderboard", nil, "a part of the leaderboard of this `CONTEST`; may be repeated")
	flags.StringVar(&w.Part.Split, "split", "", "of the leaderboards; without it the one that the contest shows")
	flags.StringVar(&w.Part.Category, "category", "", "of the leaderboards: only marks of this category, with ranks within it")
	flags.StringVar(&w.Part.Around, "around", "", "of the leaderboards: the `competitor` to have in the middle; without it the first rows are shown")
	flags.IntVar(&w.Part.Limit, "limit", 0, "of the leaderboards: how many rows; 0 leaves it to the frontend")
	flags.StringVar(&w.Home, "home", "", "the `ID` of the frontend to be at; left out, the one with the least load")
	flags.BoolVar(&asJSON, "json", false, "print lines of JSON: {\"event\":\"score\",\"data\":{..}}")
	cli.NoEnvironment(flags, "competition", "medals", "timeline", "leaderboard", "split", "category", "around", "limit", "home", "json")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		w.Contests = args
		if len(w.Leaderboards) == 0 && w.Part != (client.BoardPart{}) {
			return cli.Usagef("--split, --category, --around and --limit choose a part of a leaderboard; name it with --leaderboard")
		}
		c, err := to.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		updates := reached(cmd.Context(), to, c.Watch(cmd.Context(), w))
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

// reached ends a watch that has not reached any frontend for as long as the patience. Once it has, it goes on whatever happens.
func reached(ctx context.Context, to *cli.Target, updates iter.Seq2[client.Update, error]) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		begun, ever := time.Now(), false
		for u, err := range updates {
			ever = ever || u.Kind == client.UpdateConnected
			if u.Kind == client.UpdateLost && !ever && time.Since(begun)+u.Wait > to.Patience && ctx.Err() == nil {
				yield(client.Update{}, &client.UnreachableError{Tried: to.URLs, Err: u.Err})
				return
			}
			if !yield(u, err) {
				return
			}
		}
	}
}
