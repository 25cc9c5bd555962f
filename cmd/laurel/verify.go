package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
	"laurel/witness"
)

func newVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify CONTEST | --evidence FILE",
		Short: "Check the signatures of a contest's events",
		Long: `Checks on this machine, from the timeline and the public keys of the bards, who posted each event and
that it was not changed. It prints for each event one of these:

  verified by NAME KEY   the holder of the key signed it
  by token GRANT         it came with a token; you have to trust the frontend that accepted it
  unsigned               nobody signed it
  FALSE                  it is not what was signed, its key is unknown, or it appears twice or out of order

A signature is for one store, which the last line names: its lineage. The keys and the lineage are those
that the frontends list. If you do not trust the frontends, get them from the bards and give them with
--key and --lineage: then only these count. A missing event cannot be seen in one contest,
but the seq of a source has no gaps over all of its contests.

Exit code 1 means that something is false.

With --evidence it prints instead which frontends of --policy the two notes in a file convict: they have signed
two roots of one round. Such a file is proof to anybody who has the policy.`,
		Example: `  laurel verify OG50BC/CUR-M-GPA-01
  laurel verify OG50BC/CUR-M-GPA-01 --key cacofonix.pub --lineage 5gxmhd2ovpnqtjzkw7bcye3rau --summary
  laurel verify --evidence f4-4711.txt --policy policy`,
	}
	v := verification{}
	keys := c.Flags().StringArray("key", nil,
		"trust this `PUBLIC` key, in base64 or in a file, and no other than those given; may be repeated")
	c.Flags().StringVar(&v.lineage, "lineage", "",
		"trust only signatures for the store with this `LINEAGE` (default the one that the frontends name)")
	c.Flags().BoolVar(&v.summary, "summary", false, "print only the last line, and what is false")
	evidence := c.Flags().String("evidence", "", "print whom the two notes in `FILE` convict")
	var policy *cli.Policy
	c.Args = func(cmd *cobra.Command, args []string) error {
		if *evidence != "" {
			return cobra.NoArgs(cmd, args)
		}
		return cobra.ExactArgs(1)(cmd, args)
	}
	withClient(c, func(cmd *cobra.Command, args []string, c *client.Client) (err error) {
		if *evidence != "" {
			return printConvicted(cmd, policy, *evidence)
		}
		if v.keys, err = trustedKeys(cmd.Context(), c, *keys); err != nil {
			return err
		}
		if v.lineage == "" {
			if v.lineage, err = c.Lineage(cmd.Context()); err != nil {
				return err
			}
		}
		v.contest, v.keysGiven, v.lastSeq = args[0], len(*keys) > 0, map[string]uint64{}
		return v.run(cmd.Context(), c, cmd.OutOrStdout())
	})
	policy = cli.AddPolicy(c)
	return c
}

// trustedKeys returns the keys by id: those given, or else those that the frontends list.
func trustedKeys(ctx context.Context, c *client.Client, given []string) (map[string]access.KeyView, error) {
	var list []access.KeyView
	for _, text := range given {
		public, err := cli.ReadPublicKey(text)
		if err != nil {
			return nil, cli.Usagef("--key: %w", err)
		}
		list = append(list, access.KeyView{Public: public})
	}
	if len(given) == 0 {
		var err error
		if list, err = c.Keys(ctx); err != nil {
			return nil, fmt.Errorf("read the public keys of the bards: %w", err)
		}
	}
	// The ids are computed, so that a list cannot give a key the id of another.
	keys := map[string]access.KeyView{}
	for _, k := range list {
		keys[score.KeyID(k.Public)] = k
	}
	return keys, nil
}

