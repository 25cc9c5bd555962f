package command

import (
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
)

// DefaultURL is where a command looks for a frontend that is not told otherwise.
const DefaultURL = "http://127.0.0.1:8001"

// To is whom a command talks to, and how long it tries: its flags --to and --patience.
type To struct {
	URLs     []string
	Patience time.Duration
}

// AddTo gives cmd the flags --to and --patience.
func AddTo(cmd *cobra.Command, patience time.Duration, meaning string) *To {
	to := &To{}
	cmd.Flags().StringSliceVar(&to.URLs, "to", []string{DefaultURL}, "`URL` of a frontend, or several with commas between; the others of the group are found from it")
	Variable(cmd.Flags(), "to", "LAUREL_URL")
	cmd.Flags().DurationVar(&to.Patience, "patience", patience, meaning)
	return to
}

// AddRequest gives the flags --to and --patience to a command that makes one request.
func AddRequest(cmd *cobra.Command) *To {
	return AddTo(cmd, client.DefaultTimeout, "how long to try, at one frontend after the other, until one answers")
}

// Client makes a client for the flags; it is to be closed.
func (t *To) Client() (*client.Client, error) {
	if t.Patience <= 0 {
		return nil, Usagef("--patience is %s; want more than 0, such as 10s", t.Patience)
	}
	c, err := client.New(t.URLs, client.Options{Timeout: t.Patience})
	if err != nil {
		return nil, Usagef("--to: %w", err)
	}
	return c, nil
}
