package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"laurel/score"
)

type modeRow struct {
	posters int
	mode    score.CacheMode
}

// pushcost loads one group in the modes push and pull, in turn.
func (b *bench) pushcost(ctx context.Context) error {
	b.systems = []string{laurelName}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	t := &modeTable{counts: b.pushPosters, rounds: map[modeRow][]measurement{}}
	fmt.Fprintln(b.out, coresHead)
	for round := 1; round <= b.rounds; round++ {
		if err := b.modeRound(ctx, round, t); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, t.markdown())
	return nil
}

func (b *bench) modeRound(ctx context.Context, round int, t *modeTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("pushcost-%d", round))
	defer os.RemoveAll(dir)
	s, err := b.start(ctx, laurelName, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	g := s.(*frontends)
	for i, n := range t.counts {
		modes := []score.CacheMode{score.Push, score.Pull}
		if (round+i)%2 == 0 {
			modes[0], modes[1] = modes[1], modes[0]
		}
		for _, mode := range modes {
			if err := g.setMode(ctx, mode); err != nil {
				return err
			}
			if err := b.rest(ctx); err != nil {
				return err
			}
			m, err := b.postsCell(ctx, g, postsRow{b.pushTo, n})
			if err != nil {
				return fmt.Errorf("%d posters in the mode %s: %w", n, mode, err)
			}
			if err := g.inMode(ctx, mode); err != nil {
				return fmt.Errorf("after %d posters: %w", n, err)
			}
			row := modeRow{n, mode}
			t.rounds[row] = append(t.rounds[row], m)
			fmt.Fprintf(b.out, "round %d  %s  %4d posters  %s\n", round, mode, n, m)
		}
	}
	return nil
}

// setMode switches the group, and waits until all of it has.
func (g *frontends) setMode(ctx context.Context, mode score.CacheMode) error {
	if err := send(ctx, http.MethodPut, g.urls[0]+"/v1/cluster/cache", fmt.Sprintf(`{"mode":%q}`, mode)); err != nil {
		return err
	}
	return g.processes[0].await(ctx, func(ctx context.Context) error { return g.inMode(ctx, mode) })
}

// inMode tells whether every frontend knows the mode, and has a lease where that belongs to it.
func (g *frontends) inMode(ctx context.Context, mode score.CacheMode) error {
	for i, url := range g.urls {
		var list score.Frontends
		if err := get(ctx, url+"/v1/frontends", &list); err != nil {
			return err
		}
		if list.Mode != mode {
			return fmt.Errorf("%s is in the mode %q; want %q", g.processes[i].name, list.Mode, mode)
		}
		for _, f := range list.Frontends {
			if f.Leased != (mode == score.Push) {
				return fmt.Errorf("%s has a lease: %t, in the mode %s", f.ID, f.Leased, mode)
			}
		}
	}
	return nil
}

// send sends JSON to a frontend that should do what it says.
func send(ctx context.Context, method, url, body string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s %s: status %s: %s", method, url, res.Status, clip(said)))
	}
	return err
}

// modeTable is the rounds of every cell.
type modeTable struct {
	counts []int
	rounds map[modeRow][]measurement
}

func (t *modeTable) markdown() string {
	head := []string{"posters"}
	for _, mode := range []score.CacheMode{score.Push, score.Pull} {
		head = append(head, string(mode)+" events/s (least-most)", "p50 ms", "p99 ms", coresHead)
	}
	head = append(head, "push : pull events/s", "push : pull p50", "push - pull p50 ms")
	var rows [][]string
	for _, n := range t.counts {
		push, pull := t.rounds[modeRow{n, score.Push}], t.rounds[modeRow{n, score.Pull}]
		row := append([]string{strconv.Itoa(n)}, cells(push)...)
		row = append(row, cells(pull)...)
		rows = append(rows, append(row, ratio(push, pull, perSecond), ratio(push, pull, p50), millis(time.Duration(median(push, p50)-median(pull, p50)))))
	}
	return markdown(head, rows)
}
