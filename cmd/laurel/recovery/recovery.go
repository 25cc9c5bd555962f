// Package recovery is the command laurel cluster recover, which makes a group again of what one
// frontend has.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"laurel/cluster/peer"
	"laurel/cluster/recovery"
	"laurel/internal/boundlog"
	"laurel/internal/cli"
)

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "recover --data DIR",
		Short: "Make a group again of what one frontend has, when the majority is lost for good",
		Long: `Makes a new group of one frontend, whose group has lost the majority of its voters for good. Run it on the
machine of that frontend, as the user who runs it, while it is stopped. Prefer the frontend whose log has the
highest term and, of those, the highest entry: run the command without --i-accept-data-loss at each one that is
left to see that.

DATA CAN BE LOST. What the lost frontends have acknowledged without this one is gone. Entries at the end of the
log that this one does not know to be committed are kept, even if the group never acknowledged them. Where a
majority can come back, start it instead: nothing is lost then.

Without --i-accept-data-loss it only shows what this frontend has, and changes nothing. With it, the frontend
becomes the only one of its group, with the events, grants, tokens and settings that it has, and with a new
incarnation of the store: watchers begin anew, and the frontends that were lost are refused and end with exit
code 5 when they come back. An interrupted recovery is finished by running it again; the frontend does not start
before. Then start it with the flags that it had, let the others join with empty data directories and new join
tokens, and have the bards sing again: they send what is missing.

--members FILE names this frontend with its new address, if that has changed, in the form of other stores that
use Raft: [{"id": "f1", "address": "10.0.0.1:9001"}]. It may name no other one: what others have may differ, so
they join anew.

A sworn group cannot be recovered like this.`,
		Example: `  laurel cluster recover --data /var/lib/laurel
  laurel cluster recover --data /var/lib/laurel --i-accept-data-loss`,
		Args: cobra.NoArgs,
	}
	var r run
	cli.NoEnvironment(c.Flags())
	c.Flags().StringVar(&r.dir, "data", "", "data `DIR` of the frontend")
	c.Flags().StringVar(&r.members, "members", "", "`FILE` with this frontend and its new peer address, in JSON")
	c.Flags().BoolVar(&r.accepted, "i-accept-data-loss", false, "do it, whatever is lost")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		r.out = cmd.OutOrStdout()
		text := slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})
		r.log = slog.New(boundlog.New(text))
		return r.run(cmd.Context())
	}
	return c
}

type run struct {
	dir, members string
	accepted     bool
	out          io.Writer
	log          *slog.Logger
}

func (r *run) run(ctx context.Context) (err error) {
	if r.dir == "" {
		return cli.Usagef("--data is missing; want the data directory of a frontend that is left")
	}
	if err := CheckOwner(r.dir); err != nil {
		return err
	}
	m, err := recovery.Open(r.dir, r.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	address, err := r.address(m.ID)
	if err != nil {
		return err
	}
	answering, most := m.Answering(ctx)
	r.show(m, answering)
	switch {
	case most && !m.Begun:
		return fmt.Errorf("at the addresses of a majority of the voters processes answer (%s): "+
			"if they are frontends of this group, start this one, and nothing is lost; if not, end them first",
			names(answering))
	case !r.accepted:
		return errors.New("nothing was changed; to make a group of this frontend alone, add --i-accept-data-loss")
	}
	if err := m.Plan(address); err != nil {
		return err
	}
	o, err := m.Finish()
	if err != nil {
		return fmt.Errorf("the recovery is not finished; run it again when the cause is mended: %w", err)
	}
	r.done(m, o)
	return nil
}

// CheckOwner returns an error unless a data directory is this user's: the frontend could not
// read files that are another user's.
func CheckOwner(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cli.Usagef("--data is %q, which does not exist", dir)
	case err != nil:
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return cli.Usagef("--data is %q, which belongs to the user %d; run this as that user", dir, owner.Uid)
	}
	return nil
}

// member is one of --members.
type member struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Nonvoter bool   `json:"non_voter"`
}

