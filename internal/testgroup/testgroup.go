// Package testgroup runs a group of real frontends in the process of a test. Each
// frontend serves its clients through a proxy of its own, in which a test can inject
// faults: see Group.Inject.
//
// The frontends are insecure: they authenticate nobody.
package testgroup

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"laurel/cluster"
	"laurel/httpapi"
	"laurel/internal/address"
	"laurel/internal/frontend"
	"laurel/score"
)

const (
	patience = 2 * time.Minute
	poll     = 5 * time.Millisecond
	// timeScale stretches the timings of failover, so that a busy machine does not look like
	// a lost master.
	timeScale = 3
)

// TB is what a group needs of a testing.TB.
type TB interface {
	Helper()
	Context() context.Context
	TempDir() string
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Options change how the frontends of a group start.
type Options struct {
	// API is the HTTP API of each frontend. The zero value has the defaults.
	API httpapi.Options
	// SnapshotEntries is the number of log entries between snapshots; 0 means the
	// default.
	SnapshotEntries uint64
	// Lineage is that of the store; "" for a random one.
	Lineage string
	// Logger gets the logs of all frontends; nil discards them.
	Logger *slog.Logger
}

// Group is a group of frontends. Its methods may be called by any goroutine.
type Group struct {
	// Frontends are f1, f2 and so on. All of them vote.
	Frontends []*Frontend

	tb   TB
	opts Options

	mu       sync.Mutex
	fault    Injector
	requests []string
	reports  map[string]report // by frontend id
}

// Frontend is a frontend of a group.
type Frontend struct {
	ID  string
	URL string // of the proxy; it stays the same when the frontend restarts

	group *Group
	dir   string
	peer  string // host:port
	proxy *proxy

	mu      sync.Mutex
	running *frontend.Frontend // nil while it is down
}

// Start starts a group of n frontends and waits until each can answer from its own memory
// and knows all others. The group ends with the test.
func Start(tb TB, n int) *Group { return StartWith(tb, n, Options{}) }

// StartWith is Start with options.
func StartWith(tb TB, n int, o Options) *Group {
	tb.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	// A busy machine refuses nothing, and ends no connection on which this process is slow.
	o.API.Limits.LateDelay = cmp.Or(o.API.Limits.LateDelay, time.Hour)
	o.API.Limits.HeaderTimeout = cmp.Or(o.API.Limits.HeaderTimeout, patience)
	g := &Group{tb: tb, opts: o, reports: map[string]report{}}
	for i := range n {
		f := &Frontend{ID: fmt.Sprintf("f%d", i+1), group: g, dir: tb.TempDir(), peer: "127.0.0.1:0"}
		f.proxy = startProxy(tb, f)
		f.URL = f.proxy.url
		g.Frontends = append(g.Frontends, f)
		tb.Cleanup(f.Kill)
		f.Start()
		Eventually(g.tb, func() error { return f.Member().Ready(tb.Context()) })
	}
	g.WaitLeased()
	for _, f := range g.Frontends {
		Eventually(g.tb, func() error { return f.knowsAll() })
	}
	g.mu.Lock()
	g.requests = nil // of the frontends that joined
	g.mu.Unlock()
	return g
}

// knowsAll returns an error unless the frontend lists all frontends as serving, with
// their URLs.
func (f *Frontend) knowsAll() error {
	serving := 0
	for _, other := range f.Member().Frontends().Frontends {
		if other.State == score.Serving && other.URL != "" {
			serving++
		}
	}
	if serving < len(f.group.Frontends) {
		return fmt.Errorf("%s knows %d serving frontends of %d", f.ID, serving, len(f.group.Frontends))
	}
	return nil
}

// Start starts the frontend, again after Kill. It fails the test if it cannot.
func (f *Frontend) Start() {
	f.group.tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != nil {
		f.group.tb.Fatalf("%s runs already", f.ID)
	}
	o := cluster.Options{
		ID:              f.ID,
		Dir:             f.dir,
		Peer:            f.peer,
		Logger:          f.group.opts.Logger,
		SnapshotEntries: f.group.opts.SnapshotEntries,
		TimeScale:       timeScale,
	}
	if first := f.group.Frontends[0]; first == f {
		o.Bootstrap, o.Lineage = true, f.group.opts.Lineage
	} else {
		o.Join = []string{first.URL}
	}
	public, err := address.Parse(f.URL)
	if err != nil {
		f.group.tb.Fatal(err)
	}
	running, err := frontend.Start(frontend.Options{HTTP: "127.0.0.1:0", URL: public, Member: o, API: f.group.opts.API})
	if err != nil {
		f.group.tb.Fatalf("start %s: %v", f.ID, err)
	}
	f.running, f.peer = running, running.Member().Peer()
	f.proxy.forwardTo(running.Addr())
}

// Kill ends the frontend as the death of its process would: its connections break, its
// port refuses new ones, and it tells the others nothing. It does nothing while the
// frontend is down.
func (f *Frontend) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running == nil {
		return
	}
	f.proxy.forwardTo("")
	if err := f.running.Kill(); err != nil {
		f.group.opts.Logger.Warn("kill", "member", f.ID, "err", err)
	}
	f.running = nil
}

// Detach breaks the clients' connections to the frontend and refuses new ones, while the
// frontend goes on as a member of the group. Attach undoes that.
func (f *Frontend) Detach() { f.proxy.detach(true) }

// Attach opens the frontend to clients again.
func (f *Frontend) Attach() { f.proxy.detach(false) }

// Member returns the member of the Raft group. The frontend must be running.
func (f *Frontend) Member() *cluster.Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running.Member()
}

// Addr returns the host:port at which the frontend itself serves clients, past the proxy.
func (f *Frontend) Addr() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running.Addr()
}

func (f *Frontend) up() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running != nil
}

// URLs returns the URLs of all frontends.
func (g *Group) URLs() []string {
	var urls []string
	for _, f := range g.Frontends {
		urls = append(urls, f.URL)
	}
	return urls
}

// Master returns the frontend that is the master, once there is one.
func (g *Group) Master() (master *Frontend) {
	g.tb.Helper()
	Eventually(g.tb, func() error {
		for _, f := range g.Frontends {
			if f.up() && f.Member().Master() {
				master = f
				return nil
			}
		}
		return fmt.Errorf("the group has no master")
	})
	return master
}

// WaitLeased waits until each running frontend has a lease, so that it answers from its
// own memory.
func (g *Group) WaitLeased() {
	g.tb.Helper()
	for _, f := range g.Frontends {
		if f.up() {
			Eventually(g.tb, func() error {
				if !f.Member().Leased() {
					return fmt.Errorf("%s has no lease", f.ID)
				}
				return nil
			})
		}
	}
}

// Eventually polls f until it returns nil. It fails the test with f's last error if that
// takes too long.
func Eventually(tb TB, f func() error) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for err := f(); err != nil; err = f() {
		select {
		case <-deadline.C:
			tb.Fatalf("still, after %s: %v", patience, err)
		case <-time.After(poll):
		}
	}
}
