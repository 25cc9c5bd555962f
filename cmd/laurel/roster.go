package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cluster"
	"laurel/cluster/sworn"
	"laurel/internal/cli"
	"laurel/trust/access"
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
	c.AddCommand(newRosterKeyCommand(), newRosterSetCommand(), newRosterDropCommand())
	return readCommand(c, func([]string) (string, url.Values, error) { return "/v1/roster", nil, nil })
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

// signedGrant signs a grant. A token is made here, so that no frontend ever sees it.
func signedGrant(
	ctx context.Context, c *client.Client, k *operatorKey, r access.GrantRequest,
) (made access.GrantResponse, err error) {
	g, token := r.Grant(time.Now().UTC())
	if err := k.change(ctx, c, access.Change{Grant: g}); err != nil {
		return made, err
	}
	return access.GrantResponse{ID: g.ID, Token: token}, nil
}

// signedJoinToken signs a join token, which names the authority and the first operator.
func signedJoinToken(
	ctx context.Context, c *client.Client, k *operatorKey, ttl time.Duration, uses int, terms access.Terms,
) (string, error) {
	s, err := k.signer(ctx, c)
	if err != nil {
		return "", err
	}
	authority, err := newestAuthority(ctx, c)
	if err != nil {
		return "", err
	}
	token := pki.NewJoinToken(authority)
	token.Founder = s.roster.Founder
	signed, err := s.sign(access.Change{JoinToken: &access.JoinToken{
		ID: token.ID, Hash: token.Hash(), Expires: time.Now().Add(ttl).UTC(), Uses: uses, Terms: terms,
	}})
	if err != nil {
		return "", err
	}
	return token.Text(), c.ChangeSigned(ctx, signed)
}

// newestAuthority returns the fingerprint of the authority that issues certificates: of two
// the newer one begins later.
func newestAuthority(ctx context.Context, c *client.Client) (string, error) {
	text, err := c.Authorities(ctx)
	if err != nil {
		return "", err
	}
	var newest *x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", fmt.Errorf("read the certificates of the group: %w", err)
		}
		if newest == nil || cert.NotBefore.After(newest.NotBefore) {
			newest = cert
		}
	}
	if newest == nil {
		return "", errNoAuthority
	}
	return pki.Fingerprint(newest), nil
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
