// Package export is the command laurel export, which writes the events of a store as bard sing
// reads them.
package export

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"laurel/fsm/archive"
	store "laurel/fsm/export"
	"laurel/internal/cli"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
)

// command is the flags of the command.
type command struct {
	competition string
	from        string // a snapshot file, or - for standard input
}

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the events of a store as bard sing reads them",
		Long: `Writes all events of a store on standard output, one in a line, in the order of their revisions, as
bard sing reads them: with ids, sources, seqs, times and signatures, and with the voids and what they void.
The first line names the lineage of the store. The store is that of a running group, which gives a snapshot to
operators, or of a snapshot file. It needs room for the store in the directory for temporary files.

A store with the same lineage can be made of them, and answers as the first one did, but for revisions and
incarnation:
  laurel frontend --bootstrap --lineage NAME ...
Grant the keys that signed the events the same roles there; the commands are printed on standard error. Then
post the events with bard sing, in a secure group with the token of an operator. Posts of others must wait until
it is done. Not exported are grants, tokens, settings and the audit trail; a snapshot has them.

With --competition, only the events of one competition are exported. If a source has events in others, too,
its seqs have gaps; standard error says so, and bard sing refuses the file. Voids that name a revision name a
source and a seq instead, unless they are signed.

An event whose time or id a frontend had filled in is exported with it. Posting that event again without them
is another event in the new store.`,
		Example: `  laurel export --token @f1/operator.token > games.ndjson
  laurel export --from laurel-og50bc-812-20260209T101640Z.snap.gz > games.ndjson
  laurel export --from backup.snap.gz --competition OG50BC | gzip > og50bc.ndjson.gz`,
		Args: cobra.NoArgs,
	}
	var x command
	c.Flags().StringVar(&x.competition, "competition", "", "export the events of this competition only")
	c.Flags().StringVar(&x.from, "from", "", "the snapshot `FILE`, or - for standard input (default: ask a frontend)")
	cli.NoEnvironment(c.Flags())
	target := cli.AddRequestTarget(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if x.competition != "" && (!score.ValidPath(x.competition) || strings.Contains(x.competition, "/")) {
			return cli.Usagef("--competition is %q; want the id of a competition, such as OG50BC", x.competition)
		}
		s, err := x.read(cmd, target)
		if err != nil {
			return err
		}
		return write(cmd, s)
	}
	return c
}

// read reads the snapshot.
func (x *command) read(cmd *cobra.Command, target *cli.Target) (*store.Store, error) {
	var file io.ReadCloser
	switch x.from {
	case "":
		c, err := target.Client()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if file, err = c.Snapshot(cmd.Context()); err != nil {
			return nil, err
		}
		defer file.Close()
	case "-":
		file = io.NopCloser(cmd.InOrStdin())
	default:
		var err error
		if file, err = os.Open(x.from); err != nil {
			return nil, err
		}
		defer file.Close()
	}
	snapshot, err := archive.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	s, err := store.Open(snapshot, x.competition)
	if err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	return s, nil
}

// write writes the events and then, on standard error, what they need.
func write(cmd *cobra.Command, s *store.Store) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Write(cli.Verbatim(cmd.OutOrStdout())); err != nil {
		return fmt.Errorf("write the events: %w", err)
	}
	_, err = io.WriteString(cmd.ErrOrStderr(), report(s))
	return err
}

// report prints what was exported, and what it needs.
func report(s *store.Store) string {
	var b strings.Builder
	h := s.Header()
	fmt.Fprintf(&b, "exported %s events of the store %s up to revision %d; %s are signed\n",
		textfmt.Thousands(h.Events), h.Lineage, h.Revision, textfmt.Thousands(h.Signed))
	if h.Incomplete != "" {
		fmt.Fprintf(&b, "bard sing refuses them, because %s\n", h.Incomplete)
	}
	if len(s.Signers()) > 0 {
		b.WriteString("a secure store must know the keys that signed them before they are posted to it:\n")
	}
	for _, k := range s.Signers() {
		b.WriteString("  " + grantCommand(k.Grant))
		if k.Revoked {
			b.WriteString("   # revoked since: revoke it again when the events are posted")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// grantCommand returns the command that grants a key what it was granted. A snapshot is not
// signed, so its names can be any text, and people copy the command.
func grantCommand(g *access.Grant) string {
	command := "laurel access grant " + textfmt.ShellWord(g.Name) + " --role " + textfmt.ShellWord(string(g.Role)) +
		" --key " + cli.FormatPublicKey(g.Public)
	for _, c := range g.Competitions {
		command += " --competition " + textfmt.ShellWord(c)
	}
	for _, t := range g.Types {
		command += " --type " + textfmt.ShellWord(string(t))
	}
	return command
}
