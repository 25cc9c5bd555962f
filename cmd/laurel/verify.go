package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

func newVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify CONTEST",
		Short: "Check the signatures of a contest's events",
		Long: `Checks here, from what the timeline shows and the public keys of the bards, who said each event, and that it was said just so. A line tells of each

  verified by NAME KEY   the holder of the key signed it
  by token GRANT         it came with a token: that is the word of the frontend which took it, and can be checked by nobody else
  unsigned               nobody vouches for it
  FALSE                  it is not what was signed, or nobody knows the key, or it is shown twice or out of its order

The keys are those that the frontends list. Whoever does not trust them gives the keys that it has from the bards, with --key: then only these count.
That an event is missing cannot be seen in one contest; the seq of a source has no gaps over all of its contests.

Exit code 1 tells that something is false.`,
		Example: `  laurel verify OG50BC/CUR-M-GPA-01
  laurel verify OG50BC/CUR-M-GPA-01 --key cacofonix.pub --summary`,
		Args: cobra.ExactArgs(1),
	}
	v := verification{}
	keys := c.Flags().StringArray("key", nil, "trust this `PUBLIC` key, in base64 or in a file, and only those that are given so")
	c.Flags().BoolVar(&v.summary, "summary", false, "print only the last line, and what is false")
	cli.NoEnvironment(c.Flags(), "key", "summary")
	to := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		cl, err := to.Client()
		if err != nil {
			return err
		}
		defer cl.Close()
		if v.keys, err = trusted(cmd.Context(), cl, *keys); err != nil {
			return err
		}
		v.contest, v.given, v.last = args[0], len(*keys) > 0, map[string]uint64{}
		return v.run(cmd.Context(), cl, cmd.OutOrStdout())
	}
	return c
}

// trusted are the keys that count, by id: those given, or else those that the frontends know.
func trusted(ctx context.Context, c *client.Client, given []string) (map[string]access.KeyView, error) {
	keys := map[string]access.KeyView{}
	for _, text := range given {
		public, err := cli.ReadPublicKey(text)
		if err != nil {
			return nil, cli.Usagef("--key: %w", err)
		}
		id := score.KeyID(public)
		keys[id] = access.KeyView{ID: id, Public: public}
	}
	if len(given) > 0 {
		return keys, nil
	}
	list, err := c.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("the public keys of the bards: %w", err)
	}
	for _, k := range list {
		// A key is named by what it is, so a list cannot give one key's name to another.
		if id := score.KeyID(k.Public); id == k.ID {
			keys[id] = k
		}
	}
	return keys, nil
}

// verification checks one timeline.
type verification struct {
	contest string
	keys    map[string]access.KeyView
	given   bool // the keys are not the frontends'
	summary bool

	verifier signing.Verifier
	last     map[string]uint64 // the seq of each source's last signed event

	verified, byToken, unsigned, wrong int
}

// timelinePage is how many events are asked for at once.
const timelinePage = 1000

func (v *verification) run(ctx context.Context, c *client.Client, out io.Writer) error {
	for p := (client.Page{Limit: timelinePage}); ; {
		page, err := c.Timeline(ctx, v.contest, p)
		if err != nil {
			return err
		}
		if err := v.page(out, page.Events); err != nil {
			return err
		}
		if p.After = page.Next; p.After == "" {
			break
		}
	}
	_, err := fmt.Fprintf(out, "%d events: %d verified, %d by token, %d unsigned, %d FALSE\n", v.verified+v.byToken+v.unsigned+v.wrong, v.verified, v.byToken, v.unsigned, v.wrong)
	if err == nil && v.wrong > 0 {
		err = fmt.Errorf("%d events of %s are not what their bards signed", v.wrong, v.contest)
	}
	return err
}

func (v *verification) page(out io.Writer, events []score.TimelineEvent) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !v.summary {
		fmt.Fprintln(table, "REVISION\tSOURCE\tSEQ\tTYPE\tID\tSAID")
	}
	for i := range events {
		e := &events[i]
		said, err := v.judge(e)
		if err != nil {
			said = "FALSE: " + err.Error()
			v.wrong++
		}
		if e.VoidedBy != "" {
			said += " (voided by " + e.VoidedBy + ")"
		}
		if err != nil || !v.summary {
			fmt.Fprintf(table, "%d\t%s\t%d\t%s\t%s\t%s\n", e.Revision, textfmt.OneLine(e.Source), e.Seq, textfmt.OneLine(string(e.Type)), textfmt.OneLine(e.ID), textfmt.OneLine(said))
		}
	}
	return table.Flush()
}

// judge says who said an event; an error says what is false about it.
func (v *verification) judge(e *score.TimelineEvent) (said string, err error) {
	switch {
	case e.ContestID != v.contest:
		return "", fmt.Errorf("it is about %s", e.ContestID)
	case e.Key == "" && len(e.Signature) > 0:
		return "", errors.New("it has a signature and no key")
	case e.Key == "" && e.Token != "":
		v.byToken++
		return "by token " + e.Token, nil
	case e.Key == "":
		v.unsigned++
		return "unsigned", nil
	}
	key, known := v.keys[e.Key]
	if !known {
		if v.given {
			return "", fmt.Errorf("signed with the key %s, which is not among those given", e.Key)
		}
		return "", fmt.Errorf("signed with the key %s, which nobody knows", e.Key)
	}
	form, err := shownForm(e)
	if err != nil {
		return "", err
	}
	if !v.verifier.Verify(key.Public, form, e.Signature) {
		return "", fmt.Errorf("what stands here is not what the key %s signed", e.Key)
	}
	// A signature holds for ever, so what was said once could be shown again.
	if last := v.last[e.Source]; e.Seq <= last {
		return "", fmt.Errorf("the seq %d of %s comes after %d", e.Seq, e.Source, last)
	}
	v.last[e.Source] = e.Seq
	v.verified++
	said = strings.Join(strings.Fields("verified by "+key.Name+" "+e.Key), " ")
	if key.Revoked {
		said += " (revoked since)"
	}
	return said, nil
}

// shownForm returns the form that must have been signed for the timeline to show e.
func shownForm(e *score.TimelineEvent) ([]byte, error) {
	return signing.FormOf(&score.Event{
		ID:        e.ID,
		Source:    e.Source,
		Seq:       e.Seq,
		Type:      e.Type,
		Time:      e.Time,
		ContestID: e.ContestID,
		Key:       e.Key,
	}, e.Data)
}
