package main

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/internal/cli"
	"laurel/score"
)

// eventCommand is a command that posts one event. Its argument is the contest or
// competition of the event, its flags are the data.
type eventCommand struct {
	*cobra.Command
	event   score.Event
	comment *string
	time    string
	json    bool
	to      *cli.Target
}

// newEventCommand makes the command of an event type. The caller adds the flags of the
// data, named as in the JSON with - for _, and calls done.
func newEventCommand(use, short, example string, t score.Type, data score.Data, comment *string) *eventCommand {
	v := &eventCommand{event: score.Event{Type: t, Data: data}}
	v.Command = &cobra.Command{
		Use:   use,
		Short: short,
		Long: fmt.Sprintf("%s.\n\nPosts one %s event and prints its revision when it is durable.\n"+
			"The data of the event are never taken from the environment.", short, t),
		Example: example,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return v.post(cmd, args[0]) },
	}
	v.Flags().SortFlags = false
	v.comment = comment
	return v
}

// done adds the flags that all event commands have, and returns the command.
func (v *eventCommand) done() *cobra.Command {
	flags := v.Flags()
	flags.StringVar(v.comment, "comment", "", "a comment")
	flags.StringVar(&v.event.ID, "id", "", "the event's id, so that a repeated post counts once (default a new one)")
	flags.StringVar(&v.event.Source, "source", "", "the feed of the event (default the name of the key or token)")
	flags.Uint64Var(&v.event.Seq, "seq", 0, "the event's number within its source (default the next)")
	flags.StringVar(&v.time, "time", "", "when it happened, such as 2026-02-09T10:16:40Z (default now)")
	flags.BoolVar(&v.json, "json", false, "print the result as JSON")
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	cli.NoEnvironment(flags, names...)
	v.to = cli.AddRequestTarget(v.Command)
	v.to.AddKey(v.Command)
	return v.Command
}

func (v *eventCommand) post(cmd *cobra.Command, contestID string) error {
	v.event.ContestID = contestID
	if v.time != "" {
		t, err := time.Parse(time.RFC3339, v.time)
		if err != nil {
			return cli.Usagef("--time is %q; want RFC 3339, such as 2026-02-09T10:16:40Z", v.time)
		}
		v.event.Time = t
	}
	c, err := v.to.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	key, err := v.to.Key()
	if err != nil {
		return err
	}
	if key != nil && v.event.Source == "" {
		if v.event.Source, err = grantedName(cmd.Context(), c, key); err != nil {
			return err
		}
	}
	events := []score.Event{v.event}
	results, err := c.Post(cmd.Context(), events)
	if err != nil {
		return fmt.Errorf("event %s: %w", events[0].ID, err)
	}
	r := results[0]
	if v.json {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s at revision %d, id %s\n", r.Status, r.Revision, r.ID)
	return err
}
