// Package localgroup starts groups of frontends as processes on this machine. The demo,
// laurel up, the end-to-end tests and the benchmarks use it.
//
// [Start] starts a whole group and waits until it is ready. The frontends of a group are
// either children, which are restarted when they die and end with the group, or detached:
// they outlive this process, and another Start in the same directory finds them and
// starts only what is missing. [StartProcess] starts and observes one process, of any
// program.
package localgroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/internal/cli"
	"laurel/score"
)

// Options describe a group and how its frontends are started.
type Options struct {
	// Dir holds the data and the logs of all frontends. A group of children starts with
	// empty data.
	Dir string
	// Size is the number of frontends. For a detached group it is the least number, and 0
	// means as many as there are, or DefaultSize.
	Size     int
	Program  string   // the path of laurel
	Env      []string // of the frontends
	RunDir   string   // the directory of their pid files
	Lifetime Lifetime // of the frontends

	// RestartAfter is the pause before a child that died is started again. 0: it is not.
	RestartAfter time.Duration
	// Notify, if not nil, is called when something happens to a child after Start. It is
	// called by several goroutines and must not call Close.
	Notify func(Notice)

	// StartWithin bounds Start. StopWithin is the time that a child has to end before it
	// is killed. 0: the defaults below.
	StartWithin, StopWithin time.Duration
}

// Defaults of Options.
const (
	DefaultSize        = 3 // the least number that survives the death of one
	DefaultStartWithin = 30 * time.Second
	DefaultStopWithin  = 5 * time.Second
)

// Group is a group of running frontends. It is safe for concurrent use.
type Group struct {
	o       Options
	members []*member
	formed  bool         // the first frontend has bootstrapped the group
	claim   net.Listener // of the block of ports of a group of children

	ctx         context.Context
	cancel      context.CancelFunc
	supervisors sync.WaitGroup
	closing     sync.Once
}

// Frontend is a frontend of a group.
type Frontend struct {
	ID   string `json:"id"`   // f1, f2 ...
	HTTP string `json:"http"` // host:port
	Peer string `json:"peer"` // host:port

	Dir   string `json:"-"` // of its data
	Log   string `json:"-"` // file
	PID   int    `json:"-"` // of the current or last process; 0 if there is none
	State State  `json:"-"`
}

// State is what Start found or did.
type State uint8

const (
	Down    State = iota
	Running       // it ran before
	Started
	Removed // from the group, by somebody; it does not run
)

// URL returns the address for clients.
func (f Frontend) URL() string { return "http://" + f.HTTP }

// Args returns the arguments of the laurel program that run the frontend, followed by
// more.
func (f Frontend) Args(more ...string) []string {
	args := []string{"frontend", "--id", f.ID, "--data", f.Dir, "--http", f.HTTP, "--peer", f.Peer}
	return append(args, more...)
}

type member struct {
	group *Group

	mu   sync.Mutex
	f    Frontend
	proc *Process // nil: this process has not started it
}

// Start starts the frontends that do not run yet and waits until all of them are ready.
// If it fails, no child stays behind; detached frontends that were started stay, and the
// group is returned together with the error.
func Start(ctx context.Context, o Options) (*Group, error) {
	o.StartWithin = cmp.Or(o.StartWithin, DefaultStartWithin)
	o.StopWithin = cmp.Or(o.StopWithin, DefaultStopWithin)
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartWithin, fmt.Errorf("not ready within %s", o.StartWithin))
	defer cancel()
	if o.Lifetime == Detached {
		return startDetached(ctx, o)
	}
	for {
		g, err := startChildren(ctx, o)
		// Another program may have taken a port after it was found free here.
		if !errors.Is(err, errPortTaken) || ctx.Err() != nil {
			return g, err
		}
	}
}

