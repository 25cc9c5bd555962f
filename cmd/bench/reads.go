package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

// scheduledWriters is enough that each writer of a thousand events a second has time for a slow answer.
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
			writeRateFlag(f, &r.writeRate)
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

func writeRateFlag(f *pflag.FlagSet, to *float64) {
	number(f, to, "write-rate", 1000.0, 1, 100_000, "events/s that are written meanwhile")
}

// target is a server that is asked for the record.
type target struct {
	url, script string
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
	x.columns = append([]column[readsCell]{medianOf[readsCell]("events/s written", beside, thousands)},
		append(loadColumns[readsCell]("reads/s"),
			ratioTo("reads/s : nginx's", perSecond, to(map[string]string{laurelFollower: nginxServer, laurelMaster: nginxServer})),
			ratioTo("reads/s : etcd's", perSecond, to(map[string]string{laurelFollower: etcdFollower, laurelMaster: etcdLeader})),
			ratioTo("p99 : p99 idle", p99, func(c readsCell) (readsCell, bool) { return readsCell{noWrites, c.target}, c.writes != noWrites }),
			answersOf[readsCell]())...)
	for _, w := range r.writes {
		for _, t := range r.targets {
			x.cells = append(x.cells, readsCell{w, t})
		}
	}
	return x
}

