package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/trust/pki"
)

// DefaultURL is where a command looks for a frontend that is not told otherwise.
const DefaultURL = "http://127.0.0.1:8001"

// Target is whom a command talks to, and how long it tries: its flags --to and --patience.
type Target struct {
	URLs     []string
	Patience time.Duration

	keyFile string // "": nothing is signed
	token   string // or @ and the file that it is in; "": none
	caFile  string // "": what this machine trusts

	errOut func() io.Writer
}

// AddTarget gives cmd the flags --to and --patience.
func AddTarget(cmd *cobra.Command, patience time.Duration, meaning string) *Target {
	to := &Target{errOut: cmd.ErrOrStderr}
	cmd.Flags().StringSliceVar(&to.URLs, "to", []string{DefaultURL}, "`URL` of a frontend, or several with commas between; the others of the group are found from it")
	SetVariable(cmd.Flags(), "to", "LAUREL_URL")
	cmd.Flags().DurationVar(&to.Patience, "patience", patience, meaning)
	cmd.Flags().StringVar(&to.token, "token", "", "`TOKEN` that says who you are, or @FILE with it; others can see a command line, so better set the variable")
	cmd.Flags().StringVar(&to.caFile, "ca", "", "`FILE` with the certificates to trust, in PEM, where this machine does not; laurel cluster ca prints a group's")
	return to
}

// AddRequestTarget gives the flags --to and --patience to a command that makes one request.
func AddRequestTarget(cmd *cobra.Command) *Target {
	return AddTarget(cmd, client.DefaultTimeout, "how long to try, at one frontend after the other, until one answers")
}

// Options are those of a client for the flags.
func (t *Target) Options() (o client.Options, err error) {
	o.Timeout, o.Notify = t.Patience, t.notices()
	if o.Key, err = t.Key(); err != nil {
		return o, err
	}
	if o.Token, err = t.bearer(); err != nil {
		return o, Usagef("--token: %w", err)
	}
	if o.TLS, err = t.roots(); err != nil {
		return o, Usagef("--ca: %w", err)
	}
	return o, nil
}

// notices says, once, what is to be done about frontends whose certificates are not trusted; the client goes on with the others.
func (t *Target) notices() func(client.Notice) {
	var once sync.Once
	return func(n client.Notice) {
		if n.Kind != client.NoticeUntrusted {
			return
		}
		once.Do(func() {
			fmt.Fprintf(t.errOut(), "%s shows a certificate that is not trusted here, and is left out: name those to trust with --ca FILE or LAUREL_CA; laurel cluster ca prints a group's (%v)\n", n.Frontend, n.Err)
		})
	}
}

// bearer is the token. An error does not tell it.
func (t *Target) bearer() (string, error) {
	text := t.token
	if file, ok := strings.CutPrefix(text, "@"); ok {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	_, err := pki.ParseBearerToken(text)
	return text, err
}

// roots trusts the certificates of --ca and no others; nil without it.
func (t *Target) roots() (*tls.Config, error) {
	if t.caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s; want PEM, as laurel cluster ca prints it", t.caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Client makes a client for the flags; it is to be closed.
func (t *Target) Client() (*client.Client, error) {
	if t.Patience <= 0 {
		return nil, Usagef("--patience is %s; want more than 0, such as 10s", t.Patience)
	}
	o, err := t.Options()
	if err != nil {
		return nil, err
	}
	c, err := client.New(t.URLs, o)
	if err != nil {
		return nil, Usagef("--to: %w", err)
	}
	return c, nil
}
