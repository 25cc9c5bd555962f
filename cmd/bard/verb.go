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

// verb is a command that posts one event: its argument is what the event is about, its flags are the event's data.
type verb struct {
	*cobra.Command
	event   score.Event
	comment *string
	time    string
	json    bool
	to      *cli.Target
}

// newVerb makes the command of an event type. The caller gives it the flags of data, by the names that the members have in the interface with - for _.
func newVerb(use, short, example string, t score.Type, data score.Data, comment *string) *verb {
	v := &verb{event: score.Event{Type: t, Data: data}}
	v.Command = &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    short + fmt.Sprintf(".\n\nPosts one %s event and prints its revision when it is durable. What the event says is never taken from the environment.", t),
		Example: example,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return v.post(cmd, args[0]) },
	}
	v.Flags().SortFlags = false
	v.comment = comment
	return v
}

// done completes the command, behind the flags of its data.
func (v *verb) done() *cobra.Command {
	flags := v.Flags()
	flags.StringVar(v.comment, "comment", "", "a remark")
	flags.StringVar(&v.event.ID, "id", "", "the event's id, to post it again without counting twice; left out, one is made")
	flags.StringVar(&v.event.Source, "source", "", "the feed that reports; left out, it is the name of the key or the token")
	flags.Uint64Var(&v.event.Seq, "seq", 0, "the event's number in its source; left out, it is the next")
	flags.StringVar(&v.time, "time", "", "when it happened, as in 2026-02-09T10:16:40Z; left out, it is now")
	flags.BoolVar(&v.json, "json", false, "print the result as JSON")
	var own []string
	flags.VisitAll(func(f *pflag.Flag) { own = append(own, f.Name) })
	cli.NoEnvironment(flags, own...)
	v.to = cli.AddRequestTarget(v.Command)
	v.to.AddKey(v.Command)
	return v.Command
}

func (v *verb) post(cmd *cobra.Command, about string) error {
	v.event.ContestID = about
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
		if v.event.Source, err = registeredName(cmd.Context(), c, key); err != nil {
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
