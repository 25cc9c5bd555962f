package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// What is written while one record is read.
const (
	noWrites     = "none"
	writesSame   = "same"   // to the record that is read
	writesOthers = "others" // to other records
)

// Who is asked for one record.
const (
	laurelFollower = "laurel-follower"
	laurelMaster   = "laurel-master"
	bareServer     = "bare" // the same bytes from net/http behind gorilla/mux
	nginxServer    = "nginx"
	etcdFollower   = "etcd-follower" // linearizable, by the HTTP gateway
	etcdLeader     = "etcd-leader"
)

var (
	allTargets = []string{laurelFollower, laurelMaster, bareServer, nginxServer, etcdFollower, etcdLeader}
	allWrites  = []string{noWrites, writesSame, writesOthers}
)

type readsRow struct{ writes, target string }

// reads asks for one record, again and again, with wrk.
func (b *bench) reads(ctx context.Context) error {
	for program, flag := range map[string]string{b.wrk: "wrk", b.nginx: "nginx"} {
		if flag == "nginx" && !slices.Contains(b.targets, nginxServer) {
			continue
		}
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing (apt-get install %s, or give --%s PATH; --targets leaves nginx out): %w", flag, flag, flag, err)
		}
	}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	machine += fmt.Sprintf(" %s, %d threads, %d connections", firstWords(b.wrk), b.threads, b.connections)
	if slices.Contains(b.targets, nginxServer) {
		machine += "; " + firstWords(b.nginx)
	}
	t := &readsTable{rounds: map[readsRow][]measurement{}}
	for _, w := range b.writes {
		for _, target := range b.targets {
			t.rows = append(t.rows, readsRow{w, target})
		}
	}
	fmt.Fprintln(b.out, coresHead)
	for round := 1; round <= b.rounds; round++ {
		if err := b.readsRound(ctx, round, t); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s\n%s", machine, t.markdown(), t.aims())
	return nil
}

// target is who is asked, and what it takes to ask it.
type target struct {
	url, script string
	frontend    string // its URL, if it is one
	cpu         func() (time.Duration, error)
	system      system // that takes the writes
	hot         hotWriters
}

// hotWriters are n writers of the record that is read.
type hotWriters func(ctx context.Context, n int) ([]writer, error)

func (b *bench) readsRound(ctx context.Context, round int, t *readsTable) error {
	dir := filepath.Join(b.work, fmt.Sprintf("reads-%d", round))
	defer os.RemoveAll(dir)
	targets, stop, err := b.startTargets(ctx, dir)
	defer stop()
	if err != nil {
		return err
	}
	rows := slices.Clone(t.rows)
	if round%2 == 0 {
		slices.Reverse(rows)
	}
	for _, row := range rows {
		if err := b.rest(ctx); err != nil {
			return err
		}
		m, err := b.readsCell(ctx, targets[row.target], row)
		if err != nil {
			return fmt.Errorf("%s, writes %s: %w", row.target, row.writes, err)
		}
		t.rounds[row] = append(t.rounds[row], m)
		fmt.Fprintf(b.out, "round %d  writes %-6s  %-15s  %s\n", round, row.writes, row.target, m)
	}
	return nil
}

func (b *bench) readsCell(ctx context.Context, t target, row readsRow) (m measurement, err error) {
	ctx, cancel := b.cell(ctx)
	defer cancel()
	if row.writes != noWrites {
		var list []writer
		if row.writes == writesSame {
			list, err = t.hot(ctx, besidePosters)
		} else {
			list, err = t.system.writers(ctx, newRun(), toAll, besidePosters)
		}
		if err != nil {
			return m, err
		}
		defer closeAll(list)
		var l *load
		ctx, l = startLoad(ctx, list, b.perSecond)
		defer func() {
			err = errors.Join(err, l.stop(ctx, t.system.lastSeq))
			m.beside = l.perSecond()
		}()
	}
	g, ok := t.system.(*frontends)
	if !ok {
		return b.wrkCell(ctx, t)
	}
	before, err := g.epoch(ctx)
	if err != nil {
		return m, err
	}
	if m, err = b.wrkCell(ctx, t); err != nil {
		return m, err
	}
	after, err := g.epoch(ctx)
	m.masters = after - before
	return m, err
}

// wrkCell asks for the warmup, and then for the measured time.
func (b *bench) wrkCell(ctx context.Context, t target) (m measurement, err error) {
	w := wrkRun{program: b.wrk, threads: b.threads, connections: b.connections, duration: b.warmup, url: t.url, script: t.script}
	if b.warmup > 0 {
		if _, _, err := w.run(ctx); err != nil {
			return m, err
		}
	}
	earlier, err1 := t.answered(ctx)
	before, err2 := used(t.cpu)
	if err := errors.Join(err1, err2); err != nil {
		return m, err
	}
	w.duration = b.duration
	m, child, err := w.run(ctx)
	if err != nil {
		return m, err
	}
	after, err1 := used(t.cpu)
	m.cores = after.since(before, child)
	m.ways, err2 = t.answered(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return m, err
	}
	m.ways.add(earlier, -1)
	if n := m.ways["stale"] + m.ways["pulled"]; n > 0 {
		return m, fmt.Errorf("%d answers may not have been true, and nobody consented to that: %s", n, m.ways)
	}
	return m, nil
}

