// Package children runs a few frontends as processes of their own, on free ports of the loopback, and starts again whichever dies.
// They end when the group is closed, and on Linux also when the process that runs them is killed.
//
// It knows nothing of the frontends' flags: the caller says how one is started.
package children

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"laurel/cmd/laurel/local"
)

// Options say what a Group runs.
type Options struct {
	// Dir has the data and the logs of all frontends. It must be there.
	Dir string
	// Size is how many frontends there are, at most 9.
	Size int
	// Command starts a frontend. The first of a group is up before the others are started. Output and attributes are the group's business.
	Command func(f, first Frontend) *exec.Cmd
	// Notice, where given, is told what happens to the frontends after Start. It is called by several goroutines and must not call Close.
	Notice func(Notice)

	// StartWithin bounds Start, StopWithin what a child may take to end before it is killed, RestartAfter is the pause before a dead
	// one is started again. 0: the defaults below.
	StartWithin, StopWithin, RestartAfter time.Duration
}

// Defaults of Options.
const (
	DefaultStartWithin  = 30 * time.Second
	DefaultStopWithin   = 5 * time.Second
	DefaultRestartAfter = 3 * time.Second
)

// Frontend is where a child is.
type Frontend struct {
	ID   string // f1, f2 ...
	HTTP string // host:port
	Peer string // host:port
	Data string // directory
	Log  string // file
	PID  int    // of the present or last process
}

// URL is where clients reach the frontend.
func (f Frontend) URL() string { return "http://" + f.HTTP }

// Notice says what has happened to a frontend.
type Notice struct {
	Frontend Frontend
	What     What
	// How is the way in which it died: "signal: killed", and Again the pause before it is started again.
	How   string
	Again time.Duration
	// Tail is the end of its log, where it died before it was ready.
	Tail string
}

// What may happen to a frontend.
type What uint8

const (
	Died  What = iota // and will be started again
	Back              // started again, and ready
	Left              // removed from the group by somebody; it is not started again
	Unfit             // its data directory contradicts the group; it is not started again
)

// Group is a number of frontends that run. It is safe for concurrent use.
type Group struct {
	o        Options
	children []*child
	starts   chan start
	claim    net.Listener // of its block of ports
	ctx      context.Context
	cancel   context.CancelFunc
	keepers  sync.WaitGroup
	closing  sync.Once
}

// Start starts the frontends and waits until all of them are ready.
func Start(ctx context.Context, o Options) (*Group, error) {
	if o.StartWithin == 0 {
		o.StartWithin = DefaultStartWithin
	}
	if o.StopWithin == 0 {
		o.StopWithin = DefaultStopWithin
	}
	if o.RestartAfter == 0 {
		o.RestartAfter = DefaultRestartAfter
	}
	if o.Notice == nil {
		o.Notice = func(Notice) {}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.StartWithin, fmt.Errorf("not ready within %s", o.StartWithin))
	defer cancel()
	for {
		g, err := startOnce(ctx, o)
		// Somebody else may have taken a port between our look and the frontend's.
		if taken := (*portTakenError)(nil); errors.As(err, &taken) && ctx.Err() == nil {
			continue
		}
		return g, err
	}
}

func startOnce(ctx context.Context, o Options) (*Group, error) {
	g := &Group{o: o, starts: make(chan start)}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go g.starter()
	if err := g.place(); err != nil {
		g.Close()
		return nil, err
	}
	for i, c := range g.children {
		if err := c.start(); err != nil {
			g.Close()
			return nil, err
		}
		// The others join the first, so it has to be there; they come up side by side.
		if i == 0 || i == len(g.children)-1 {
			if err := g.awaitAll(ctx, g.children[:i+1]); err != nil {
				g.Close()
				return nil, err
			}
		}
	}
	for _, c := range g.children {
		g.keepers.Go(c.keep)
	}
	return g, nil
}

// place gives every child its ports and directories.
func (g *Group) place() error {
	https, peers, err := g.ports()
	if err != nil {
		return err
	}
	for i := range g.o.Size {
		f := Frontend{ID: "f" + strconv.Itoa(i+1), HTTP: https[i], Peer: peers[i]}
		f.Data, f.Log = filepath.Join(g.o.Dir, f.ID), filepath.Join(g.o.Dir, f.ID+".log")
		if err := os.RemoveAll(f.Data); err != nil {
			return err
		}
		if err := os.Mkdir(f.Data, 0o700); err != nil {
			return err
		}
		g.children = append(g.children, &child{group: g, at: f, first: f})
		g.children[i].first = g.children[0].at
	}
	return nil
}

// ports claims a block and finds the addresses in it on which nobody listens. Without the claim another group could take the ports of a
// frontend that is down, and answer in its place.
func (g *Group) ports() (https, peers []string, err error) {
	for from := 0; from < local.Ports; from += local.Block {
		claim, err := net.Listen("tcp", local.Claim(from))
		if err != nil {
			continue
		}
		https, peers := freePorts(local.FirstHTTP+from), freePorts(local.FirstPeer+from)
		if min(len(https), len(peers)) >= g.o.Size {
			g.claim = claim
			return https, peers, nil
		}
		claim.Close()
	}
	return nil, nil, fmt.Errorf("no %d ports of 127.0.0.1 are free together between %d and %d and between %d and %d",
		g.o.Size, local.FirstHTTP, local.FirstHTTP+local.Ports-1, local.FirstPeer, local.FirstPeer+local.Ports-1)
}

// freePorts lists the addresses of a block on which nobody listens; its last belongs to the claim.
func freePorts(from int) (list []string) {
	for port := from; port < from+local.Block-1; port++ {
		if addr := local.Address(port); local.Free(addr) {
			list = append(list, addr)
		}
	}
	return list
}

// awaitAll waits until all of the children are ready, or one of them has ended.
func (g *Group) awaitAll(ctx context.Context, children []*child) error {
	for _, c := range children {
		switch c.await(ctx) {
		case ready:
		case ended:
			if !local.Free(c.at.HTTP) || !local.Free(c.at.Peer) {
				return &portTakenError{c.at}
			}
			return fmt.Errorf("frontend %s has ended (%s) before it was ready; the end of its log:\n%s", c.at.ID, c.how(), c.tail())
		case stopped:
			return fmt.Errorf("frontend %s: %w; the end of its log:\n%s", c.at.ID, context.Cause(ctx), c.tail())
		}
	}
	return nil
}

type portTakenError struct{ f Frontend }

func (e *portTakenError) Error() string {
	return fmt.Sprintf("the ports of %s (%s, %s) were taken by another program", e.f.ID, e.f.HTTP, e.f.Peer)
}

// Frontends lists the children, in the order of their ids.
func (g *Group) Frontends() []Frontend {
	list := make([]Frontend, len(g.children))
	for i, c := range g.children {
		list[i] = c.frontend()
	}
	return list
}

// Close asks all children to end, kills those that do not, and returns when they are gone.
func (g *Group) Close() {
	g.closing.Do(func() {
		g.cancel()
		g.keepers.Wait()
		var stops sync.WaitGroup
		for _, c := range g.children {
			stops.Go(c.stop)
		}
		stops.Wait()
		close(g.starts)
		if g.claim != nil {
			g.claim.Close()
		}
	})
}

// start asks the starter for a process.
type start struct {
	cmd  *exec.Cmd
	done chan error
}

// starter starts all children from one thread, which stays as long as they do: Linux kills a child that asked for it when the
// thread that started it ends, not the process.
func (g *Group) starter() {
	runtime.LockOSThread()
	for s := range g.starts {
		s.done <- s.cmd.Start()
	}
}

// answers tells whether a GET succeeds.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
