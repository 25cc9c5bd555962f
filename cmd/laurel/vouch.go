package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/client/verify"
	"laurel/httpapi/question"
	"laurel/internal/cli"
	"laurel/witness"
)

// verifyNow is the value of --verify for an answer on which a quorum of frontends agrees now.
const verifyNow = "now"

// vouching is what the flags say about whom to believe.
type vouching struct {
	how    string // verifyNow, or "" to believe one frontend
	policy string // a file
	key    string // the operator's; "" to believe the file
}

// verifiableCommand is readCommand for an answer that a sworn group can vouch for.
func verifiableCommand(c *cobra.Command, ask readQuestion) *cobra.Command {
	var v vouching
	c.Flags().StringVar(&v.how, "verify", "",
		"`now`: ask all frontends, and print only what a quorum of those of --policy has signed")
	asJSON := jsonFlag(c)
	cli.NoEnvironment(c.Flags())
	to := cli.AddRequestTarget(c)
	c.Flags().StringVar(&v.policy, "policy", "",
		"`FILE` with the policy for readers, as laurel policy prints it; get it from the operator, not from a frontend")
	c.Flags().StringVar(&v.key, "policy-key", "",
		"verifier `KEY` of the operator who has signed the policy (default: the file is believed as it is)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		path, query, err := ask(args)
		if err != nil {
			return err
		}
		if v.how != "" && v.how != verifyNow {
			return cli.Usagef("--verify is %q; want now", v.how)
		}
		c, err := to.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		var body []byte
		switch {
		case v.how != "":
			body, err = v.read(cmd.Context(), cmd.ErrOrStderr(), c, to.Patience, path, query, *asJSON)
		case *asJSON:
			body, err = c.Get(cmd.Context(), path, query, client.JSON)
		default:
			body, err = c.Get(cmd.Context(), path, query, client.Text)
		}
		if err != nil {
			return err
		}
		return printAnswer(cmd, body)
	}
	return c
}

// read returns an answer on which a quorum agrees, and writes who that is to notes.
func (v *vouching) read(
	ctx context.Context, notes io.Writer, c *client.Client, patience time.Duration,
	path string, query url.Values, asJSON bool,
) ([]byte, error) {
	p, err := v.load()
	if err != nil {
		return nil, err
	}
	r := verify.New(c, p)
	r.Timeout = patience
	a, err := r.Get(ctx, path, query)
	if errors.Is(err, witness.ErrExpired) {
		err = &cli.ExitError{Code: cli.ExitUnreachable, Err: fmt.Errorf("nothing that can be verified: %w", err)}
	}
	if a != nil {
		fmt.Fprintf(notes, "%s agree, at revision %d\n", strings.Join(a.Agreed, ", "), a.Revision)
		for _, o := range a.Objectors {
			fmt.Fprintf(notes, "%s\n", o)
		}
	}
	if err != nil || asJSON {
		return bodyOf(a), err
	}
	// The frontends sign JSON. The table is made here, as they make it.
	q, err := question.Parse(strings.TrimPrefix(path, "/v1/"), query.Encode())
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = q.Text(&text, a.Body)
	return text.Bytes(), err
}

// load reads the policy.
func (v *vouching) load() (*witness.Policy, error) {
	if v.policy == "" {
		return nil, cli.Usagef("--verify needs --policy FILE or LAUREL_POLICY: whom to believe; see laurel policy")
	}
	text, err := os.ReadFile(v.policy)
	if err != nil {
		return nil, cli.Usagef("--policy: %w", err)
	}
	var p *witness.Policy
	if v.key == "" {
		p, err = witness.ReadPolicy(text)
	} else {
		p, err = witness.ParsePolicy(text, v.key)
	}
	if err != nil {
		return nil, cli.Usagef("--policy %s: %w", v.policy, err)
	}
	return p, nil
}

func bodyOf(a *verify.Answer) []byte {
	if a == nil {
		return nil
	}
	return a.Body
}
