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
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/internal/pidfile"
	"laurel/trust/pki"
)

// Options describe a group and how its frontends are started.
type Options struct {
	// Dir holds all data and logs. A group of children starts with empty data.
	Dir string
	// Size is the number of frontends. For a detached group it is the least number, and 0
	// means as many as there are, or three.
	Size     int
	Program  string   // the path of laurel
	Env      []string // of the frontends
	RunDir   string   // the directory of their pid files
	Detached bool     // the frontends outlive this process and its terminal

	// Enter makes the group a secure one. It is called for one frontend after the other, when
	// those before it are ready, and returns what to add to the arguments and to the environment
	// of that one. nil: the frontends are started with --insecure.
	Enter func(ctx context.Context, f Frontend) (args, env []string, err error)

	// RestartAfter is the pause before a child that died is started again. 0: it is not.
	RestartAfter time.Duration
	// Notify, if not nil, is called when something happens to a child after Start. It is
	// called by several goroutines and must not call Close.
	Notify func(Notice)

	// StartWithin bounds Start (0: 30 s), StopWithin the end of a child (0: 5 s).
	StartWithin, StopWithin time.Duration
}

// defaultSize is the least number of frontends that survives the death of one.
const defaultSize = 3

// Group is a group of running frontends. It is safe for concurrent use.
type Group struct {
	o       Options
	members []*member
	formed  bool           // the first frontend has bootstrapped the group
	claims  []net.Listener // of the ports of children

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

	Secure bool `json:"-"` // it has a certificate
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
func (f Frontend) URL() string {
	if f.Secure {
		return "https://" + f.HTTP
	}
	return "http://" + f.HTTP
}

// Args returns the arguments of laurel that run the frontend, followed by more.
func (f Frontend) Args(more ...string) []string {
	args := []string{"frontend", "--id", f.ID, "--data", f.Dir, "--http", f.HTTP, "--peer", f.Peer}
	return append(args, more...)
}

// Start starts the frontends that do not run yet and waits until all of them are ready.
// If it fails, no child stays behind; detached frontends that were started stay, and the
// group is returned together with the error.
func Start(ctx context.Context, o Options) (*Group, error) {
	o.StartWithin = cmp.Or(o.StartWithin, 30*time.Second)
	o.StopWithin = cmp.Or(o.StopWithin, 5*time.Second)
	if o.Notify == nil {
		o.Notify = func(Notice) {}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartWithin, fmt.Errorf("not ready within %s", o.StartWithin))
	defer cancel()
	if o.Detached {
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
	for range g.o.Size {
		m, claim, err := g.addMember()
		if err != nil {
			return err
		}
		g.claims = append(g.claims, claim)
		if err := errors.Join(os.RemoveAll(m.f.Dir), os.Mkdir(m.f.Dir, 0o700)); err != nil {
			return err
		}
	}
	return nil
}

// The first ports are those that the commands and the documentation take for granted.
// They lie below the range that systems use for outgoing connections, so that a restarted
// frontend finds its ports free.
const (
	firstHTTP  = 8001
	firstPeer  = 9001
	firstClaim = 10001
	portCount  = 900 // of each kind
)

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func isFree(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// addMember adds a frontend at free ports. claim reserves them until it is closed, also
// while the frontend is down: other groups leave out the ports whose claim is taken.
func (g *Group) addMember() (m *member, claim net.Listener, err error) {
	for n := range portCount {
		http, peer := loopback(firstHTTP+n), loopback(firstPeer+n)
		taken := func(m *member) bool { return m.f.HTTP == http || m.f.Peer == peer }
		if slices.ContainsFunc(g.members, taken) {
			continue
		}
		claim, err := net.Listen("tcp", loopback(firstClaim+n))
		if err != nil {
			continue
		}
		if isFree(http) && isFree(peer) {
			m := g.newMember("f"+strconv.Itoa(len(g.members)+1), http, peer)
			g.members = append(g.members, m)
			return m, claim, nil
		}
		claim.Close()
	}
	return nil, nil, fmt.Errorf("no port of 127.0.0.1 between %d and %d is free together with the one %d above it",
		firstHTTP, firstHTTP+portCount-1, firstPeer-firstHTTP)
}

// start starts the frontends that do not run and waits for all.
func (g *Group) start(ctx context.Context) error {
	if g.o.Enter != nil {
		return g.startSecure(ctx)
	}
	if !g.formed {
		// The others join the first one, so it must be ready before them.
		if err := g.startAll(ctx, g.members[:1]); err != nil {
			return err
		}
		g.formed = true
		if g.o.Detached {
			if err := g.save(); err != nil {
				return err
			}
		}
	}
	return g.startAll(ctx, g.members)
}

// startSecure starts one frontend after the other.
func (g *Group) startSecure(ctx context.Context) (err error) {
	for i, m := range g.members {
		if m.args, m.env, err = g.o.Enter(ctx, m.frontend()); err != nil {
			return fmt.Errorf("what frontend %s needs to enter the group: %w", m.f.ID, err)
		}
		if err := g.startAll(ctx, g.members[i:i+1]); err != nil {
			return err
		}
		g.formed = true
	}
	return nil
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

// Frontends lists the frontends in the order of their ids.
func (g *Group) Frontends() []Frontend {
	list := make([]Frontend, len(g.members))
	for i, m := range g.members {
		list[i] = m.frontend()
	}
	return list
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
		for _, claim := range g.claims {
			claim.Close()
		}
	})
}

const (
	groupFile = "group.json"
	lockFile  = "up.lock"
)

// savedGroup is what is kept of a detached group beside its data.
type savedGroup struct {
	// Formed: the first frontend has bootstrapped the group. A second bootstrap, in an
	// empty directory, would make another group.
	Formed    bool       `json:"formed"`
	Frontends []Frontend `json:"frontends"`
}

// startDetached starts what is missing in o.Dir. What it started stays if it fails.
func startDetached(ctx context.Context, o Options) (*Group, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, "member.json")); err == nil {
		return nil, fmt.Errorf("%s is the data directory of one frontend; a group needs a directory of its own", o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the group: %w", err)
	}
	unlock, err := pidfile.Lock(filepath.Join(o.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("another command starts frontends in %s at the moment: %w", o.Dir, err)
	}
	defer unlock()
	g := &Group{o: o}
	if err := g.load(); err != nil {
		return nil, err
	}
	if err := g.findRunning(); err != nil {
		return nil, err
	}
	return g, g.start(ctx)
}

// load reads the saved group and adds frontends until there are as many as asked for.
func (g *Group) load() error {
	path := filepath.Join(g.o.Dir, groupFile)
	var saved savedGroup
	b, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(b, &saved); err != nil {
			return fmt.Errorf("%s is damaged: %w; it holds the ids and addresses of the frontends, "+
				"which the logs beside it name, too", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	g.formed = saved.Formed
	for _, f := range saved.Frontends {
		g.members = append(g.members, g.newMember(f.ID, f.HTTP, f.Peer))
	}
	size := g.o.Size
	if size == 0 && len(g.members) == 0 {
		size = defaultSize
	}
	if len(g.members) >= size {
		return nil
	}
	for len(g.members) < size {
		_, claim, err := g.addMember()
		if err != nil {
			return err
		}
		claim.Close()
	}
	return g.save()
}

func (g *Group) save() error {
	b, err := json.Marshal(&savedGroup{g.formed, g.Frontends()}, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	return pki.WritePrivateFile(filepath.Join(g.o.Dir, groupFile), append(b, '\n'))
}

// findRunning finds the frontends that run by their pid files.
func (g *Group) findRunning() error {
	list, err := pidfile.List(g.o.RunDir)
	if err != nil {
		return err
	}
	defer pidfile.CloseAll(list)
	for _, p := range list {
		for _, m := range g.members {
			if p.Kind == pidfile.Frontend && p.Data == m.f.Dir {
				m.f.PID, m.f.State = p.PID, Running
			}
		}
	}
	return nil
}
