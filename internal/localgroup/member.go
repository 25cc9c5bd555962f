package localgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/internal/cli"
	"laurel/score"
)

type member struct {
	group     *Group
	args, env []string // see Options.Enter

	mu   sync.Mutex
	f    Frontend
	proc *Process // nil: this process has not started it
}

func (g *Group) newMember(id, http, peer string) *member {
	m := &member{group: g, f: Frontend{ID: id, HTTP: http, Peer: peer, Secure: g.o.Enter != nil}}
	m.f.Dir, m.f.Log = filepath.Join(g.o.Dir, m.f.ID), filepath.Join(g.o.Dir, m.f.ID+".log")
	return m
}

func (m *member) startFirst() error {
	if m.group.o.Detached {
		for _, addr := range []string{m.f.HTTP, m.f.Peer} {
			if !isFree(addr) {
				return fmt.Errorf("frontend %s belongs at %s, where another process listens; stop that process first "+
					"(if it is this frontend, started with another --run-dir, name that directory)", m.f.ID, addr)
			}
		}
	}
	return m.start()
}

func (m *member) start() error {
	g := m.group
	args := append(m.f.Args("--run-dir", g.o.RunDir), m.entryFlags()...)
	if !m.f.Secure {
		args = append(args, "--insecure")
	}
	args = append(args, m.args...)
	cmd := exec.Command(g.o.Program, args...)
	cmd.Env = slices.Concat(g.o.Env, m.env)
	if g.o.Detached {
		cmd.Dir = g.o.Dir // the current directory may be unmounted later
		// In a session of its own, no Ctrl-C or hangup of the terminal reaches it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	p, err := StartProcess("frontend "+m.f.ID, m.f.Log, cmd)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proc, m.f.PID, m.f.State = p, p.PID(), Started
	return nil
}

// entryFlags returns the flags by which a frontend without data enters the group. One that
// founds it has its own.
func (m *member) entryFlags() []string {
	switch {
	case slices.Contains(m.args, "--bootstrap"):
		return nil
	case !m.group.formed:
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

// await waits until the frontend is ready, or returns errEnded or the cause of ctx.
func (m *member) await(ctx context.Context) error {
	var done <-chan struct{} // nil if this process has not started it
	if m.proc != nil {
		done = m.proc.Done()
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var why error // it was not ready, when it was last asked
	for {
		err := m.f.ready(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || why == nil {
			why = err
		}
		select {
		case <-done:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), why)
		case <-tick.C:
		}
	}
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
	if m.group.o.Detached && state.ExitCode() == cli.ExitRemoved {
		m.f.State = Removed
		return nil
	}
	if !isFree(m.f.HTTP) || !isFree(m.f.Peer) {
		return fmt.Errorf("the ports of frontend %s (%s, %s) were %w", m.f.ID, m.f.HTTP, m.f.Peer, errPortTaken)
	}
	return fmt.Errorf("frontend %s ended (%s) before it was ready; the end of %s:\n%s",
		m.f.ID, state, m.f.Log, logTail(m.f.Log))
}

func (m *member) frontend() Frontend {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.f
}

// ready returns nil if the frontend answers and has its vote, else the reason that it gives.
func (f Frontend) ready(ctx context.Context) error {
	body, _, ok := f.Get(ctx, "/readyz")
	if ok {
		return nil
	}
	var p score.Problem
	if json.Unmarshal(body, &p) == nil && p.Detail != "" {
		return errors.New(p.Detail)
	}
	return errors.New("it does not answer")
}

// Get returns the body and the header of an answer of this frontend. ok is true if it has the
// status 200. Unlike package client, it goes on to no other frontend. It asks in the clear: a
// frontend answers so on its own machine.
func (f Frontend) Get(ctx context.Context, path string) (body []byte, h http.Header, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.HTTP+path, nil)
	if err != nil {
		return nil, nil, false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, false
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.Header, err == nil && resp.StatusCode == http.StatusOK
}

// maxRestartPause bounds the pause between restarts of a frontend that keeps failing.
const maxRestartPause = 30 * time.Second

// Notice reports what happened to a child.
type Notice struct {
	Frontend Frontend
	Kind     Kind
	// Reason is how the process ended, such as "signal: killed", and RestartIn the pause
	// before it is started again; 0 if it is not.
	Reason    string
	RestartIn time.Duration
	// LogTail is the end of the log of a process that ended before it was ready.
	LogTail string
}

// Kind is what happened to a child.
type Kind uint8

const (
	Died         Kind = iota
	Restarted         // and ready
	Left              // removed from the group; it is not restarted
	Contradicted      // its data directory contradicts the group; it is not restarted
)

// supervise restarts the frontend whenever it has died, until the group is closed.
func (m *member) supervise() {
	ctx, o := m.group.ctx, &m.group.o
	ready, pause := true, o.RestartAfter
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.proc.Done():
		}
		switch m.proc.State().ExitCode() {
		case cli.ExitRemoved:
			o.Notify(Notice{Frontend: m.frontend(), Kind: Left})
			return
		case cli.ExitContradiction:
			o.Notify(Notice{Frontend: m.frontend(), Kind: Contradicted, LogTail: m.proc.LogTail()})
			return
		}
		n := Notice{Frontend: m.frontend(), Kind: Died, Reason: m.proc.State().String()}
		if ready {
			pause = o.RestartAfter
		} else {
			n.LogTail, pause = m.proc.LogTail(), nextPause(pause)
		}
		n.RestartIn = pause
		o.Notify(n)
		if pause == 0 || !m.restart(ctx, pause) {
			return
		}
		if ready = m.await(ctx) == nil; ready {
			o.Notify(Notice{Frontend: m.frontend(), Kind: Restarted})
		}
	}
}

// restart tries until a process has started, or reports false if the group is closed.
func (m *member) restart(ctx context.Context, pause time.Duration) bool {
	for ; ; pause = nextPause(pause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		err := m.start()
		if err == nil {
			return true
		}
		m.group.o.Notify(Notice{Frontend: m.frontend(), Kind: Died, Reason: err.Error(), RestartIn: nextPause(pause)})
	}
}

func nextPause(pause time.Duration) time.Duration { return min(2*pause, maxRestartPause) }
