package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/client"
	"laurel/client/verify"
	"laurel/httpapi/question"
	"laurel/internal/cli"
)

// The values of --verify.
const (
	// verifyNow is for an answer on which a quorum of frontends agrees now.
	verifyNow = "now"
	// verifyCertificate is for an answer under a certificate, and what the flag means without
	// a value.
	verifyCertificate = "certificate"
)

// addVerify adds the flag --verify.
func addVerify(flags *pflag.FlagSet, how *string, usage string) {
	flags.StringVar(how, "verify", "", usage)
	flags.Lookup("verify").NoOptDefVal = verifyCertificate
}

// verifiableCommand is readCommand for an answer that a sworn group can vouch for, or certify.
func verifiableCommand(c *cobra.Command, ask readQuestion) *cobra.Command {
	var how string
	addVerify(c.Flags(), &how, "print only what a quorum of the frontends of --policy has signed: "+
		"an answer that is certified, up to a second old, for a contest or a medal table; "+
		"or with =`now` any answer, for which all frontends are asked")
	asJSON := jsonFlag(c)
	cli.NoEnvironment(c.Flags())
	to := cli.AddRequestTarget(c)
	v := reading{policy: cli.AddPolicy(c)}
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if v.path, v.query, err = ask(args); err != nil {
			return err
		}
		c, err := to.Client()
		if err != nil {
			return err
		}
		defer c.Close()
		v.notes, v.client, v.patience = cmd.ErrOrStderr(), c, to.Patience
		var body []byte
		switch {
		case how == verifyNow:
			body, err = v.now(cmd.Context())
		case how == verifyCertificate:
			body, err = v.certified(cmd.Context())
		case how != "":
			return cli.Usagef("--verify is %q; want no value, or now", how)
		case *asJSON:
			body, err = c.Get(cmd.Context(), v.path, v.query, client.JSON)
		default:
			body, err = c.Get(cmd.Context(), v.path, v.query, client.Text)
		}
		if err == nil && how != "" && !*asJSON {
			body, err = v.text(body)
		}
		if err != nil {
			return v.policy.Explain(err)
		}
		return printAnswer(cmd, body)
	}
	return c
}

// reading is one read, and whom to believe.
type reading struct {
	policy   *cli.Policy
	client   *client.Client
	patience time.Duration
	path     string
	query    url.Values
	notes    io.Writer
}

// now returns an answer on which a quorum agrees, and writes who that is to the notes.
func (v *reading) now(ctx context.Context) ([]byte, error) {
	p, err := v.policy.Load("--verify")
	if err != nil {
		return nil, err
	}
	r := verify.New(v.client, p)
	r.Timeout = v.patience
	a, err := r.Get(ctx, v.path, v.query)
	if a == nil {
		return nil, err
	}
	fmt.Fprintf(v.notes, "%s agree, at revision %d\n", strings.Join(a.Agreed, ", "), a.Revision)
	v.name(a.Objectors)
	return a.Body, err
}

// certified returns an answer under a certificate, and writes whose that is to the notes.
func (v *reading) certified(ctx context.Context) ([]byte, error) {
	if _, err := verify.Key(v.path, v.query); err != nil {
		return nil, err
	}
	r, err := v.policy.Certified(v.client, "--verify", v.patience)
	if err != nil {
		return nil, err
	}
	a, err := r.Get(ctx, v.path, v.query)
	if a == nil {
		return nil, err
	}
	fmt.Fprintf(v.notes, "certified by %s, round %d, as of %s\n",
		strings.Join(a.Frontends, ", "), a.Round.Number, a.At.Local().Format(time.TimeOnly))
	v.name(a.Objectors)
	return a.Body, err
}

func (v *reading) name(objectors []verify.Objector) {
	for _, o := range objectors {
		fmt.Fprintf(v.notes, "%s\n", o)
	}
}

// text returns an answer as a table. The frontends sign JSON; the table is made here, as they
// make it.
func (v *reading) text(body []byte) ([]byte, error) {
	q, err := question.Parse(strings.TrimPrefix(v.path, "/v1/"), v.query.Encode())
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = q.Text(&text, body)
	return text.Bytes(), err
}
