package operator

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
	"laurel/witness"
)

const policyLife = 90 * 24 * time.Hour

// NewPolicyCommand returns laurel policy.
func NewPolicyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy [ID=KEY...]",
		Short: "Print the policy for readers of a sworn group, signed by an operator",
		Long: `Prints the keys of the frontends of a sworn group, and how many of them must agree, for readers who believe no
single frontend. It is a tlog-policy of C2SP, signed with the operator's key as a comment. Pass it to readers by another
way than the group: from a frontend it would be that frontend's word.

Only keys are taken that this operator has signed in (laurel roster set), or that are given as ID=KEY. Look at the
list on standard error: a frontend that lies could leave out a newer change.`,
		Example: `  laurel policy --operator-key getafix.key > policy
  laurel policy f1=zLstYtHhZN/WDxMZsADFotF2WRdbJID1apJnQjIODbo= --operator-key getafix.key > policy`,
	}
	var life time.Duration
	var quorum int
	c.Flags().DurationVar(&life, "life", policyLife, "time until readers refuse it")
	c.Flags().IntVar(&quorum, "quorum", 0, "number of frontends that must agree; 0 is the least that is safe, 3 of 4")
	return Command(c, func(cmd *cobra.Command, args []string, c *client.Client, k *Key) error {
		if err := k.needed(); err != nil {
			return err
		}
		if life <= 0 {
			return cli.Usagef("--life is %s; want more than 0", life)
		}
		s, err := k.signer(cmd.Context(), c)
		if err != nil {
			return err
		}
		frontends, list, err := s.frontends(args)
		if err != nil {
			return err
		}
		cmd.ErrOrStderr().Write(list)
		key, err := witness.NewKey(s.name, s.private)
		if err != nil {
			return fmt.Errorf("the operator's name cannot sign a policy: %w", err)
		}
		now := time.Now().UTC().Truncate(time.Second)
		p := &witness.Policy{
			Store: s.roster.Lineage, Version: uint64(now.Unix()), Until: now.Add(life),
			Quorum: quorum, Frontends: frontends,
		}
		if quorum == 0 {
			p.Quorum = witness.LeastQuorum(len(frontends))
		}
		if n := len(frontends); witness.Corrupt(n) == 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "of %d frontends none may be corrupt; a policy is of use with four\n", n)
		}
		text, err := p.Sign(key)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "readers verify the policy with the operator's key %s\n", key.Verifier())
		_, err = cmd.OutOrStdout().Write(text)
		return err
	})
}

// frontends returns the frontends for a policy: those of the roster that the operator has
// signed in, and those that are given. list is for the operator to look at.
func (s *signer) frontends(given []string) (all []witness.Frontend, list []byte, err error) {
	keys := map[string]ed25519.PublicKey{}
	for _, arg := range given {
		id, text, ok := strings.Cut(arg, "=")
		if !ok || id == "" {
			return nil, nil, cli.Usagef("got %q; want ID=KEY, with the key that laurel roster key prints", arg)
		}
		if keys[id], err = cli.ReadPublicKey(text); err != nil {
			return nil, nil, cli.Usagef("%s: %w", id, err)
		}
	}
	t := textfmt.NewTable("FRONTEND", "KEY", "SIGNED")
	for _, f := range s.roster.Frontends {
		signed := "given here"
		if keys[f.Name] == nil {
			if !s.signedIn(&f) {
				return nil, nil, fmt.Errorf("you have not signed the key of %s in: get it on its machine "+
					"(laurel roster key), and name it as %s=KEY, or sign it with laurel roster set", f.Name, f.Name)
			}
			keys[f.Name], signed = f.Key, f.Proof.At.UTC().Format(time.RFC3339)
		}
		t.Row(f.Name, cli.FormatPublicKey(keys[f.Name]), signed)
		all = append(all, witness.Frontend{Name: f.Name, Public: keys[f.Name]})
		delete(keys, f.Name)
	}
	if len(keys) > 0 {
		return nil, nil, fmt.Errorf("the roster has no frontend %s", strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
	}
	var b bytes.Buffer
	t.Write(&b)
	return all, b.Bytes(), nil
}

// signedIn reports whether this operator has signed an entry of the roster.
func (s *signer) signedIn(f *access.RosterEntry) bool {
	c := f.Signed()
	public := s.private.Public().(ed25519.PublicKey)
	return c != nil && c.Key == score.KeyID(public) && c.SignedBy(public, s.roster.Lineage)
}
