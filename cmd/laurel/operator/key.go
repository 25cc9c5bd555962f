// Package operator has the commands with which operators sign what changes a sworn group, and
// the flag --operator-key for other commands that do.
package operator

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/keyfile"
)

// Key is the flag --operator-key: the key that signs the changes of a sworn group.
type Key struct {
	file   string
	target *cli.Target
}

// Given reports whether changes are to be signed.
func (k *Key) Given() bool { return k.file != "" }

// maxAhead is how far ahead of the clock the number of an operator's last change is
// believed to be.
const maxAhead = 24 * time.Hour

// signer signs changes for one store in the name of one operator.
type signer struct {
	private ed25519.PrivateKey
	roster  access.RosterView
	name    string
	last    uint64 // the number of the last change
}

// signer reads the key, and asks for the store and the operator's name.
func (k *Key) signer(ctx context.Context, c *client.Client) (*signer, error) {
	private, err := keyfile.Read(k.file)
	if err != nil {
		return nil, cli.Usagef("--operator-key: %w", err)
	}
	s := &signer{private: private}
	if s.roster, err = c.Roster(ctx); err != nil {
		return nil, err
	}
	if !s.roster.Sworn {
		return nil, cli.Usagef("the group is not sworn, so nobody signs its changes; leave --operator-key out")
	}
	public := private.Public().(ed25519.PublicKey)
	for _, o := range s.roster.Operators {
		if public.Equal(ed25519.PublicKey(o.Public)) {
			s.name, s.last = o.Name, o.Number
		}
	}
	if s.name == "" {
		return nil, fmt.Errorf("no operator of the group has the key %s in %s", score.KeyID(public), k.file)
	}
	return s, k.target.TrustLineage(k.file, public, s.roster.Lineage)
}

// sign returns a signed change. Its number is the time in microseconds, so that an operator
// needs no memory and no frontend to know the next one.
func (s *signer) sign(c access.Change) (*access.SignedChange, error) {
	now := time.Now().UTC()
	number := uint64(now.UnixMicro())
	if s.last >= number && s.last-number < uint64(maxAhead.Microseconds()) {
		number = s.last + 1
	}
	s.last = number
	c.At, c.By = now, s.name
	return access.Sign(s.private, s.roster.Lineage, number, c)
}

// Change signs a change and has the group make it.
func (k *Key) Change(ctx context.Context, c *client.Client, change access.Change) error {
	s, err := k.signer(ctx, c)
	if err != nil {
		return err
	}
	signed, err := s.sign(change)
	if err != nil {
		return err
	}
	return c.ChangeSigned(ctx, signed)
}

// hint adds to the refusal of a sworn group what to do about it.
func (k *Key) hint(err error) error {
	if score.CodeOf(err) == score.Unsigned && !k.Given() {
		return fmt.Errorf("%w: set --operator-key or LAUREL_OPERATOR_KEY to the file with an operator's key", err)
	}
	return err
}

// Command completes a command whose change an operator may sign.
func Command(
	c *cobra.Command, f func(cmd *cobra.Command, args []string, c *client.Client, k *Key) error,
) *cobra.Command {
	cli.NoEnvironment(c.Flags())
	k := &Key{target: cli.AddRequestTarget(c)}
	c.Flags().StringVar(&k.file, "operator-key", "",
		"sign the change with the operator's private key in `FILE`, for a sworn group; "+
			"laurel operator key new makes one")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := k.target.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		return k.hint(f(cmd, args, c, k))
	}
	return c
}

// needed returns an error without --operator-key, for what is always signed.
func (k *Key) needed() error {
	if k.Given() {
		return nil
	}
	return cli.Usagef("--operator-key is missing; only an operator's key can sign this")
}