func startChildren(ctx context.Context, o Options) (*Group, error) {
	g := &Group{o: o}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	err := g.placeChildren()
	if err == nil {
		err = g.start(ctx)
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	for _, m := range g.members {
		g.supervisors.Go(m.supervise)
	}
	return g, nil
}

// placeChildren assigns ports and empty directories to the frontends.
func (g *Group) placeChildren() error {
	claim, https, peers, err := claimBlock(g.o.Size)
	if err != nil {
		return err
	}
	g.claim = claim
	for i := range g.o.Size {
		m := g.newMember("f"+strconv.Itoa(i+1), https[i], peers[i])
		if err := os.RemoveAll(m.f.Dir); err != nil {
			return err
		}
		if err := os.Mkdir(m.f.Dir, 0o700); err != nil {
			return err
		}
		g.members = append(g.members, m)
	}
	return nil
}

func (g *Group) newMember(id, http, peer string) *member {
	m := &member{group: g, f: Frontend{ID: id, HTTP: http, Peer: peer}}
	m.f.Dir, m.f.Log = filepath.Join(g.o.Dir, m.f.ID), filepath.Join(g.o.Dir, m.f.ID+".log")
	return m
}

// start starts the frontends that do not run and waits for all.
func (g *Group) start(ctx context.Context) error {
	if !g.formed {
		// The others join the first one, so it must be ready before them.
		if err := g.startAll(ctx, g.members[:1]); err != nil {
			return err
		}
		g.formed = true
		if g.o.Lifetime == Detached {
			if err := g.save(); err != nil {
				return err
			}
		}
	}
	return g.startAll(ctx, g.members)
}

// startAll starts the frontends of a list that do not run, concurrently: when all of a
// group were down, none becomes ready before a majority runs.
func (g *Group) startAll(ctx context.Context, list []*member) error {
	errs := make([]error, len(list))
	for i, m := range list {
		if m.f.State == Down {
			errs[i] = m.startFirst()
		}
	}
	var waits sync.WaitGroup
	for i, m := range list {
		if errs[i] == nil && m.f.State != Removed {
			waits.Go(func() { errs[i] = m.awaitStart(ctx) })
		}
	}
	waits.Wait()
	return errors.Join(errs...)
}

func (m *member) startFirst() error {
	if m.group.o.Lifetime == Detached {
		for _, addr := range []string{m.f.HTTP, m.f.Peer} {
			if !isFree(addr) {
				return fmt.Errorf("frontend %s belongs at %s, where another process listens; stop that process first "+
					"(if it is this frontend, started with another --run-dir, name that directory)", m.f.ID, addr)
			}
		}
	}
	if err := m.start(); err != nil {
		return err
	}
	m.f.State = Started
	return nil
}

func (m *member) start() error {
	g := m.group
	args := m.f.Args(append([]string{"--run-dir", g.o.RunDir, "--insecure"}, m.entryFlags()...)...)
	cmd := exec.Command(g.o.Program, args...)
	cmd.Env = g.o.Env
	if g.o.Lifetime == Detached {
		cmd.Dir = g.o.Dir // the current directory may be unmounted later
	}
	p, err := StartProcess("frontend "+m.f.ID, m.f.Log, cmd, g.o.Lifetime)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proc, m.f.PID = p, p.PID()
	return nil
}

// entryFlags returns the flags by which a frontend without data enters the group.
func (m *member) entryFlags() []string {
	if !m.group.formed {
		return []string{"--bootstrap"}
	}
	var others []string
	for _, o := range m.group.members {
		if o != m {
			others = append(others, o.frontend().URL())
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []string{"--join", strings.Join(others, ",")}
}

var (
	errEnded     = errors.New("the process has ended")
	errPortTaken = errors.New("taken by another program")
)

// poll calls ready until it returns nil, done is closed or ctx ends. It returns nil, errEnded
// or the cause of ctx.
func poll(ctx context.Context, done <-chan struct{}, ready func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx) == nil {
			return nil
		}
		select {
		case <-done:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// await waits until the frontend is ready or its process has ended.
func (m *member) await(ctx context.Context) error {
	var done <-chan struct{} // nil if this process has not started it
	if m.proc != nil {
		done = m.proc.Done()
	}
	return poll(ctx, done, m.f.ready)
}

// awaitStart waits until the frontend is ready and explains why it is not.
func (m *member) awaitStart(ctx context.Context) error {
	switch err := m.await(ctx); {
	case err == nil:
		return nil
	case !errors.Is(err, errEnded):
		return fmt.Errorf("frontend %s runs (pid %d) but is not ready: %w; the end of %s:\n%s",
			m.f.ID, m.f.PID, err, m.f.Log, logTail(m.f.Log))
	}
	state := m.proc.State()
	m.f.PID, m.f.State = 0, Down
	if m.group.o.Lifetime == Detached && state.ExitCode() == cli.ExitRemoved {
		m.f.State = Removed
		return nil
	}
	if !isFree(m.f.HTTP) || !isFree(m.f.Peer) {
		return fmt.Errorf("the ports of frontend %s (%s, %s) were %w", m.f.ID, m.f.HTTP, m.f.Peer, errPortTaken)
	}
	return fmt.Errorf("frontend %s ended (%s) before it was ready; the end of %s:\n%s",
		m.f.ID, state, m.f.Log, logTail(m.f.Log))
}

// Frontends lists the frontends in the order of their ids.
func (g *Group) Frontends() []Frontend {
	list := make([]Frontend, len(g.members))
	for i, m := range g.members {
		list[i] = m.frontend()
	}
	return list
}

func (m *member) frontend() Frontend {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.f
}

// Close asks all children to end, kills those that do not in time, and returns when they
// are gone. It is not for detached groups.
func (g *Group) Close() {
	g.closing.Do(func() {
		g.cancel()
		g.supervisors.Wait()
		var stops sync.WaitGroup
		for _, m := range g.members {
			if m.proc != nil {
				stops.Go(func() { m.proc.Stop(g.o.StopWithin) })
			}
		}
		stops.Wait()
		if g.claim != nil {
			g.claim.Close()
		}
	})
}

// ready returns nil if the frontend answers and has its vote. A frontend that has just joined
// answers before it has a vote; until then the group does not survive the death of another
// one.
func (f Frontend) ready(ctx context.Context) error {
	if _, err := get(ctx, f.URL()+"/readyz"); err != nil {
		return err
	}
	b, err := get(ctx, f.URL()+"/v1/frontends")
	if err != nil {
		return err
	}
	var list score.Frontends
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if !slices.ContainsFunc(list.Frontends, func(m score.Frontend) bool { return m.ID == f.ID && m.Voter }) {
		return errors.New("it has no vote yet")
	}
	return nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
