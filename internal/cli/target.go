package cli

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/keyfile"
)

// DefaultURL is the default of the flag --to.
const DefaultURL = "http://127.0.0.1:8001"

// AttemptTimeout is that of every client that a Target makes; 0 for the client's default. It is
// for tests whose frontends count their requests: on a busy machine each may be late, and then a
// client sends a request again, or does not know what came of it.
var AttemptTimeout time.Duration

// Target is what the flags of a command say about the frontends to talk to.
type Target struct {
	URLs     []string
	Patience time.Duration
	Home     string // the id of the preferred frontend; "" for none

	keyFile string // "": events are not signed
	lineage string // of the store for which events are signed; "": see trustLineage
	token   string // or @ and the name of a file with it; "": none
	caFile  string // "": the roots of this machine

	errOut func() io.Writer
}

// AddTarget adds the flags --to, --patience (with its usage), --token and --ca.
func AddTarget(cmd *cobra.Command, patience time.Duration, patienceUsage string) *Target {
	to := &Target{errOut: cmd.ErrOrStderr}
	flags := cmd.Flags()
	flags.StringSliceVar(&to.URLs, "to", []string{DefaultURL},
		"`URL` of a frontend, or several separated by commas; the other frontends of the group are found from it")
	setVariable(flags.Lookup("to"), "LAUREL_URL")
	flags.DurationVar(&to.Patience, "patience", patience, patienceUsage)
	flags.StringVar(&to.token, "token", "",
		"`TOKEN` to authenticate with, or @FILE; it is sent to the frontends of --to and, with --ca, to those that "+
			"the group lists; prefer the variable: other users can see a command line")
	flags.StringVar(&to.caFile, "ca", "",
		"`FILE` with certificates to trust, in PEM, instead of this machine's; laurel cluster ca prints a group's")
	return to
}

// AddURLs adds the flag --to alone, for a command that names frontends and asks none.
func AddURLs(cmd *cobra.Command) (urls *[]string) {
	urls = cmd.Flags().StringSlice("to", []string{DefaultURL},
		"`URL` of a frontend, or several separated by commas: all that there are")
	setVariable(cmd.Flags().Lookup("to"), "LAUREL_URL")
	return urls
}

// AddRequestTarget is AddTarget for a command that makes one request.
func AddRequestTarget(cmd *cobra.Command) *Target {
	return AddTarget(cmd, client.DefaultTimeout,
		"how long to try the frontends, one after the other, until one answers")
}

// AddKey adds the flags --key and --lineage, with which the clients of t sign events.
func (t *Target) AddKey(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.lineage, "lineage", "", "`LINEAGE` of the store to sign for; laurel cluster settings "+
		"shows it (default the one that the frontends had when the key was first used with --to)")
	cmd.Flags().StringVar(&t.keyFile, "key", "", "sign events with the private key in `FILE`; bard key new makes one")
}

// Key returns the private key of --key; nil without --key.
func (t *Target) Key() (ed25519.PrivateKey, error) {
	if t.keyFile == "" {
		return nil, nil
	}
	key, err := keyfile.Read(t.keyFile)
	if err != nil {
		return nil, Usagef("--key: %w", err)
	}
	return key, nil
}

// Options returns the options of a client for the flags.
func (t *Target) Options() (o client.Options, err error) {
	o.Timeout, o.AttemptTimeout = t.Patience, AttemptTimeout
	o.Home, o.Notify = t.Home, t.notices()
	if o.Key, err = t.Key(); err != nil {
		return o, err
	}
	if t.lineage != "" && !score.ValidLineage(t.lineage) {
		return o, Usagef("--lineage is %q; want the lineage of a store, small letters and digits", t.lineage)
	}
	o.Lineage, o.TrustLineage = t.lineage, t.trustLineage
	if o.Token, err = t.bearer(); err != nil {
		return o, Usagef("--token: %w", err)
	}
	if o.TLS, err = t.roots(); err != nil {
		return o, Usagef("--ca: %w", err)
	}
	return o, nil
}

// notices returns a function that prints once what to do about frontends with untrusted
// certificates. The client continues with the other frontends.
func (t *Target) notices() func(client.Notice) {
	var once sync.Once
	return func(n client.Notice) {
		if n.Kind != client.NoticeUntrusted {
			return
		}
		once.Do(func() {
			fmt.Fprintf(t.errOut(), "%s is ignored: its certificate is not trusted (%s); "+
				"set --ca FILE or LAUREL_CA; laurel cluster ca prints a group's certificates\n",
				n.Frontend, textfmt.OneLine(n.Err.Error()))
		})
	}
}

// bearer returns the token. Errors do not contain it.
func (t *Target) bearer() (string, error) {
	text, err := ReadSecret(t.token, "a token")
	if text == "" || err != nil {
		return "", err
	}
	_, err = access.ParseBearerToken(text)
	return text, err
}

// roots returns a configuration that trusts only the certificates of --ca; nil for none.
func (t *Target) roots() (*tls.Config, error) {
	if t.caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.caFile)
	if err != nil {
		return nil, err
	}
	if len(pem) == 0 {
		return nil, fmt.Errorf("%s is empty; a shell empties the file of laurel cluster ca > FILE before it is read, "+
			"so use --out FILE. To get the certificates again, run on a frontend's machine: "+
			"laurel cluster ca --ca= --to http://HOST:PORT --out %s", t.caFile, t.caFile)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s contains no certificate; want PEM, as laurel cluster ca prints it", t.caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Client makes a client for the flags. The caller closes it.
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
