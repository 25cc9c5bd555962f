package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// frontends is a group of Laurel frontends, and what loads them.
type frontends struct {
	processes []*process
	urls      []string
}

const groupSize = 3

// startFrontends starts a group with new data directories under dir, and waits until all of it serves. Each is at a site of its own, or all on the loopback
// where none are given.
func startFrontends(ctx context.Context, program, dir string, args []string, sites ...*site) (g *frontends, err error) {
	g = &frontends{}
	started := g // an error returns none
	defer func() {
		if err != nil {
			started.stop()
		}
	}()
	ports, at, err := ground(sites)
	if err != nil {
		return nil, err
	}
	for i := range groupSize {
		id := fmt.Sprintf("f%d", i+1)
		data := filepath.Join(dir, id)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		flags := []string{"frontend", "--id", id, "--data", data, "--http", ports[2*i], "--peer", ports[2*i+1], "--log-level", "warn", "--insecure"}
		if i == 0 {
			flags = append(flags, "--bootstrap")
		} else {
			flags = append(flags, "--join", g.urls[0])
		}
		p, err := at[i].start(id, dir, program, append(flags, args...)...)
		if err != nil {
			return nil, err
		}
		g.processes = append(g.processes, p)
		g.urls = append(g.urls, "http://"+ports[2*i])
		if err := p.await(ctx, func(ctx context.Context) error { return get(ctx, g.urls[i]+"/readyz", nil) }); err != nil {
			return nil, err
		}
	}
	return g, g.processes[0].await(ctx, g.allServe)
}

// allServe tells whether every frontend serves as a voter and, in push mode, has a lease.
func (g *frontends) allServe(ctx context.Context) error {
	var list score.Frontends
	if err := get(ctx, g.urls[0]+"/v1/frontends", &list); err != nil {
		return err
	}
	voters := 0
	for _, f := range list.Frontends {
		if f.State == score.Serving && f.Voter {
			voters++
		}
		if list.Mode == score.Push && !f.Leased {
			return fmt.Errorf("%s has no lease", f.ID)
		}
	}
	if voters != groupSize {
		return fmt.Errorf("%d of %d frontends serve as voters", voters, groupSize)
	}
	_, err := g.order(ctx)
	return err
}

func (g *frontends) name() string { return laurelName }

func (g *frontends) stop() {
	for _, p := range g.processes {
		p.kill()
	}
}

func (g *frontends) cpu() (time.Duration, error) { return sumCPU(g.processes) }

func (g *frontends) members(ctx context.Context) ([]score.Frontend, error) {
	var list score.Frontends
	err := get(ctx, g.urls[0]+"/v1/frontends", &list)
	return list.Frontends, err
}

// epoch is the term in which the master serves: one more with each election.
func (g *frontends) epoch(ctx context.Context) (uint64, error) {
	var list score.Frontends
	err := get(ctx, g.urls[0]+"/v1/frontends", &list)
	return list.Epoch, err
}

// order is the frontends' addresses, the master last.
func (g *frontends) order(ctx context.Context) ([]string, error) {
	list, err := g.members(ctx)
	if err != nil {
		return nil, err
	}
	var others []string
	master := ""
	for _, f := range list {
		if addr := strings.TrimPrefix(f.URL, "http://"); f.Master {
			master = addr
		} else {
			others = append(others, addr)
		}
	}
	if master == "" {
		return nil, errors.New("no frontend says that it is the master")
	}
	return append(others, master), nil
}

// targets is whom n connections go to.
func (g *frontends) targets(ctx context.Context, to string, n int) ([]string, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	if to == toMaster {
		order = order[len(order)-1:]
	}
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = order[i%len(order)]
	}
	return addrs, nil
}

func (g *frontends) writers(ctx context.Context, run, to string, n int) ([]writer, error) {
	addrs, err := g.targets(ctx, to, n)
	if err != nil {
		return nil, err
	}
	var list []writer
	for i, addr := range addrs {
		p, err := newPoster(ctx, addr, newPlays(run, i+1, time.Now()))
		if err != nil {
			closeAll(list)
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// lastSeq is what the store says it has of a source.
func (g *frontends) lastSeq(ctx context.Context, source string) (uint64, error) {
	var b score.Bard
	err := get(ctx, g.urls[0]+"/v1/bards/"+source, &b)
	return b.LastSeq, err
}

// get reads JSON into v, or nothing where v is nil.
func get(ctx context.Context, url string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s: %s", url, res.Status, clip(body))
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
