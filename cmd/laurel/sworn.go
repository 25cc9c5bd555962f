package main

import (
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"laurel/cmd/laurel/operator"
	"laurel/internal/cli"
	"laurel/trust/pki"
)

func newRosterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "roster",
		Short: "Show and change the roster of a sworn group",
		Long: `Shows the operators of a sworn group, and its frontends with the keys by which others know them. The
frontends refuse a connection in the name of a frontend without its key. A frontend makes its key when it is first
started; laurel roster key shows it, and makes it before the first start.`,
		Example: `  laurel roster
  laurel roster set f4 "$(laurel roster key --data f4)" --operator-key getafix.key`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(operator.RosterCommands()...)
	return readCommand(c, func([]string) (string, url.Values, error) { return "/v1/roster", nil, nil })
}

// swornOptions sets what makes a new group sworn.
func (f *frontendFlags) swornOptions() error {
	if !f.sworn || !f.Member.Bootstrap {
		return nil
	}
	public, err := cli.ReadPublicKey(f.operatorKey)
	if err != nil {
		return cli.Usagef("--operator-key: %w", err)
	}
	f.Member.Sworn.Operator, f.Member.Sworn.Name = public, f.operatorName
	return nil
}

// founderOf returns the fingerprint of the first operator that a join token names.
func founderOf(joinToken string) string {
	token, _ := pki.ParseJoinToken(joinToken) // identity has parsed it if it is used
	return token.Founder
}

// checkSworn checks the flags of a sworn group.
func (f *frontendFlags) checkSworn() error {
	switch {
	case !f.sworn:
		return nil
	case !f.Member.Bootstrap:
		return cli.Usagef("--sworn is for the group that --bootstrap makes; a group that exists cannot become sworn")
	case f.insecure:
		return cli.Usagef("--sworn has no effect with --insecure, which authenticates nobody")
	case f.operatorKey == "":
		return cli.Usagef("--sworn needs the public key of the first operator in --operator-key; " +
			"laurel operator key new makes one, best on another machine")
	}
	if _, err := os.Stat(f.operatorKey); err != nil {
		if _, err := cli.ReadPublicKey(f.operatorKey); err != nil {
			return cli.Usagef("--operator-key: %w", err)
		}
	}
	return nil
}
