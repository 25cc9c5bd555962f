// Package debugzip is the command laurel debug zip, which collects what helps to understand
// a group in one file, without secrets.
package debugzip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/cmd/laurel/doctor"
	"laurel/internal/cli"
)

const (
	// totalTime bounds the whole collection, patience the wait for one frontend.
	totalTime = 3 * time.Minute
	patience  = 5 * time.Second
	// profileTime is for how long the CPU profile is taken.
	profileTime = 5 * time.Second
	// maxFrontends bounds the frontends that are asked. A group has a few.
	maxFrontends = 64
)

// asked are the paths that each frontend is asked for, and their files.
var asked = [][2]string{
	{"/v1/cluster", "cluster.json"},
	{"/v1/cluster/settings", "settings.json"},
	{"/v1/cluster/autopilot", "autopilot.json"},
	{"/livez", "livez.json"},
	{"/readyz", "readyz.json"},
	{"/metrics", "metrics.txt"},
}

// profiles are what the debug address is asked for.
var profiles = [...]struct {
	path, file string
	text       bool
}{
	{"/debug/pprof/goroutine?debug=2", "goroutines.txt", true},
	{"/debug/pprof/heap", "heap.pb.gz", false},
	{"/debug/pprof/allocs", "allocs.pb.gz", false},
	{fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(profileTime.Seconds())), "cpu.pb.gz", false},
	{"/metrics", "metrics.txt", true}, // there, or at the address for clients
}

// manifest is what the archive says of itself.
type manifest struct {
	Made      time.Time         `json:"made"`
	Version   string            `json:"version"` // of the program that has made it
	Frontends []frontendOutcome `json:"frontends"`
	Missing   map[string]string `json:"missing,omitzero"` // files that could not be got, and why
	Cut       []string          `json:"cut,omitzero"`     // files that are not whole
	Notes     []string          `json:"notes"`
}

// frontendOutcome is what became of the questions to one frontend.
type frontendOutcome struct {
	ID    string `json:"id"`
	URL   string `json:"url"`
	Error string `json:"error,omitzero"` // why it could not be asked
}

const logsNote = "A frontend keeps no log. It writes it to standard error: get it from the service manager, such as " +
	"journalctl -u laurel-frontend --since '1 hour ago', and look at it before you pass it on."

// NewCommand returns laurel debug, with its subcommand.
func NewCommand() *cobra.Command {
	c := &cobra.Command{Use: "debug", Short: "Collect what helps to find a fault"}
	c.AddCommand(newZipCommand())
	return c
}

func newZipCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "zip",
		Short: "Write status, metrics and profiles of the group to a file without secrets",
		Long: `Asks each frontend of the group for its view of the group, its settings, health and metrics, runs laurel doctor
here, and writes all to a zip file that only you can read. With --debug it adds goroutines and profiles of the
frontend of this machine. A frontend that does not answer is named in manifest.json.

The file has no tokens, no keys, no grants, and no addresses but those of frontends. Of the environment it has the
names of LAUREL_ variables, and the values of those that are no secret. Logs are not in it: a frontend keeps none.
It takes three minutes at most, and at most 64 MiB before they are compressed.`,
		Example: `  laurel debug zip --out laurel.zip --to https://10.0.0.1:8001
  laurel debug zip --out laurel.zip --data /var/lib/laurel --debug 127.0.0.1:6060`,
		Args: cobra.NoArgs,
	}
	out := c.Flags().String("out", "", "`FILE` to write; it must not exist")
	cli.NoEnvironment(c.Flags())
	var p doctor.Subject
	flags := c.Flags()
	flags.StringVar(&p.Dir, "data", "", "data `DIR` of the frontend of this machine, for laurel doctor")
	flags.StringVar(&p.HTTP, "http", "", "its `HOST:PORT` for clients, for laurel doctor")
	flags.StringVar(&p.Peer, "peer", "", "its `HOST:PORT` for members, for laurel doctor")
	debug := flags.String("debug", "", "`HOST:PORT` of its --debug, for goroutines and profiles (default none)")
	to := cli.AddTarget(c, patience, "how long to try the frontends, one after the other, until one answers")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if *out == "" {
			return cli.Usagef("name a file with --out")
		}
		f, err := os.OpenFile(*out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return cli.Usagef("--out: %w", err)
		}
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				os.Remove(*out)
			}
		}()
		p.URLs, p.Named = to.URLs, cmd.Flags().Changed("to")
		z := &collector{subject: &p, target: to, debug: *debug, environment: os.Environ()}
		ctx, cancel := context.WithTimeout(cmd.Context(), totalTime)
		defer cancel()
		if err := z.collect(ctx, f); err != nil {
			return err
		}
		for _, f := range z.manifest.Frontends {
			if f.Error != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is not in it: %s\n", f.ID, f.Error)
			}
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s with %d files\n", *out, z.archive.files)
		return err
	}
	return c
}