// start starts the servers that are asked, and makes the record.
func (r *reads) start(ctx context.Context, dir string) (targets map[string]target, stop func(), err error) {
	names := []string{laurelName}
	if slices.Contains(r.targets, etcdLeader) || slices.Contains(r.targets, etcdFollower) {
		names = append(names, etcdName)
	}
	systems, stop, err := r.startSystems(ctx, dir, names)
	if err != nil {
		return nil, nil, err
	}
	targets = map[string]target{}
	g := systems[laurelName].(*frontends)
	path, body, err := g.hotTargets(ctx, targets)
	if err == nil && len(names) > 1 {
		err = systems[etcdName].(*etcdGroup).hotTargets(ctx, dir, body, targets)
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

// whileWriting runs the load while writers write on a schedule, and verifies what they wrote.
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
	return f, verify(ctx, s, writers...)
}

// wrk asks for --warmup and then for --duration.
func (b *bench) wrk(ctx context.Context, t target) (figures, error) {
	w := wrkRun{url: t.url, script: t.script}
	if b.warmup > 0 {
		if _, _, err := w.run(ctx, b.warmup); err != nil {
			return nil, err
		}
	}
	var epoch uint64
	var earlier figures
	g, isLaurel := t.system.(*frontends)
	isLaurel = isLaurel && t.frontend != ""
	if isLaurel {
		var err1, err2 error
		epoch, err1 = g.epoch(ctx)
		earlier, err2 = answers(ctx, t.frontend)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
	}
	before, err := used(t.processes)
	if err != nil {
		return nil, err
	}
	f, child, err := w.run(ctx, b.duration)
	if err != nil {
		return nil, err
	}
	after, err := used(t.processes)
	if err != nil {
		return nil, err
	}
	after.since(before, child, f)
	if !isLaurel {
		return f, nil
	}
	later, err1 := answers(ctx, t.frontend)
	now, err2 := g.epoch(ctx)
	for how, n := range later {
		f[how] = n - earlier[how]
	}
	f[elections] = float64(now - epoch)
	if n := f[answeredBy+"stale"] + f[answeredBy+"pulled"]; n > 0 {
		return nil, fmt.Errorf("%g answers may have been stale, and nobody asked for such", n)
	}
	return f, errors.Join(err1, err2)
}

// wrkRun is one run of wrk: a closed loop on each of its connections.
type wrkRun struct {
	url    string
	script string // a file in Lua that makes the requests, or ""
}

// run returns what wrk measured and the processor time that it used. Any answer but 200 is an error.
func (w wrkRun) run(ctx context.Context, d time.Duration) (figures, time.Duration, error) {
	seconds := max(1, int((d+time.Second-1)/time.Second)) // wrk takes whole seconds
	args := []string{
		"--latency", "-t", "2", "-c", strconv.Itoa(readConnections),
		"-d", strconv.Itoa(seconds) + "s", "--timeout", "5s",
	}
	if w.script != "" {
		args = append(args, "-s", w.script)
	}
	cmd := exec.CommandContext(ctx, "wrk", append(args, w.url)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, 0, fmt.Errorf("wrk %s: %w: %s", w.url, err, load.Clip(out))
	}
	f, err := parseWrk(string(out))
	if err != nil {
		return nil, 0, fmt.Errorf("wrk %s: %w; it printed:\n%s", w.url, err, out)
	}
	return f, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// parseWrk reads what wrk --latency prints.
func parseWrk(out string) (figures, error) {
	f := figures{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		var err error
		switch name := words[0]; {
		case name == "Socket" && words[1] == "errors:", strings.HasPrefix(name, "Non-2xx"):
			return nil, errors.New(strings.TrimSpace(line))
		case name == "Requests/sec:":
			if f[perSecond], err = strconv.ParseFloat(words[1], 64); err == nil && f[perSecond] <= 0 {
				err = errors.New("want more than 0")
			}
		case name == "50%" || name == "99%":
			var d time.Duration
			d, err = time.ParseDuration(words[1]) // wrk writes minutes as m, as Go does
			f["p"+strings.TrimSuffix(name, "%")] = float64(d)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
	}
	if len(f) != 3 {
		return nil, errors.New("not what wrk --latency prints")
	}
	return f, nil
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
	writers := func(ctx context.Context, n int) ([]load.Writer, error) {
		list, err := g.putters(ctx, toAll, n, hot)
		if err == nil {
			list[0].(*putter).before, err = g.lastSeq(ctx, hot.source)
		}
		return list, err
	}
	for name, endpoint := range map[string]string{etcdFollower: order[0], etcdLeader: order[len(order)-1]} {
		targets[name] = target{
			url: "http://" + endpoint + "/v3/kv/range", script: script, processes: g.list, system: g, hot: writers,
		}
	}
	return nil
}

// nginxSettings have nginx serve files as fast as it can: a worker for each core, no log, the file kept
// open, connections that are never closed for their age.
const nginxSettings = `%[4]sdaemon off;
pid %[1]s/pid;
error_log stderr error;
worker_processes %[2]d;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000000;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=16;
	default_type application/json;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[3]s;
		root %[1]s/root;
		log_not_found off;
	}
}
`

// startNginx has nginx serve a body from a file at a path. Stop it with Stop, so that it ends its workers.
func startNginx(ctx context.Context, dir, path string, body []byte) (*localgroup.Process, string, error) {
	if err := lookPath("nginx", "nginx"); err != nil {
		return nil, "", err
	}
	dir = filepath.Join(dir, "nginx")
	file := filepath.Join(dir, "root", filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(file, body, 0o644); err != nil {
		return nil, "", err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // another user could not read the file
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, "", err
	}
	settings := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(settings, fmt.Appendf(nil, nginxSettings, dir, runtime.NumCPU(), ports[0], user), 0o600); err != nil {
		return nil, "", err
	}
	p, err := startProcess("nginx", dir, "nginx", "-p", dir, "-e", "stderr", "-c", settings)
	if err != nil {
		return nil, "", err
	}
	url := "http://" + ports[0]
	err = await(ctx, p, func(ctx context.Context) error {
		_, got, err := call(ctx, http.MethodGet, url+path, "", nil)
		if err == nil && string(got) != string(body) {
			err = fmt.Errorf("%s%s: not the file's bytes", url, path)
		}
		return err
	})
	if err != nil {
		p.Stop(time.Second)
		return nil, "", err
	}
	return p, url, nil
}
