// Package page is the command laurel page, which writes the live page as a file that verifies
// what the frontends of a sworn group say.
package page

import (
	"bytes"
	"time"

	"github.com/spf13/cobra"

	"laurel/httpapi/web"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/witness"
)

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "page",
		Short: "Print the live page as one file, which verifies what frontends say by a policy",
		Long: `Prints the live page of a sworn group with everything in it: script, style, the policy for readers, and the URLs
of the frontends. Open the file itself, or put it on a web server that is no frontend. It gets the scores from one of
the frontends, shows them at once, and marks a contest or a medal table as certified when as many frontends as the
policy asks for have signed just that.

A page that a frontend serves has no such marks: a frontend that lies could serve a page that marks its lies.`,
		Example: `  laurel page --policy policy --to https://f1:8001,https://f2:8001,https://f3:8001,https://f4:8001 > scores.html`,
		Args:    cobra.NoArgs,
	}
	cli.NoEnvironment(c.Flags())
	urls := cli.AddURLs(c)
	policy := cli.AddPolicy(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		frontends, err := parse(*urls)
		if err != nil {
			return err
		}
		p, text, err := policy.Read("laurel page")
		switch {
		case err != nil:
			return err
		case time.Now().After(p.Until):
			return cli.Usagef("--policy: %w: %s", witness.ErrExpired, p.Until.UTC().Format(time.RFC3339))
		}
		var b bytes.Buffer
		if err := web.Write(&b, string(text), frontends); err != nil {
			return err
		}
		_, err = cli.Verbatim(cmd.OutOrStdout()).Write(b.Bytes())
		return err
	}
	return c
}

// parse returns the URLs of frontends, each once.
func parse(urls []string) (frontends []address.URL, err error) {
	seen := map[address.URL]bool{}
	for _, text := range urls {
		u, err := address.ParseTyped(text)
		if err != nil {
			return nil, cli.Usagef("--to: %w", err)
		}
		if !seen[u] {
			frontends = append(frontends, u)
		}
		seen[u] = true
	}
	return frontends, nil
}
