package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
)

// What is written while a record is read.
const (
	noWrites     = "none"
	writesSame   = "same"   // to the record that is read
	writesOthers = "others" // to other records
)

// Who is asked for the record.
const (
	laurelFollower = "laurel-follower"
	laurelMaster   = "laurel-master"
	nginxServer    = "nginx"
	etcdFollower   = "etcd-follower" // linearizable, by the HTTP gateway
	etcdLeader     = "etcd-leader"
)

// readConnections is the number of connections of wrk and redis-benchmark.
const readConnections = 64

// scheduledWriters is enough that each writer of a thousand events a second has time for
// a slow answer.
const scheduledWriters = 32

type readsCell struct{ writes, target string }

// reads is the options of the experiment.
type reads struct {
	*bench
	targets, writes []string
	writeRate       float64
}

func readsCommand(b *bench) *cobra.Command {
	r := &reads{bench: b}
	allTargets := []string{laurelFollower, laurelMaster, nginxServer, etcdFollower, etcdLeader}
	allWrites := []string{noWrites, writesSame, writesOthers}
	return b.command("reads", "Linearizable reads of one record, beside nginx and etcd, idle and while it is written",
		"wrk asks for one record over 64 connections, each server in turn. nginx serves the same bytes from a file: it is the limit. etcd\n"+
			"serves a value of the same size, linearizable, by its HTTP gateway. Needs wrk and nginx\n"+
			"(apt-get install wrk nginx).",
		func(f *pflag.FlagSet) {
			f.StringSliceVar(&r.targets, "targets", allTargets, "servers to ask, in turn")
			f.StringSliceVar(&r.writes, "writes", allWrites, "what is written meanwhile")
			number(f, &r.writeRate, "write-rate", 1000.0, 1, 100_000, "events/s that are written meanwhile")
		},
		func(ctx context.Context) error {
			err := errors.Join(oneOf(allTargets, r.targets), oneOf(allWrites, r.writes), lookPath("wrk", "wrk"))
			if err != nil {
				return err
			}
			_, err = r.experiment().run(ctx, b)
			return err
		})
}

// target is a server that is asked for the record.
type target struct {
	url, script string // the script, in Lua, makes the requests of wrk; it may be ""
	frontend    string // its host:port, if it is a frontend
	processes   []*localgroup.Process
	system      system // that takes the writes
	hot         func(ctx context.Context, n int) ([]load.Writer, error)
}

func (r *reads) experiment() *experiment[map[string]target, readsCell] {
	x := &experiment[map[string]target, readsCell]{
		name:    "reads",
		heads:   []string{"writes to", "asked"},
		labels:  func(c readsCell) []string { return []string{c.writes, c.target} },
		start:   r.start,
		measure: r.measure,
	}
	to := func(other map[string]string) func(readsCell) (readsCell, bool) {
		return func(c readsCell) (readsCell, bool) {
			o, ok := other[c.target]
			return readsCell{c.writes, o}, ok
		}
	}
	idle := func(c readsCell) (readsCell, bool) { return readsCell{noWrites, c.target}, c.writes != noWrites }
	x.columns = append([]column[readsCell]{medianOf[readsCell]("events/s written", beside, thousands)},
		append(loadColumns[readsCell]("reads/s"),
			ratioTo("reads/s : nginx's", perSecond, to(map[string]string{laurelFollower: nginxServer, laurelMaster: nginxServer})),
			ratioTo("reads/s : etcd's", perSecond, to(map[string]string{laurelFollower: etcdFollower, laurelMaster: etcdLeader})),
			ratioTo("reads/s : idle", perSecond, idle), ratioTo("p99 : p99 idle", p99, idle),
			answersOf[readsCell]())...)
	for _, w := range r.writes {
		for _, t := range r.targets {
			x.cells = append(x.cells, readsCell{w, t})
		}
	}
	return x
}

