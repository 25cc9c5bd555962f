package main

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/client"
	"laurel/cmd/laurel/certified"
	"laurel/cmd/laurel/watchui"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/witness"
)

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
	var w watchCommand
	w.addFlags(c.Flags())
	cli.NoEnvironment(c.Flags())
	w.to = cli.AddRequestTarget(c)
	w.policy = cli.AddPolicy(c)
	c.RunE = w.run
	return c
}

// watchCommand is what the flags of laurel watch say.
type watchCommand struct {
	client.WatchOptions
	to          *cli.Target
	policy      *cli.Policy
	home, how   string
	asJSON, all bool
}

func (w *watchCommand) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&w.all, "all", false, "begin with all contests and medal tables, however many there are")
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
	flags.StringVar(&w.home, "home", "", "`ID` of the preferred frontend (default the one with the least load)")
	flags.BoolVar(&w.asJSON, "json", false, "print lines of JSON: {\"event\":\"score\",\"data\":{..}}")
	addVerify(flags, &w.how, "show only values that a quorum of the frontends of --policy has certified, "+
		"about half a second later, of contests and medal tables; tell when certificates stop")
}

func (w *watchCommand) run(cmd *cobra.Command, args []string) error {
	w.Contests = args
	if err := w.check(); err != nil {
		return err
	}
	w.to.Home = w.home
	c, err := w.to.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	updates := giveUpAtStart(cmd.Context(), w.to, c.Watch(cmd.Context(), w.WatchOptions))
	if w.how != "" {
		r, err := w.policy.Certified(c, "--verify", min(w.to.Patience, witness.MaxAge))
		if err != nil {
			return err
		}
		v := certified.Watch{Reader: r, Contests: w.Contests, Medals: w.Medals, Notes: cmd.ErrOrStderr()}
		updates = v.Updates(cmd.Context(), updates)
	}
	return w.policy.Explain(w.show(cmd, updates))
}

// check decides what is watched.
func (w *watchCommand) check() error {
	lists := len(w.Competitions) + len(w.Timelines) + len(w.Leaderboards)
	chosen := len(w.Contests)+len(w.Medals)+lists > 0
	w.Now = !w.all && !chosen
	switch {
	case w.all && chosen:
		return cli.Usagef("--all watches everything; leave it out to watch what the other arguments select")
	case len(w.Leaderboards) == 0 && w.Part != (client.BoardPart{}):
		return cli.Usagef("--split, --category, --around and --limit select a window of a leaderboard; " +
			"name the contest with --leaderboard")
	case w.how != "" && w.how != verifyCertificate:
		return cli.Usagef("--verify is %q; want no value: a watch shows what is certified", w.how)
	case w.how != "" && (w.all || w.Now || lists > 0):
		return cli.Usagef("--verify is for contests that are named, and for --medals: " +
			"nobody certifies that a list is whole")
	}
	return nil
}

// show shows updates in the form that suits the output.
func (w *watchCommand) show(cmd *cobra.Command, updates iter.Seq2[client.Update, error]) error {
	if w.asJSON {
		return watchui.PrintJSON(cmd.OutOrStdout(), updates)
	}
	if f, ok := cli.Terminal(cmd.OutOrStdout()); ok {
		return watchui.Show(f, updates)
	}
	return watchui.Print(cmd.OutOrStdout(), cmd.ErrOrStderr(), updates)
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