// printConvicted prints whom the notes in a file convict.
func printConvicted(cmd *cobra.Command, policy *cli.Policy, file string) error {
	p, err := policy.Load("--evidence")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return cli.Usagef("--evidence: %w", err)
	}
	notes := witness.SplitNotes(text)
	if len(notes) != 2 {
		return fmt.Errorf("%s has %d signed notes; evidence is two", file, len(notes))
	}
	names, err := witness.Evidence(p, notes[0], notes[1])
	if err != nil {
		return fmt.Errorf("%s convicts nobody of the policy: %w", file, err)
	}
	head, _, err := witness.Signers(p, notes[0])
	if err != nil {
		return err
	}
	for _, name := range names {
		_, err = fmt.Fprintf(cmd.OutOrStdout(),
			"%s is convicted: it has signed two roots of round %d of the store %s\n", name, head.Size, p.Store)
	}
	return err
}

type verification struct {
	contest   string
	keys      map[string]access.KeyView
	keysGiven bool // by --key
	lineage   string
	summary   bool

	verifier signing.Verifier
	lastSeq  map[string]uint64 // of the last signed event of each source

	verified, byToken, unsigned, wrong int
}

// timelinePage is the number of events that are read at once.
const timelinePage = 1000

func (v *verification) run(ctx context.Context, c *client.Client, out io.Writer) error {
	for p := (client.Page{Limit: timelinePage}); ; {
		page, err := c.Timeline(ctx, v.contest, p)
		if err != nil {
			return err
		}
		if err := v.printPage(out, page.Events); err != nil {
			return err
		}
		if p.After = page.Next; p.After == "" {
			break
		}
	}
	total := v.verified + v.byToken + v.unsigned + v.wrong
	_, err := fmt.Fprintf(out, "%d events: %d verified, %d by token, %d unsigned, %d FALSE; the store is %s\n",
		total, v.verified, v.byToken, v.unsigned, v.wrong, v.lineage)
	if err == nil && v.wrong > 0 {
		err = fmt.Errorf("%d events of %s are not what their bards signed", v.wrong, v.contest)
	}
	return err
}

// printPage checks and prints events.
func (v *verification) printPage(out io.Writer, events []score.TimelineEvent) error {
	table := textfmt.NewTable("REVISION", "SOURCE", "SEQ", "TYPE", "ID", "RESULT")
	for i := range events {
		e := &events[i]
		result, err := v.check(e)
		if err != nil {
			result = "FALSE: " + err.Error()
			v.wrong++
		}
		if e.VoidedBy != 0 {
			result += fmt.Sprintf(" (voided at revision %d)", e.VoidedBy)
		}
		if err != nil || !v.summary {
			table.Row(e.Revision, e.Source, e.Seq, e.Type, e.ID, result)
		}
	}
	lines := table.Lines(0)
	if v.summary {
		lines = lines[1:]
	}
	_, err := io.WriteString(out, strings.Join(append(lines, ""), "\n"))
	return err
}

// check returns who posted an event, or what is false about it.
func (v *verification) check(e *score.TimelineEvent) (result string, err error) {
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
		if v.keysGiven {
			return "", fmt.Errorf("signed with the key %s, which is not among those given", e.Key)
		}
		return "", fmt.Errorf("signed with the unknown key %s", e.Key)
	}
	form, err := signing.FormOf(&score.Event{
		ID:        e.ID,
		Source:    e.Source,
		Seq:       e.Seq,
		Type:      e.Type,
		Time:      e.Time,
		ContestID: e.ContestID,
		Key:       e.Key,
	}, e.Data)
	if err != nil {
		return "", err
	}
	if !v.verifier.Verify(key.Public, v.lineage, form, e.Signature) {
		return "", fmt.Errorf("this is not what the key %s signed for the store %s", e.Key, v.lineage)
	}
	// A signature is valid for ever, so that a frontend could show an old event again.
	if last := v.lastSeq[e.Source]; e.Seq <= last {
		return "", fmt.Errorf("the seq %d of %s comes after %d", e.Seq, e.Source, last)
	}
	v.lastSeq[e.Source] = e.Seq
	v.verified++
	result = strings.Join(strings.Fields("verified by "+key.Name+" "+e.Key), " ")
	if key.Revoked {
		result += " (revoked since)"
	}
	return result, nil
}
