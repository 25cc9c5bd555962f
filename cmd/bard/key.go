package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
)

func newKeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make or show the key with which a bard signs"}
	c.AddCommand(newKeyNewCommand(), newKeyShowCommand())
	return c
}

func newKeyNewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a private key in a new file",
		Long: `Makes a private key of Ed25519 in a new file that only its owner can read (PKCS #8, PEM), and prints its public key.

An operator registers the public key, and says there what its holder may post. The file stays with the bard: whoever has it can post in
the bard's name until an operator revokes the key.`,
		Example: `  bard key new
  bard key new --out cacofonix.key`,
		Args: cobra.NoArgs,
	}
	out := c.Flags().String("out", "bard.key", "the new `FILE`")
	cli.NoEnvironment(c.Flags(), "out")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		key, err := cli.NewPrivateKey(*out)
		if err != nil {
			return err
		}
		return showKey(cmd, *out, key.Public().(ed25519.PublicKey))
	}
	return c
}

func newKeyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "Show the public key of a private one",
		Long:    "Prints the public key on standard output, and how it is registered on standard error.",
		Example: `  bard key show cacofonix.key`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := cli.ReadPublicKey(args[0])
			if err != nil {
				return err
			}
			return showKey(cmd, args[0], public)
		},
	}
}

// showKey prints the public key alone, for other commands to take, and beside it for people what to do with it.
func showKey(cmd *cobra.Command, file string, public ed25519.PublicKey) error {
	text := cli.FormatPublicKey(public)
	fmt.Fprintf(cmd.ErrOrStderr(), `The public key of %s, with the id %s. An operator registers it under the name of the bard, which is the source of its
events or the beginning of it:
  laurel access grant bard/NAME --role bard --key %s
`, file, score.KeyID(public), text)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// registeredName is the name under which a key is registered.
func registeredName(ctx context.Context, c *client.Client, key ed25519.PrivateKey) (string, error) {
	id := score.KeyID(key.Public().(ed25519.PublicKey))
	k, err := c.Key(ctx, id)
	if p, ok := errors.AsType[*score.Problem](err); ok && p.Code == score.NotFound {
		return "", fmt.Errorf("the key %s is not registered, so the events have no source; an operator can register it (bard key show tells how), or name one with --source", id)
	}
	if err != nil {
		return "", fmt.Errorf("under which name the key %s is registered cannot be found out (--source names one): %w", id, err)
	}
	return k.Name, nil
}