// collector collects the files of one archive.
type collector struct {
	subject     *doctor.Subject
	target      *cli.Target
	debug       string // host:port; "" for none
	environment []string

	manifest manifest
	archive  *archive
}

// collect writes the archive. What cannot be got is missing in it and named in the manifest.
func (z *collector) collect(ctx context.Context, w io.Writer) error {
	c, err := z.target.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	results, err := doctor.Run(ctx, z.subject, z.target)
	if err != nil {
		return err
	}
	o, err := z.target.Options()
	if err != nil {
		return err
	}
	secrets := append(slices.Clone(z.environment), "LAUREL_TOKEN="+o.Token) // it may be that of --token
	p := z.subject
	known := append(addressesOf(p.Group), p.URLs...)
	z.archive = newArchive(w, newScrubber(secrets, append(known, p.HTTP, p.Peer, z.debug)...).scrub)
	z.manifest = manifest{
		Made: time.Now().UTC(), Version: fmt.Sprintf("laurel %s, %s %s/%s", cli.Version(), runtime.Version(),
			runtime.GOOS, runtime.GOARCH),
		Missing: map[string]string{}, Notes: []string{logsNote},
	}
	err = errors.Join(z.json("doctor.json", results), z.archive.text("environment.txt",
		[]byte(environmentText(z.environment))))
	for n, f := range z.frontends() {
		if err == nil {
			err = z.ask(ctx, c, n, f)
		}
	}
	if err == nil && z.debug != "" {
		err = z.profile(ctx)
	}
	z.manifest.Cut = z.archive.cut
	return errors.Join(err, z.json("manifest.json", &z.manifest), z.archive.zip.Close())
}

// json adds a file.
func (z *collector) json(name string, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	return z.archive.text(name, append(b, '\n'))
}

// frontends returns the frontends to ask: those of the group or, without it, those that were
// named.
func (z *collector) frontends() (list []frontendOutcome) {
	if g := z.subject.Group; g != nil {
		for _, f := range g.Frontends {
			list = append(list, frontendOutcome{ID: f.ID, URL: f.URL})
		}
	} else {
		for _, u := range z.subject.URLs {
			list = append(list, frontendOutcome{ID: u, URL: u})
		}
	}
	return list[:min(len(list), maxFrontends)]
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$`)

// ask asks a frontend for everything. The first question that it does not answer is the last.
func (z *collector) ask(ctx context.Context, c *client.Client, n int, f frontendOutcome) error {
	dir := fmt.Sprintf("frontends/%d", n+1)
	if plainName.MatchString(f.ID) {
		dir = "frontends/" + f.ID
	}
	defer func() { z.manifest.Frontends = append(z.manifest.Frontends, f) }()
	if f.URL == "" {
		f.Error = "the group does not know its URL"
		return nil
	}
	for _, a := range asked {
		name := dir + "/" + a[1]
		status, body, err := c.GetAt(ctx, f.URL, a[0])
		switch {
		case err != nil:
			f.Error = z.archive.scrub(err.Error())
			return nil
		case status != http.StatusOK && a[0] != "/readyz": // its problem says why it is not ready
			z.manifest.Missing[name] = fmt.Sprintf("status %d", status)
			continue
		}
		if err := z.archive.text(name, body); err != nil {
			return err
		}
	}
	return nil
}

// profile adds what the debug address shows.
func (z *collector) profile(ctx context.Context) error {
	for _, p := range profiles {
		name := "profiles/" + p.file
		body, err := get(ctx, "http://"+z.debug+p.path)
		if err != nil {
			z.manifest.Missing[name] = z.archive.scrub(err.Error())
			continue
		}
		add := z.archive.profile
		if p.text {
			add = z.archive.text
		}
		if err := add(name, body); err != nil {
			return err
		}
	}
	return nil
}

// get returns what is at a URL of this machine, at most one byte more than a file may have.
func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, profileTime+patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxFile+1))
}