// address returns the peer address that --members has for this frontend; "" without the flag.
func (r *run) address(id string) (string, error) {
	if r.members == "" {
		return "", nil
	}
	text, err := os.ReadFile(r.members)
	if err != nil {
		return "", cli.Usagef("--members: %w", err)
	}
	var list []member
	if err := json.Unmarshal(text, &list, json.RejectUnknownMembers(true)); err != nil {
		return "", cli.Usagef("--members is %s; want [{\"id\": ID, \"address\": HOST:PORT}]: %w", r.members, err)
	}
	for _, m := range list {
		switch {
		case peer.MemberID(raft.ServerID(m.ID)) != id:
			return "", cli.Usagef("--members names %q, and the data in %s are those of %q: name only this one; "+
				"let others join anew, with empty data directories", m.ID, r.dir, id)
		case m.Nonvoter:
			return "", cli.Usagef("--members has %q without a vote, and the only frontend of a group has one", m.ID)
		}
	}
	if len(list) != 1 {
		return "", cli.Usagef("--members is %s, which names %d frontends; want %q, once", r.members, len(list), id)
	}
	return list[0].Address, nil
}

// show prints what the directory has, and what may be lost.
func (r *run) show(m *recovery.Member, answering []raft.Server) {
	fmt.Fprintf(r.out, "frontend      %s (%s)\n", m.ID, m.Server.ID)
	fmt.Fprintf(r.out, "peer address  %s\n", m.Server.Address)
	if m.Applied > 0 {
		fmt.Fprintf(r.out, "store         %s, incarnation %s\n", m.Lineage, m.Incarnation)
	}
	fmt.Fprintf(r.out, "log           ends at entry %d of term %d\n", m.Index, m.Term)
	if m.Applied > 0 {
		fmt.Fprintf(r.out, "state         has revision %d, after entry %d\n", m.Revision, m.Applied)
	} else { // it was not closed
		fmt.Fprintln(r.out, "state         is made anew of the log")
	}
	if m.Begun {
		fmt.Fprintf(r.out, "\nA recovery of this frontend was begun. It can only be finished.\n\n")
		return
	}
	if n := m.Index - m.Applied; n > 0 && m.Index > m.Applied {
		fmt.Fprintf(r.out, "to apply      %d entries, which are kept: some may not have been committed\n", n)
	}
	for _, s := range m.Others {
		fmt.Fprintf(r.out, "lost          %s at %s%s\n", s.ID, s.Address, role(s))
	}
	for _, s := range answering {
		fmt.Fprintf(r.out,
			"\nWARNING: a process answers at %s, the address of %s. If it is that frontend, it is not lost: "+
				"stop it.\n", s.Address, s.ID)
	}
	fmt.Fprintf(r.out, "\nLOST is everything that the group acknowledged after entry %d. "+
		"This frontend cannot know what that is.\n\n", m.Index)
}

func role(s raft.Server) string {
	if s.Suffrage == raft.Voter {
		return ", voter"
	}
	return ""
}

func names(servers []raft.Server) string {
	list := []string{"this one"}
	for _, s := range servers {
		list = append(list, fmt.Sprintf("%s at %s", peer.MemberID(s.ID), s.Address))
	}
	return strings.Join(list, ", ")
}

// done prints the new group and what to do next.
func (r *run) done(m *recovery.Member, o recovery.Outcome) {
	fmt.Fprintf(r.out, "RECOVERED     %s is the only frontend of its group, as %s at %s\n",
		m.ID, o.Server.ID, o.Server.Address)
	if o.Kept > 0 {
		fmt.Fprintf(r.out, "kept          all up to revision %d; %d entries were applied now\n", o.Kept, o.Entries)
	}
	fmt.Fprintf(r.out, "incarnation   %s, which begins at revision %d\n", o.Incarnation, o.Revision)
	if o.Authority != "" {
		fmt.Fprintf(r.out, "authority     a new one, %s: give clients its certificate (laurel cluster ca)\n",
			o.Authority)
	}
	fmt.Fprint(r.out, `
1. Delete the data directories of the lost frontends, wherever they are, before one of them starts.
2. Start this frontend, with the flags that it had, but without --nonvoter: it has a vote now.
3. Let the others join with empty data directories: laurel cluster token, then laurel frontend --join.
4. Have the bards sing again: they send what is missing.
`)
	if m.Secure && o.Authority == "" {
		fmt.Fprint(r.out, "5. When all have joined: laurel cluster ca rotate, then laurel cluster ca finish. "+
			"The lost voters have\n   the key of the authority.\n")
	}
}
