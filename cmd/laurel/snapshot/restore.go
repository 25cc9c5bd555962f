package snapshot

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"laurel/cluster"
	"laurel/cluster/restore"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/trust/pki"
)

func newRestoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE --data DIR --id ID --peer HOST:PORT",
		Short: "Make a new group of a snapshot file, in an empty data directory",
		Long: `Makes the data directory of a frontend that is a group by itself, with the store of a snapshot file. It asks
no frontend. Run it as the user who runs the frontend, then start the frontend with this --data and --id; the
others join it with empty data directories. Stop what is left of the old group first: this does not, and
clients would find both.

DIR must be empty or missing: nothing is overwritten. If the command fails, or is interrupted, no frontend
starts with what is there.

What stays: all events and what follows from them, the store's lineage and settings, the grants with the keys
of bards and the tokens of everybody, and the audit trail, which gets a line. So signed events stay valid, and
bards can go on. What was revoked after the snapshot was taken is valid again: look at laurel access.
What goes: the members, join tokens, authorities, and the list of removed members.
What is new: the incarnation of the store, with which watchers and cursors begin anew; revisions, which go on
after a jump of 1,000,000,000; the group's authority, which clients must be told; and an operator's token, in
DIR/operator.token.

--authority DIR names the directory of laurel authority new instead: its authority, operator's token and join
token are then those of the group.

In a sworn group the operators and their keys stay, and no token is made. This frontend is the only one in the
roster. What operators signed before now is not taken any more, and readers need a new policy.

Events that were posted after the snapshot are missing. Have the bards sing again: bard sing asks for the last
seq of the store and sends what comes after it.`,
		Example: `  laurel snapshot restore laurel.snap.gz --data /var/lib/laurel --id f1 --peer 10.0.0.1:9001`,
		Args:    cobra.ExactArgs(1),
	}
	var o restore.Options
	var authority string
	flags := c.Flags()
	flags.StringVar(&o.Dir, "data", "", "empty data `DIR` of the frontend")
	flags.StringVar(&o.ID, "id", "", "`ID` of the frontend")
	flags.StringVar(&o.Peer, "peer", "", "`HOST:PORT` at which the other frontends will reach it")
	flags.StringVar(&authority, "authority", "",
		"`DIR` with the authority of the group, as laurel authority new makes it")
	cli.NoEnvironment(flags)
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.Dir == "" {
			return cli.Usagef("--data is missing; want an empty directory for the frontend")
		}
		if err := cluster.CheckID(o.ID); err != nil {
			return cli.Usagef("--id: %w", err)
		}
		if err := address.CheckPeer(o.Peer); err != nil {
			return cli.Usagef("--peer is %q; want host:port at which the other frontends will reach this one: %w",
				o.Peer, err)
		}
		if authority != "" {
			if o.Founding, err = pki.ReadFounding(authority); err != nil {
				return cli.Usagef("--authority: %w", err)
			}
		}
		o.File, o.Now = args[0], time.Now().UTC().Truncate(time.Second)
		made, err := restore.Run(o)
		if err != nil {
			return err
		}
		return report(cmd.OutOrStdout(), &o, &made)
	}
	return c
}

// report prints what was made, and what to do next.
func report(out io.Writer, o *restore.Options, made *restore.Outcome) error {
	fmt.Fprintf(out, "restored revision %d of the store %s, taken %s: %d events, %d contests\n",
		made.Revision, made.Lineage, made.Time.Format(time.RFC3339), made.Events, made.Contests)
	fmt.Fprintf(out, "the incarnation was %s and is %s; the next revision is %d\n",
		made.Incarnation, made.NewIncarnation, made.NewRevision+1)
	security := " --insecure"
	if made.Secure {
		security = ""
		fmt.Fprintf(out, "the group's authority is %s\n", made.Authority)
	}
	if made.OperatorFile != "" {
		fmt.Fprintf(out, "the token of a new operator is in %s\n", made.OperatorFile)
	}
	_, err := fmt.Fprintf(out, "start the frontend: laurel frontend --id %s --data %s --peer %s --http HOST:PORT%s\n",
		o.ID, o.Dir, o.Peer, security)
	return err
}
