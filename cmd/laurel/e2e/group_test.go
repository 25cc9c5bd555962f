package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/internal/localgroup"
	"laurel/score"
)

// frontend is one member: its data and addresses, and its current process.
type frontend struct {
	*process
	id, data, http, peer, url string
	entry                     []string // --bootstrap, or --join and a URL
	secure                    bool     // it has a certificate; otherwise it is started with --insecure
	within                    []string // a command that starts it in another network
	more                      []string // arguments
	build                     string   // the program, if it is not the laurel under test
	debug                     string   // host:port of the debug server, where a spy takes its orders; "" without one
	group                     *group
}

// group is a number of frontends on this machine.
type group struct {
	t         testing.TB
	dir       string // of the data directories
	logs      string
	env       []string
	open      bool     // the frontends listen at all addresses for clients
	spied     bool     // a spy is in every frontend
	cuts      *network // nil: the frontends have no places of their own
	frontends []*frontend
}

// newGroup starts a group of n frontends, f1 to fn, and waits until all are ready.
// env is added to their environment.
func newGroup(t testing.TB, n int, env ...string) *group {
	t.Helper()
	g := &group{t: t, dir: t.TempDir(), logs: logs(t), env: env}
	for range n {
		g.add().start().waitReady()
	}
	return g
}

// add adds the next frontend without starting it.
func (g *group) add() *frontend {
	id := "f" + strconv.Itoa(len(g.frontends)+1)
	f := &frontend{id: id, data: filepath.Join(g.dir, id), entry: []string{"--bootstrap"}, group: g}
	if g.cuts != nil {
		g.cuts.place(f, len(g.frontends))
	} else {
		f.move(freePort(g.t), freePort(g.t))
	}
	if g.spied {
		f.debug = freePort(g.t)
	}
	if len(g.frontends) > 0 {
		f.entry = []string{"--join", urls(g.frontends)}
	}
	g.frontends = append(g.frontends, f)
	return f
}

// move changes the addresses of the frontend, from its next start.
func (f *frontend) move(http, peer string) {
	f.http, f.peer, f.url = http, peer, "http://"+http
	if f.group != nil && f.group.open {
		f.more = []string{"--http", f.at(netip.IPv4Unspecified()), "--public-url", "https://" + http}
	}
}

// at returns the host:port for clients with another address.
func (f *frontend) at(addr netip.Addr) string {
	_, port, _ := net.SplitHostPort(f.http)
	return net.JoinHostPort(addr.String(), port)
}

func (f *frontend) start() *frontend {
	f.group.t.Helper()
	args := localgroup.Frontend{ID: f.id, Dir: f.data, HTTP: f.http, Peer: f.peer}.Args(f.entry...)
	if !f.secure {
		args = append(args, "--insecure")
	}
	args = append(args, f.more...)
	name := "laurel"
	if f.debug != "" {
		name = spiedLaurel
		args = append(args, "--debug", f.debug)
	}
	path := f.build
	if path == "" {
		path = program(f.group.t, name)
	}
	args = slices.Concat(f.within, []string{path}, args)
	f.awaitPorts()
	f.process = start(f.group.t, f.group.logs, f.id, f.group.env, args[0], args[1:]...)
	return f
}

// awaitPorts waits a moment for the ports of a frontend that was killed: on a busy machine they
// were seen in use by what could not be found out.
func (f *frontend) awaitPorts() {
	_ = poll(5*time.Second, func() error {
		if inUse(f.http) || inUse(f.peer) {
			return errors.New("in use")
		}
		return nil
	})
}

func (f *frontend) waitReady() {
	t := f.group.t
	t.Helper()
	eventually(t, f.id+" is ready", func() error {
		if f.Ended() {
			t.Fatalf("%s ended with exit code %d while it was awaited", f.id, f.State().ExitCode())
		}
		a, err := ask("GET", f.url+"/readyz", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("/readyz: %d %s", a.status, a.body)
		}
		return err
	})
}

// urls joins the URLs of frontends for --to and --join.
func urls(list []*frontend) string {
	var urls []string
	for _, f := range list {
		urls = append(urls, f.url)
	}
	return strings.Join(urls, ",")
}

// urlsFrom joins the URLs of all frontends, the ith first.
func (g *group) urlsFrom(i int) string {
	i %= len(g.frontends)
	return urls(slices.Concat(g.frontends[i:], g.frontends[:i]))
}

