package standing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/cmd/laurel/local"
	"laurel/internal/cli"
	"laurel/score"
)

// start starts the frontends that do not run and waits for all.
func (g *Group) start(ctx context.Context) error {
	if !g.Formed {
		// The others join the first, so it has to be there.
		first := g.Frontends[:1]
		if err := g.startAll(ctx, first); err != nil {
			return err
		}
		g.Formed = true
		if err := g.save(); err != nil {
			return err
		}
	}
	return g.startAll(ctx, g.Frontends)
}

// startAll starts those of the frontends that do not run, side by side: after all were down, none is ready before most are there.
func (g *Group) startAll(ctx context.Context, list []*Frontend) error {
	ends := make([]<-chan *os.ProcessState, len(list))
	errs := make([]error, len(list))
	for i, f := range list {
		if f.State == Down {
			if ends[i], errs[i] = g.run(f); errs[i] == nil {
				f.State = Started
			}
		}
	}
	var waits sync.WaitGroup
	for i, f := range list {
		if errs[i] == nil && f.State != Removed {
			waits.Go(func() { errs[i] = g.await(ctx, f, ends[i]) })
		}
	}
	waits.Wait()
	return errors.Join(errs...)
}

// run starts a frontend that does not end with this process or its terminal. ended gets how it ended, while this process is there.
func (g *Group) run(f *Frontend) (ended <-chan *os.ProcessState, err error) {
	for _, addr := range []string{f.HTTP, f.Peer} {
		if !local.Free(addr) {
			return nil, fmt.Errorf("%s was at %s, where another process listens now; end that one (if it is the frontend itself, started with another --run-dir, name that)", f.ID, addr)
		}
	}
	log, err := os.OpenFile(g.Log(f), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append([]string{"frontend", "--id", f.ID, "--data", g.data(f), "--http", f.HTTP, "--peer", f.Peer, "--run-dir", g.o.RunDir, "--insecure"}, g.entry(f)...)
	cmd := exec.Command(g.o.Program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.SysProcAttr = log, log, g.o.Env, attributes()
	cmd.Dir = g.o.Dir // and not wherever somebody happened to be, who may want to unmount that
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", f.ID, err)
	}
	f.PID = cmd.Process.Pid
	end := make(chan *os.ProcessState, 1)
	go func() {
		_ = cmd.Wait() // what it says is in ProcessState
		end <- cmd.ProcessState
	}()
	return end, nil
}

// await waits until a frontend is ready, or has ended.
func (g *Group) await(ctx context.Context, f *Frontend, ended <-chan *os.ProcessState) error {
	const often = 50 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		if ready(ctx, f) {
			return nil
		}
		select {
		case state := <-ended:
			f.PID, f.State = 0, Down
			if state.ExitCode() == cli.ExitRemoved {
				f.State = Removed
				return nil
			}
			return fmt.Errorf("%s has ended (%s) before it was ready; the end of %s:\n%s", f.ID, state, g.Log(f), local.LogEnd(g.Log(f)))
		case <-ctx.Done():
			return fmt.Errorf("%s runs (pid %d) but is not ready: %w; the end of %s:\n%s", f.ID, f.PID, context.Cause(ctx), g.Log(f), local.LogEnd(g.Log(f)))
		case <-tick.C:
		}
	}
}

// ready tells whether a frontend can answer, and has its vote: it can answer before, but then the group does not survive the first one's death.
func ready(ctx context.Context, f *Frontend) bool {
	if _, err := get(ctx, f.URL()+"/readyz"); err != nil {
		return false
	}
	b, err := get(ctx, f.URL()+"/v1/frontends")
	if err != nil {
		return false
	}
	var seen score.Frontends
	if err := json.Unmarshal(b, &seen); err != nil {
		return false
	}
	return slices.ContainsFunc(seen.Frontends, func(m score.Frontend) bool { return m.ID == f.ID && m.Voter })
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
		return nil, fmt.Errorf("%s says %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
