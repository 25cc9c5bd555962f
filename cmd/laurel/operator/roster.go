package operator

import (
	"crypto/ed25519"
	"fmt"

	"github.com/spf13/cobra"

	"laurel/cluster"
	"laurel/cluster/sworn"
	"laurel/internal/cli"
	"laurel/trust/access"
)

// RosterCommands returns the commands below laurel roster.
func RosterCommands() []*cobra.Command {
	return []*cobra.Command{newRosterKeyCommand(), newRosterSetCommand(), newRosterDropCommand()}
}

func newRosterKeyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key --data DIR",
		Short: "Show the public key of a frontend",
		Long: `Shows the public key of the frontend with the data in DIR, in base64. Run it on the machine of the
frontend, as its user. It makes the key (DIR/witness.key) if there is none.`,
		Example: `  laurel roster key --data /var/lib/laurel`,
		Args:    cobra.NoArgs,
	}
	dir := c.Flags().String("data", "", "data `DIR` of the frontend")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dir == "" {
			return cli.Usagef("--data is missing; want the data directory of a frontend")
		}
		key, err := sworn.WitnessKey(*dir)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), cli.FormatPublicKey(key.Public().(ed25519.PublicKey)))
		return err
	}
	return c
}

func newRosterSetCommand() *cobra.Command {
	return swornCommand(&cobra.Command{
		Use:   "set ID KEY",
		Short: "Put a frontend into the roster, or give it another key",
		Long: `Signs that the frontend with this id has the public key, which laurel roster key prints on its machine. Get
the key from there, not from the group: whoever tells you another one could act as the frontend.`,
		Example: `  laurel roster set f4 "$(ssh f4 laurel roster key --data /var/lib/laurel)" --operator-key getafix.key`,
		Args:    cobra.ExactArgs(2),
	}, func(args []string) (access.SwornChange, string, error) {
		if err := cluster.CheckID(args[0]); err != nil {
			return access.SwornChange{}, "", cli.Usagef("%w", err)
		}
		public, err := cli.ReadPublicKey(args[1])
		if err != nil {
			return access.SwornChange{}, "", cli.Usagef("KEY: %w", err)
		}
		return access.SwornChange{Frontend: &access.RosterEntry{Name: args[0], Key: public}},
			fmt.Sprintf("%s is in the roster with the key %s", args[0], cli.FormatPublicKey(public)), nil
	})
}

func newRosterDropCommand() *cobra.Command {
	return swornCommand(&cobra.Command{
		Use:   "drop ID",
		Short: "Take a frontend out of the roster",
		Long: `Signs that the frontend with this id is none of the group: the others refuse its connections at once.
Remove it from the group first, with laurel cluster leave ID, unless it is corrupt.`,
		Example: `  laurel roster drop f4 --operator-key getafix.key`,
		Args:    cobra.ExactArgs(1),
	}, func(args []string) (access.SwornChange, string, error) {
		return access.SwornChange{DropFrontend: args[0]}, args[0] + " is in the roster no more", nil
	})
}