// status returns the group according to f.
func (f *frontend) status() (s score.Frontends, err error) {
	a, err := ask("GET", f.url+"/v1/frontends", "")
	if err != nil {
		return s, err
	}
	if a.status != http.StatusOK {
		return s, fmt.Errorf("GET /v1/frontends at %s: %d %s", f.id, a.status, a.body)
	}
	return s, json.Unmarshal([]byte(a.body), &s)
}

// member returns the member with an id according to f.
func (f *frontend) member(id string) (score.Frontend, error) {
	s, err := f.status()
	if err != nil {
		return score.Frontend{}, err
	}
	for _, m := range s.Frontends {
		if m.ID == id {
			return m, nil
		}
	}
	return score.Frontend{}, fmt.Errorf("%s does not see %s: %+v", f.id, id, s.Frontends)
}

func (g *group) running() []*frontend {
	var list []*frontend
	for _, f := range g.frontends {
		if f.process != nil && !f.Ended() {
			list = append(list, f)
		}
	}
	return list
}

// awaitGranted waits until all running frontends have applied what any of them has: a follower
// refuses what a grant permits until then. A page of metrics is shown for a while after it was
// made, so only one that was made since counts.
func (g *group) awaitGranted() {
	g.t.Helper()
	running := g.running()
	shown, made, want := make([]string, len(running)), make([]bool, len(running)), 0.0
	eventually(g.t, "all have applied the grant", func() error {
		applied := make([]float64, len(running))
		for i, f := range running {
			a, err := ask("GET", f.url+"/metrics", "")
			if err != nil {
				return err
			}
			if applied[i], err = gauge(a.body, "laurel_applied_index"); err != nil {
				return err
			}
			made[i] = made[i] || shown[i] != "" && a.body != shown[i]
			shown[i] = a.body
		}
		if want == 0 && !slices.Contains(made, false) {
			want = slices.Max(applied)
		}
		if want == 0 || slices.Min(applied) < want {
			return fmt.Errorf("pages made since: %v; applied entries: %v of %v", made, applied, want)
		}
		return nil
	})
}

// master waits until the running frontends agree on a running master.
func (g *group) master() *frontend {
	g.t.Helper()
	var master *frontend
	eventually(g.t, "the frontends agree on a master", func() error {
		named := map[string]bool{}
		for _, f := range g.running() {
			s, err := f.status()
			if err != nil {
				return err
			}
			named[s.Master] = true
			if f.id == s.Master {
				master = f
			}
		}
		if len(named) != 1 || named[""] || master == nil || !named[master.id] {
			return fmt.Errorf("they name %v", named)
		}
		return nil
	})
	return master
}

// follower returns a running frontend that is not the master.
func (g *group) follower() *frontend {
	g.t.Helper()
	m := g.master()
	i := slices.IndexFunc(g.running(), func(f *frontend) bool { return f != m })
	if i < 0 {
		g.t.Fatal("there is no other frontend than the master")
	}
	return g.running()[i]
}

// becomeMaster makes f the master, so that its answers come from its own database.
func (f *frontend) becomeMaster() {
	t := f.group.t
	t.Helper()
	// A transfer is refused while another one is under way or f lags behind, so it is
	// repeated.
	eventually(t, "mastership goes to "+f.id, func() error {
		if f.group.master() == f {
			return nil
		}
		if o := command(t, "laurel", "cluster", "transfer", f.id, "--to", urls(f.group.running())); o.code != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	f.waitReady()
}

// expectRevision waits until every running frontend has applied every event up to
// revision, and fails if one has more.
func (g *group) expectRevision(revision uint64) {
	g.t.Helper()
	for _, f := range g.running() {
		if got := get(g.t, f.url+"/v1/scores?limit=1").header.Get("Laurel-Revision"); got != strconv.FormatUint(revision, 10) {
			g.t.Errorf("%s: Laurel-Revision %s after %d events", f.id, got, revision)
		}
	}
	for _, asked := range g.running() {
		eventually(g.t, "all have the last revision", func() error {
			for _, f := range g.running() {
				m, err := asked.member(f.id)
				if err != nil {
					return err
				}
				if m.Revision > revision {
					g.t.Fatalf("%s has revision %d after %d events", f.id, m.Revision, revision)
				}
				if m.Revision != revision || m.State != score.Serving {
					return fmt.Errorf("%s sees %s %s at revision %d; want it %s at %d", asked.id, f.id, m.State,
						m.Revision, score.Serving, revision)
				}
			}
			return nil
		})
	}
}
