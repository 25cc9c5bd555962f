package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"laurel/cluster/enroll"
	"laurel/internal/cli"
	"laurel/trust/access"
	"laurel/trust/pki"
)

func newAuthorityCommands() *cobra.Command {
	c := &cobra.Command{
		Use:   "authority",
		Short: "Make the certificate authority of a group before there is a group",
	}
	c.AddCommand(newAuthorityNewCommand())
	return c
}

// authorityNotes says who gets which file.
const authorityNotes = `%[1]s/
  authority.pem   the authority with its private key   the frontends that may make the group: --authority
  founding.json   what the group begins with           beside authority.pem
  join.token      the join token                       all frontends: --join-token @FILE, until %[2]s, %[3]d uses
  operator.token  the first operator's token           you: --token @FILE
  ca.pem          the certificate, not secret          clients: --ca FILE
`

func newAuthorityNewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new --out DIR",
		Short: "Make an authority, an operator's token and a join token, as files",
		Long: `Makes what frontends need to form a secure group without a person: the group's certificate authority, the token
of its first operator, and a join token of several uses. It asks no frontend. The files are readable by you only.

Only the frontend that makes the group needs authority.pem and founding.json, which has no secret. Give them to
one frontend and it makes the group, or to all, as in a Kubernetes secret, and one of them does. Every frontend
with a vote gets the private key from the group anyway. All need join.token. No frontend needs operator.token.

Keep authority.pem secret: who has it can pretend to be any frontend. Once the group has formed nobody needs it
any more, and you can delete it. Each frontend that joins takes one use of the join token, and one that has lost
its data another. When it has expired, laurel cluster token makes others.`,
		Example: `  laurel authority new --out authority
  laurel authority new --out authority --ttl 1h --uses 2 --host scores.example.org`,
		Args: cobra.NoArgs,
	}
	var out string
	var ttl time.Duration
	var uses int
	var hosts []string
	flags := c.Flags()
	flags.StringVar(&out, "out", "", "`DIR` for the files; made if it is missing, else it must be empty")
	flags.DurationVar(&ttl, "ttl", 24*time.Hour, "time until the join token expires")
	flags.IntVar(&uses, "uses", 10, "number of frontends that can join with it")
	flags.StringSliceVar(&hosts, "host", nil,
		"`NAMES` or addresses, separated by commas, that the certificates of frontends may have, too")
	cli.NoEnvironment(flags)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if out == "" {
			return cli.Usagef("--out is missing; want a directory for the files")
		}
		if err := notEmpty(flags, "host"); err != nil {
			return err
		}
		if len(hosts) > access.MaxJoinHosts {
			return cli.Usagef("--host names %d hosts; want at most %d", len(hosts), access.MaxJoinHosts)
		}
		if p := enroll.CheckToken(ttl, uses, hosts); p != nil {
			return cli.Usagef("%s: %s", p.Field, p.Detail)
		}
		expires, err := makeAuthority(out, ttl, uses, hosts)
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), authorityNotes, out, expires.Format(time.RFC3339), uses)
		}
		return err
	}
	return c
}

func makeAuthority(dir string, ttl time.Duration, uses int, hosts []string) (expires time.Time, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	a, err := pki.NewAuthority(nil, now)
	if err != nil {
		return expires, err
	}
	join, operator := pki.NewJoinToken(a.Fingerprint()), access.NewBearerToken()
	expires = now.Add(ttl)
	founding := pki.Founding{
		Authority: a,
		Operator:  pki.HashedToken{ID: operator.ID, Hash: operator.Hash()},
		Join: pki.HashedJoining{
			HashedToken: pki.HashedToken{ID: join.ID, Hash: join.Hash()}, Expires: expires, Uses: uses, Hosts: hosts,
		},
	}
	return expires, founding.Write(dir, join.Text(), operator.Text())
}
