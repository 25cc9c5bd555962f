// Package doctor is the command laurel doctor, which checks what a frontend stands on: its
// machine, its data directory, and the way to the other frontends.
//
// Each check is one function of an [Environment], which tests replace.
package doctor

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"laurel/internal/cli"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/trust/pki"
)

// Status is the outcome of a check.
type Status string

// The outcomes: OK, Warn for what may become a failure, Fail for what is one.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Result is what a check has found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitzero"` // what to do; "" if nothing is to be done
}

func ok(check, format string, args ...any) Result {
	return Result{Check: check, Status: OK, Found: fmt.Sprintf(format, args...)}
}

// found returns a result with an advice.
func found(check string, s Status, advice, format string, args ...any) Result {
	return Result{Check: check, Status: s, Found: fmt.Sprintf(format, args...), Advice: advice}
}

const (
	// totalTime bounds all checks, and patience the wait for one other frontend.
	totalTime = 45 * time.Second
	patience  = 3 * time.Second
)

// Subject is what is examined.
type Subject struct {
	Dir        string // the data directory; "" if there is none to look at
	HTTP, Peer string // the addresses on which the frontend is to listen; "" if they are not known
	URLs       []string
	Named      bool // the URLs were given; else one that does not answer may not be meant
	// Identity is the certificate in the data directory; nil without one. Unreadable is why
	// it could not be read.
	Identity   *pki.Identity
	Unreadable error
	// Group is the group as one of its frontends sees it; nil if none has answered, for the
	// reason NoGroup.
	Group   *score.Frontends
	NoGroup error
}

// Examine runs all checks, in the order in which a person would look.
func Examine(ctx context.Context, e *Environment, p *Subject) (results []Result) {
	ctx, cancel := context.WithTimeout(ctx, totalTime)
	defer cancel()
	results = append(results, checkVersion(), checkOpenFiles(e), checkClock(e))
	if p.Dir != "" {
		results = append(results, checkDirectory(e, p.Dir), checkFileSystem(e, p.Dir), checkRoom(e, p.Dir),
			checkSync(e, p.Dir),
			checkCertificate(e, p))
	}
	results = append(results, checkPorts(ctx, e, p)...)
	results = append(results, checkNames(ctx, e, p), checkGroup(p))
	results = append(results, checkFrontends(ctx, e, p)...)
	return append(results, checkPeers(ctx, e, p)...)
}

// Failed returns the number of results that are failures.
func Failed(results []Result) (n int) {
	for _, r := range results {
		if r.Status == Fail {
			n++
		}
	}
	return n
}

// Write writes results for people, each in a line or two.
func Write(w io.Writer, results []Result) error {
	var b bytes.Buffer
	for _, r := range results {
		fmt.Fprintf(&b, "%-5s%-12s %s\n", r.Status, r.Check, textfmt.OneLine(r.Found))
		if r.Advice != "" {
			fmt.Fprintf(&b, "%18s%s\n", "", textfmt.OneLine(r.Advice))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check the machine, the disk and the way to the other frontends",
		Long: `Checks what a frontend stands on, and prints a line for each check: ok, warn or fail, with what was found, and
what to do. Run it on the frontend's machine, as its user and with its environment, before the frontend is
started or while it runs. It takes a minute at most, changes nothing, and writes 100 times 4 KiB to a file in the
data directory, which it removes.

Exit code 1 means that a check has failed.`,
		Example: `  laurel doctor --data /var/lib/laurel --to https://10.0.0.1:8001
  laurel doctor --json`,
		Args: cobra.NoArgs,
	}
	asJSON := c.Flags().Bool("json", false, "print JSON")
	cli.NoEnvironment(c.Flags())
	var p Subject
	flags := c.Flags()
	flags.StringVar(&p.Dir, "data", "",
		"data `DIR` of the frontend (default its disk and its certificate are not checked)")
	flags.StringVar(&p.HTTP, "http", "", "`HOST:PORT` on which the frontend is to serve clients")
	flags.StringVar(&p.Peer, "peer", "", "`HOST:PORT` on which it is to listen for the other frontends")
	to := cli.AddTarget(c, patience, "how long to try the frontends, one after the other, until one answers")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		p.URLs, p.Named = to.URLs, cmd.Flags().Changed("to")
		results, err := Run(cmd.Context(), &p, to)
		if err != nil {
			return err
		}
		if *asJSON {
			err = cli.WriteJSON(cmd.OutOrStdout(), results)
		} else {
			err = Write(cmd.OutOrStdout(), results)
		}
		if n := Failed(results); n > 0 && err == nil {
			err = fmt.Errorf("%d of %d checks failed", n, len(results))
		}
		return err
	}
	return c
}

// Run examines this machine and the group at the target. It fills p.
func Run(ctx context.Context, p *Subject, to *cli.Target) ([]Result, error) {
	c, err := to.Client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	o, err := to.Options()
	if err != nil {
		return nil, err
	}
	if p.Dir != "" {
		dir := pki.DirIn(p.Dir)
		holder, err := pki.ReadHolder(dir)
		if err == nil {
			p.Identity, err = pki.Open(pki.Options{Dir: dir, Member: holder.Member})
		}
		p.Unreadable = err
	}
	group, err := c.Frontends(ctx)
	if err == nil {
		p.Group = &group
	}
	p.NoGroup = err
	e := ThisMachine(cmp.Or(o.TLS, p.roots()))
	defer e.close()
	return Examine(ctx, e, p), nil
}
