package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
	"laurel/score"
	"laurel/trust/access"
)

// frontends is a group of Laurel frontends.
type frontends struct {
	members
	urls     []string
	operator string // token; "" in an insecure group, and in a sworn one
	key      string // file with the key of the operator of a sworn group; "" in others
}

// startFrontends starts a group with new data directories, with certificates if it is to
// be secure, and waits until all of it serves.
func (b *bench) startFrontends(ctx context.Context, dir string, size int, secure bool) (*frontends, error) {
	return b.startGroup(ctx, &frontends{members: members{program: b.programs[b.program], dir: dir}}, size, secure)
}

// startGroup starts the frontends of a group that has none yet.
func (b *bench) startGroup(ctx context.Context, g *frontends, size int, secure bool) (*frontends, error) {
	ports, err := freePorts(2 * size)
	for i := 0; i < size && err == nil; i++ {
		f := localgroup.Frontend{ID: fmt.Sprintf("f%d", i+1), HTTP: ports[2*i], Peer: ports[2*i+1]}
		f.Dir = filepath.Join(g.dir, f.ID)
		err = g.startNext(ctx, f, secure, b.frontendArgs)
	}
	if err == nil {
		err = await(ctx, g.list[0], g.allServe)
	}
	if err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// startNext starts the next frontend of a group and waits until it is ready.
func (g *frontends) startNext(ctx context.Context, f localgroup.Frontend, secure bool, more []string) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	// In a secure group the port speaks HTTP, too. What is asked about the group is asked
	// so.
	args := f.Args("--log-level", "warn", "--public-url", f.URL())
	if !secure {
		args = append(args, "--insecure")
	}
	first := len(g.list) == 0
	switch {
	case first && g.key != "":
		args = append(args, "--bootstrap", "--sworn", "--operator-key", g.key, "--operator-name", "getafix")
	case first:
		args = append(args, "--bootstrap")
	case secure:
		token, err := g.admit(ctx, f)
		if err != nil {
			return err
		}
		args = append(args, "--join", strings.Replace(g.urls[0], "http://", "https://", 1), "--join-token", token)
	default:
		args = append(args, "--join", g.urls[0])
	}
	args = append(args, more...)
	p, err := g.add(f.ID, args)
	if err != nil {
		return err
	}
	g.urls = append(g.urls, f.URL())
	if err := await(ctx, p, func(ctx context.Context) error { return getJSON(ctx, f.URL()+"/readyz", nil) }); err != nil {
		return err
	}
	if !first || !secure || g.key != "" {
		return nil
	}
	return await(ctx, p, func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(f.Dir, "operator.token"))
		if g.operator = strings.TrimSpace(string(text)); err == nil && g.operator == "" {
			err = errors.New("operator.token is empty")
		}
		return err
	})
}

// admit returns a token with which a frontend may join a group with certificates.
func (g *frontends) admit(ctx context.Context, f localgroup.Frontend) (string, error) {
	if g.key != "" {
		return g.swearIn(ctx, f)
	}
	var token access.JoinTokenResponse
	err := await(ctx, g.list[0], func(ctx context.Context) error {
		// The token is in its file a moment before the group knows it.
		return g.operate(ctx, "/v1/cluster/tokens", access.JoinTokenRequest{}, &token)
	})
	return token.Token, err
}

// view returns what a frontend knows of the group.
func (g *frontends) view(ctx context.Context) (v score.Frontends, err error) {
	return v, getJSON(ctx, g.urls[0]+"/v1/frontends", &v)
}

// allServe returns nil if every frontend serves as a voter and, in push mode, has a
// lease.
func (g *frontends) allServe(ctx context.Context) error {
	for _, url := range g.urls {
		if err := getJSON(ctx, url+"/readyz", nil); err != nil {
			return err
		}
	}
	v, err := g.view(ctx)
	if err != nil {
		return err
	}
	voters := 0
	for _, f := range v.Frontends {
		if f.State == score.Serving && f.Voter {
			voters++
		}
		if v.Mode == score.Push && !f.Leased {
			return fmt.Errorf("%s has no lease", f.ID)
		}
	}
	if voters != len(g.urls) {
		return fmt.Errorf("%d of %d frontends serve as voters", voters, len(g.urls))
	}
	_, err = masterLast(v)
	return err
}

// hasAll returns nil if every frontend has applied so many events.
func (g *frontends) hasAll(ctx context.Context, events uint64) error {
	v, err := g.view(ctx)
	if err != nil {
		return err
	}
	for _, f := range v.Frontends {
		if f.Revision != events {
			return fmt.Errorf("%s is at revision %d of %d", f.ID, f.Revision, events)
		}
	}
	return nil
}

// epoch returns the term of the master. Each election makes it greater.
func (g *frontends) epoch(ctx context.Context) (uint64, error) {
	v, err := g.view(ctx)
	return v.Epoch, err
}