// answered is how a frontend has answered so far; nothing is known of other servers.
func (t target) answered(ctx context.Context) (ways, error) {
	if t.frontend == "" {
		return nil, nil
	}
	return waysOf(ctx, t.frontend)
}

// startTargets starts whatever is asked for. Stop is never nil.
func (b *bench) startTargets(ctx context.Context, dir string) (targets map[string]target, stop func(), err error) {
	targets = map[string]target{}
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	s, err := b.start(ctx, laurelName, dir)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, s.stop)
	g := s.(*frontends)
	p, err := g.hotTargets(ctx, targets)
	if err != nil {
		return nil, stop, err
	}
	static := func(name string, start func() (*process, string, error)) {
		if err != nil || !slices.Contains(b.targets, name) {
			return
		}
		var server *process
		var url string
		if server, url, err = start(); err == nil {
			stops = append(stops, server.kill)
			targets[name] = target{url: url + p.Path, cpu: server.cpu, system: g, hot: targets[laurelMaster].hot}
		}
	}
	static(bareServer, func() (*process, string, error) { return startBare(ctx, dir, p) })
	static(nginxServer, func() (*process, string, error) { return startNginx(ctx, b.nginx, dir, p) })
	if err != nil || !slices.Contains(b.targets, etcdLeader) && !slices.Contains(b.targets, etcdFollower) {
		return targets, stop, err
	}
	e, err := b.start(ctx, etcdName, dir)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, e.stop)
	return targets, stop, e.(*etcdGroup).hotTargets(ctx, dir, p.Body, targets)
}

// hotTargets makes a record, and returns it as a frontend that is not the master gives it.
func (g *frontends) hotTargets(ctx context.Context, targets map[string]target) (*page, error) {
	order, err := g.order(ctx)
	if err != nil {
		return nil, err
	}
	follower, master := order[0], order[len(order)-1]
	hot := newPlays(newRun(), 1, time.Now())
	first, err := newPoster(ctx, master, hot)
	if err != nil {
		return nil, err
	}
	defer first.close()
	const plays = 100 // so that the results have more than one digit
	for range plays {
		if err := first.write(ctx); err != nil {
			return nil, err
		}
	}
	path := "/v1/scores/" + hot.contest
	p, err := fetch(ctx, "http://"+follower, path)
	if err != nil {
		return nil, err
	}
	if mode := p.Header.Get("Laurel-Mode"); mode != "push" {
		return nil, fmt.Errorf("the frontends answer in the mode %q; this measures the mode push", mode)
	}
	writers := func(ctx context.Context, n int) (list []writer, err error) {
		run := newRun()
		for i := range n {
			w, err := newPoster(ctx, order[i%len(order)], hot.joining(run, i+1, time.Now()))
			if err != nil {
				closeAll(list)
				return nil, err
			}
			list = append(list, w)
		}
		return list, nil
	}
	for name, addr := range map[string]string{laurelFollower: follower, laurelMaster: master} {
		targets[name] = target{url: "http://" + addr + path, frontend: "http://" + addr, cpu: g.cpu, system: g, hot: writers}
	}
	return p, nil
}

// rangeScript has wrk ask etcd's gateway for a key.
const rangeScript = `wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"key":"%s"}'
`

func (g *etcdGroup) hotTargets(ctx context.Context, dir string, value []byte, targets map[string]target) error {
	order, err := g.order(ctx)
	if err != nil {
		return err
	}
	source := newPlays(newRun(), 1, time.Now()).source
	if _, err := g.admin.Put(ctx, hotKey(source), string(value)); err != nil {
		return err
	}
	script := filepath.Join(dir, "range.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, rangeScript, base64.StdEncoding.EncodeToString([]byte(hotKey(source)))), 0o600); err != nil {
		return err
	}
	writers := func(ctx context.Context, n int) ([]writer, error) {
		list, err := g.writers(ctx, newRun(), toAll, n)
		if err != nil {
			return nil, err
		}
		has, err := g.lastSeq(ctx, source)
		for i, w := range list {
			p := w.(*putter)
			p.hot, p.value = source, value
			if i == 0 {
				p.before = has
			}
		}
		return list, err
	}
	for name, endpoint := range map[string]string{etcdFollower: order[0], etcdLeader: order[len(order)-1]} {
		targets[name] = target{url: "http://" + endpoint + "/v3/kv/range", script: script, cpu: g.cpu, system: g, hot: writers}
	}
	return nil
}
