package main

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
)

func newKeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make or show a key to sign events with"}
	c.AddCommand(newKeyNewCommand(), newKeyShowCommand())
	return c
}

func newKeyNewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a private key in a new file",
		Long: `Makes an Ed25519 private key in a new file that only you can read (PKCS #8, PEM), and prints its public
key.

Give the public key to an operator, who grants it the right to post. Keep the file secret: whoever has
it can post in your name until an operator revokes the key.`,
		Example: `  bard key new
  bard key new --out cacofonix.key`,
		Args: cobra.NoArgs,
	}
	out := c.Flags().String("out", "bard.key", "the new `FILE`")
	cli.NoEnvironment(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		key, err := cli.NewPrivateKey(*out)
		if err != nil {
			return err
		}
		return printKey(cmd, *out, key.Public().(ed25519.PublicKey))
	}
	return c
}

func newKeyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "Show the public key of a private key",
		Long:    "Prints the public key on standard output, and how an operator grants it a role on standard error.",
		Example: `  bard key show cacofonix.key`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			public, err := cli.ReadPublicKey(args[0])
			if err != nil {
				return err
			}
			return printKey(cmd, args[0], public)
		},
	}
}

// printKey prints the public key alone on standard output, for other commands, and what
// to do with it on standard error.
func printKey(cmd *cobra.Command, file string, public ed25519.PublicKey) error {
	text := cli.FormatPublicKey(public)
	fmt.Fprintf(cmd.ErrOrStderr(), `The public key of %s has the id %s. An operator grants it the role of a
bard, under the source of its events or the beginning of it:
  laurel access grant bard/NAME --role bard --key %s
`, file, score.KeyID(public), text)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// grantedName returns the name under which a key was granted its role.
func grantedName(ctx context.Context, c *client.Client, key ed25519.PrivateKey) (string, error) {
	id := score.KeyID(key.Public().(ed25519.PublicKey))
	k, err := c.Key(ctx, id)
	if score.CodeOf(err) == score.NotFound {
		return "", fmt.Errorf("the key %s is not registered, so the events have no source; "+
			"an operator can grant it a role (see bard key show), or set --source", id)
	}
	if err != nil {
		return "", fmt.Errorf("read the name of the key %s (or set --source): %w", id, err)
	}
	return k.Name, nil
}