// order returns the host:port of the frontends, the master last, once there is one: on a busy
// machine the group may elect another.
func (g *frontends) order(ctx context.Context) (order []string, err error) {
	err = await(ctx, g.list[0], func(ctx context.Context) error {
		v, err := g.view(ctx)
		if err == nil {
			order, err = masterLast(v)
		}
		return err
	})
	return order, err
}

func masterLast(v score.Frontends) ([]string, error) {
	var others []string
	master := ""
	for _, f := range v.Frontends {
		if addr := strings.TrimPrefix(f.URL, "http://"); f.Master {
			master = addr
		} else {
			others = append(others, addr)
		}
	}
	if master == "" {
		return nil, errors.New("no frontend is the master")
	}
	return append(others, master), nil
}

// index returns the number of the frontend at an address.
func (g *frontends) index(addr string) (int, error) {
	i := slices.Index(g.urls, "http://"+addr)
	if i < 0 {
		return 0, fmt.Errorf("the frontend at %s is none of %s", addr, g.urls)
	}
	return i, nil
}

// targets returns the addresses for n connections.
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

func (g *frontends) writers(ctx context.Context, to string, n int) ([]load.Writer, error) {
	run := load.NewRun()
	return g.posters(ctx, to, n, func(i int) *load.Plays { return load.NewPlays(run, i+1) })
}

// posters returns n posters of the plays that a function makes.
func (g *frontends) posters(ctx context.Context, to string, n int, plays func(i int) *load.Plays) ([]load.Writer, error) {
	addrs, err := g.targets(ctx, to, n)
	if err != nil {
		return nil, err
	}
	return load.OpenAll(n, func(i int) (load.Writer, error) { return load.NewPoster(ctx, addrs[i], plays(i)) })
}

// contest is a contest that is read, watched or posted to.
type contest struct {
	order []string // addresses of the frontends, the master last
	plays *load.Plays
	bard  *load.Poster // at the master
}

// startContest starts a contest. It has so many plays that results have more than one
// digit, and that nothing is done for the first time afterwards.
func (g *frontends) startContest(ctx context.Context) (c contest, err error) {
	if c.order, err = g.order(ctx); err != nil {
		return c, err
	}
	c.plays = load.NewPlays(load.NewRun(), 1)
	if c.bard, err = load.NewPoster(ctx, c.order[len(c.order)-1], c.plays); err != nil {
		return c, err
	}
	for range 100 {
		if err := c.bard.Write(ctx); err != nil {
			c.bard.Close()
			return c, err
		}
	}
	return c, nil
}

func (g *frontends) lastSeq(ctx context.Context, source string) (uint64, error) {
	var b score.Bard
	err := await(ctx, g.list[0], func(ctx context.Context) error { // it may have no lease for a moment
		return getJSON(ctx, g.urls[0]+"/v1/bards/"+source, &b)
	})
	return b.LastSeq, err
}

// answers returns how often a frontend has answered reads in each way, as figures.
func answers(ctx context.Context, addr string) (figures, error) {
	_, body, err := call(ctx, http.MethodGet, "http://"+addr+"/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	return parseAnswers(string(body))
}

// parseAnswers reads a page of metrics.
func parseAnswers(text string) (figures, error) {
	f := figures{}
	for line := range strings.Lines(text) {
		var n float64
		rest, found := strings.CutPrefix(line, `laurel_reads_total{answered="`)
		if !found {
			continue
		}
		how, value, _ := strings.Cut(rest, `"} `)
		if _, err := fmt.Sscan(value, &n); err != nil {
			return nil, fmt.Errorf("%q: want a number of reads", strings.TrimSpace(line))
		}
		f[answeredBy+how] = n
	}
	if len(f) == 0 {
		return nil, errors.New("no laurel_reads_total in the metrics")
	}
	return f, nil
}

// operate posts what only an operator may, and reads the answer into v unless it is nil.
func (g *frontends) operate(ctx context.Context, path string, what, v any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return callJSON(ctx, http.MethodPost, g.urls[0]+path, g.operator, body, v)
}

// lineage returns the lineage of the store, for which events are signed.
func (g *frontends) lineage(ctx context.Context) (string, error) {
	if g.key != "" {
		var roster access.RosterView
		err := getJSON(ctx, g.urls[0]+"/v1/roster", &roster)
		return roster.Lineage, err
	}
	var list access.SettingList
	if err := callJSON(ctx, http.MethodGet, g.urls[0]+"/v1/cluster/settings", g.operator, nil, &list); err != nil {
		return "", err
	}
	for _, s := range list.Settings {
		if s.Name == access.SettingLineage {
			return s.Value, nil
		}
	}
	return "", errors.New("the store has no lineage")
}