// start starts the servers that are asked, and makes the record.
func (r *reads) start(ctx context.Context, dir string, _ readsCell) (_ map[string]target, stop func(), err error) {
	targets := map[string]target{}
	g, stop, err := r.startFrontends(ctx, filepath.Join(dir, laurelName), groupSize, false)
	if err != nil {
		return nil, nil, err
	}
	path, body, err := g.hotTargets(ctx, targets)
	if err == nil && (slices.Contains(r.targets, etcdLeader) || slices.Contains(r.targets, etcdFollower)) {
		var e *etcdGroup
		if e, err = startEtcd(ctx, r.etcd, filepath.Join(dir, etcdName)); err == nil {
			stop = func() { e.stop(); g.stop() }
			err = e.hotTargets(ctx, dir, body, targets)
		}
	}
	if err == nil && slices.Contains(r.targets, nginxServer) {
		var p *localgroup.Process
		var url string
		if p, url, err = startNginx(ctx, dir, path, body); err == nil {
			targets[nginxServer] = target{
				url: url + path, processes: []*localgroup.Process{p}, system: g, hot: targets[laurelMaster].hot,
			}
			stopSystems := stop
			stop = func() { p.Stop(time.Second); stopSystems() }
		}
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return targets, stop, nil
}

func (r *reads) measure(ctx context.Context, targets map[string]target, c readsCell) (figures, error) {
	t := targets[c.target]
	ask := func(ctx context.Context) (figures, error) { return r.wrk(ctx, t) }
	switch c.writes {
	case writesSame:
		return r.whileWriting(ctx, t.system, t.hot, r.writeRate, ask)
	case writesOthers:
		others := func(ctx context.Context, n int) ([]load.Writer, error) { return t.system.writers(ctx, toAll, n) }
		return r.whileWriting(ctx, t.system, others, r.writeRate, ask)
	}
	return ask(ctx)
}

// whileWriting runs the load while writers write on a schedule, and verifies what they
// wrote to s unless it is nil.
func (b *bench) whileWriting(
	ctx context.Context, s system, make func(ctx context.Context, n int) ([]load.Writer, error), rate float64,
	run func(context.Context) (figures, error),
) (figures, error) {
	writers, err := make(ctx, scheduledWriters)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(writers)
	loadCtx, scheduled := load.StartScheduled(ctx, writers, rate)
	f, runErr := run(loadCtx)
	written, err := scheduled.Stop(loadCtx)
	if err := errors.Join(runErr, err); err != nil {
		return nil, err
	}
	f[beside] = written
	if s != nil {
		err = verify(ctx, s, writers...)
	}
	return f, err
}

// hotTargets makes a record in a group of frontends and returns its path and body.
func (g *frontends) hotTargets(ctx context.Context, targets map[string]target) (path string, body []byte, err error) {
	order, err := g.order(ctx)
	if err != nil {
		return "", nil, err
	}
	follower, master := order[0], order[len(order)-1]
	hot := load.NewPlays(load.NewRun(), 1)
	first, err := load.NewPoster(ctx, master, hot)
	if err != nil {
		return "", nil, err
	}
	defer first.Close()
	const plays = 100 // so that results have more than one digit
	for range plays {
		if err := first.Write(ctx); err != nil {
			return "", nil, err
		}
	}
	path = "/v1/scores/" + hot.Contest()
	header, body, err := call(ctx, http.MethodGet, "http://"+follower+path, "", nil)
	if err != nil {
		return "", nil, err
	}
	if mode := header.Get("Laurel-Mode"); mode != "push" {
		return "", nil, fmt.Errorf("the frontends answer in the mode %q; want push", mode)
	}
	writers := func(ctx context.Context, n int) ([]load.Writer, error) {
		run := load.NewRun()
		return g.posters(ctx, toAll, n, func(i int) *load.Plays { return hot.Join(run, i+1) })
	}
	for name, addr := range map[string]string{laurelFollower: follower, laurelMaster: master} {
		targets[name] = target{url: "http://" + addr + path, frontend: addr, processes: g.list, system: g, hot: writers}
	}
	return path, body, nil
}

// rangeScript has wrk ask etcd's gateway for a key.
const rangeScript = `wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"key":"%s"}'
`

// hotTargets puts a value of the record's size.
func (g *etcdGroup) hotTargets(ctx context.Context, dir string, value []byte, targets map[string]target) error {
	order, err := g.order(ctx)
	if err != nil {
		return err
	}
	hot := &hotKey{source: load.NewPlays(load.NewRun(), 1).Source(), value: value}
	if _, err := g.admin.Put(ctx, hot.name(), string(value)); err != nil {
		return err
	}
	script := filepath.Join(dir, "range.lua")
	text := fmt.Appendf(nil, rangeScript, base64.StdEncoding.EncodeToString([]byte(hot.name())))
	if err := os.WriteFile(script, text, 0o600); err != nil {
		return err
	}
	writers := func(ctx context.Context, n int) ([]load.Writer, error) { return g.putters(ctx, toAll, n, hot) }
	for name, endpoint := range map[string]string{etcdFollower: order[0], etcdLeader: order[len(order)-1]} {
		targets[name] = target{
			url: "http://" + endpoint + "/v3/kv/range", script: script, processes: g.list, system: g, hot: writers,
		}
	}
	return nil
}