// NewCommand returns laurel operator.
func NewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "operator",
		Short: "Make operators' keys, and say who has them",
		Long: `The changes of a sworn group are signed by an operator's key, so that no frontend, and not even a corrupt
master, can grant a right. These commands make a key, and add or revoke the keys of a group. laurel roster
shows them.`,
	}
	key := &cobra.Command{Use: "key", Short: "Make or show an operator's key"}
	key.AddCommand(newOperatorKeyNewCommand(), newOperatorKeyShowCommand())
	c.AddCommand(key, newOperatorAddCommand(), newOperatorDropCommand())
	return c
}

const operatorKeyFile = "operator.key"

func newOperatorKeyNewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new [FILE]",
		Short: "Make an operator's private key in a new file",
		Long: `Makes an Ed25519 private key in a new file that only you can read (PKCS #8, PEM), by default operator.key,
and prints its public key. Keep the file away from the frontends and from the network: whoever has it can change
the group. Without it, and without another operator's key, nobody can change a sworn group any more, so keep a copy
in a safe place, or add a second operator.`,
		Example: `  laurel operator key new
  laurel operator key new getafix.key`,
		Args: cobra.MaximumNArgs(1),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		file := append(args, operatorKeyFile)[0]
		key, err := keyfile.New(file)
		if err != nil {
			return err
		}
		return printOperatorKey(cmd, key.Public().(ed25519.PublicKey))
	}
	return c
}

func newOperatorKeyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show [FILE]",
		Short:   "Show the public key of an operator's key",
		Long:    `Shows the public key of a private key, by default that in operator.key.`,
		Example: `  laurel operator key show getafix.key`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keyfile.Read(append(args, operatorKeyFile)[0])
			if err != nil {
				return err
			}
			return printOperatorKey(cmd, key.Public().(ed25519.PublicKey))
		},
	}
}

func printOperatorKey(cmd *cobra.Command, public ed25519.PublicKey) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "the operator's key has the id %s; its public key is:\n", score.KeyID(public))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), cli.FormatPublicKey(public))
	return err
}

// swornCommand is Command for a command that makes one change of a sworn group, and
// prints a line.
func swornCommand(
	c *cobra.Command, change func(args []string) (access.SwornChange, string, error),
) *cobra.Command {
	return Command(c, func(cmd *cobra.Command, args []string, c *client.Client, k *Key) error {
		if err := k.needed(); err != nil {
			return err
		}
		sworn, line, err := change(args)
		if err != nil {
			return err
		}
		if err := k.Change(cmd.Context(), c, access.Change{Sworn: &sworn}); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
		return err
	})
}

func newOperatorAddCommand() *cobra.Command {
	return swornCommand(&cobra.Command{
		Use:   "add NAME PUBLIC",
		Short: "Add an operator's key to a sworn group",
		Long: "Adds the public key, or a file with it, of another operator. " +
			"Its holder can sign changes from then on.",
		Example: `  laurel operator add obelix obelix.pub --operator-key getafix.key`,
		Args:    cobra.ExactArgs(2),
	}, func(args []string) (access.SwornChange, string, error) {
		public, err := cli.ReadPublicKey(args[1])
		if err != nil {
			return access.SwornChange{}, "", cli.Usagef("PUBLIC: %w", err)
		}
		return access.SwornChange{Operator: &access.Operator{Name: args[0], Public: public}},
			fmt.Sprintf("%s is an operator with the key %s", args[0], score.KeyID(public)), nil
	})
}

func newOperatorDropCommand() *cobra.Command {
	return swornCommand(&cobra.Command{
		Use:     "drop ID",
		Short:   "Revoke an operator's key for good",
		Long:    `Revokes the operator's key with this id, which laurel roster shows. The last one cannot be revoked.`,
		Example: `  laurel operator drop 1f0c2a9b66d3e481 --operator-key getafix.key`,
		Args:    cobra.ExactArgs(1),
	}, func(args []string) (access.SwornChange, string, error) {
		return access.SwornChange{DropOperator: args[0]}, "the key " + args[0] + " is revoked", nil
	})
}
