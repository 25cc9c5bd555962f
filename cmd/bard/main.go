// Command bard posts events to Laurel: a whole stream of them, or one at a time.
//
// Begin reading at sing.go for streams, and at event.go for single events. The keys that
// sign events are made and shown here.
package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/keyfile"
)

func main() {
	os.Exit(cli.Main(newBardCommand()))
}

func newBardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bard",
		Short: "Post events of contests to Laurel",
		Long: `Posts events to Laurel: a file of events with sing, or a single event with the other commands. There is
one for each type of event.

An event that was acknowledged is durable. If an answer is lost, bard posts the same event again with
the same identity, so that it counts once.

With --key, bard signs every event. Anybody can check the signatures later with laurel verify.

Exit codes: 0 done; 1 refused, failed, or perhaps done (outcome_unknown); 2 wrong usage; 3 no frontend could be
reached, and what was not acknowledged was not sent.`,
		Example: `  bard sing --speed max games.ndjson.gz
  bard define contest OG50BC/CUR-1 --kind head_to_head --sport stone-curling --competitor GAU --competitor ROM
  bard status OG50BC/CUR-1 --schedule-status RUNNING --result-status LIVE --period END1
  bard play OG50BC/CUR-1 --competitor GAU --delta 2
  bard status OG50BC/CUR-1 --schedule-status FINISHED --result-status OFFICIAL
  bard award OG50BC/CUR-1 --award-id OG50BC/CUR-1#GOLD --medal GOLD --organisation GAU`,
		Version: cli.Version(),
	}
	key := &cobra.Command{Use: "key", Short: "Make or show a key to sign events with"}
	key.AddCommand(newKeyNewCommand(), newKeyShowCommand())
	c.AddCommand(newSingCommand(), key)
	c.AddCommand(newEventCommands()...)
	return c
}

func newKeyNewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a private key in a new file",
		Long: `Makes an Ed25519 private key in a new file that only you can read (PKCS #8, PEM), and prints its public
key.

Give the public key to an operator, who grants it the right to post. One key may be granted in many
stores, because a signature is for one store: the store's lineage is in it. bard remembers the lineage
that the frontends of --to had when a key was first used with them, in a file beside the key
(KEYFILE.stores), and signs for no other. Give --lineage instead to name it yourself.
Keep the file secret: everybody who has it can post in your name until an operator revokes the key.`,
		Example: `  bard key new
  bard key new --out cacofonix.key`,
		Args: cobra.NoArgs,
	}
	out := c.Flags().String("out", "bard.key", "the new `FILE`")
	cli.NoEnvironment(c.Flags())
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		key, err := keyfile.New(*out)
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
