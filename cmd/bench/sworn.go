package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	laurel "laurel/client"
	certified "laurel/client/verify"
	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
	"laurel/trust/access"
	"laurel/trust/keyfile"
	"laurel/witness"
)

// swornSize is the least number of frontends of which one may be corrupt.
const swornSize = 4

// The two groups that are compared.
const (
	secureGroup = "secure"
	swornGroup  = "sworn"
)

// swornWorks are what is measured, in order. Those that are not both are of the sworn group
// only.
var swornWorks = []struct {
	name string
	both bool
	run  func(s *sworn, ctx context.Context, r *rival) (figures, error)
}{
	{"stream", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.stream(ctx, r.frontends, streamCell{signed: true, secure: true})
	}},
	{"posters64", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) { return s.signed(ctx, r, 64) }},
	{"posters256", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) { return s.signed(ctx, r, 256) }},
	{"reads", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.wrk(ctx, target{group: r.frontends, addr: r.order[0], path: r.path})
	}},
	{"proofs", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		path := strings.Replace(r.path, "/v1/", "/v1/proof/", 1)
		return s.wrk(ctx, target{group: r.frontends, addr: r.order[0], path: path})
	}},
	{"certificate", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.certificates(ctx, r, time.Second)
	}},
	{"certificate-loaded", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		writers := func(ctx context.Context, n int) ([]load.Writer, error) { return r.signers(ctx, n) }
		return s.whileWriting(ctx, r, writers, s.rate, func(ctx context.Context) (figures, error) {
			return s.certificates(ctx, r, 40*time.Millisecond)
		})
	}},
	{"scores", true, func(s *sworn, ctx context.Context, r *rival) (figures, error) { return s.commands(ctx, r) }},
	{"scores-verify", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.commands(ctx, r, "--verify", "--policy", r.policyFile())
	}},
	{"scores-verify-now", false, func(s *sworn, ctx context.Context, r *rival) (figures, error) {
		return s.commands(ctx, r, "--verify=now", "--policy", r.policyFile())
	}},
}

type swornCell struct{ work, group string }

// sworn is the options of the experiment.
type sworn struct {
	*bench
	works []string
	rate  float64
}

func swornCommand(b *bench) *cobra.Command {
	s := &sworn{bench: b}
	var known []string
	for _, w := range swornWorks {
		known = append(known, w.name)
	}
	return b.command("sworn", "Four frontends of a sworn group beside four of a secure one that is not",
		"Both groups run all the time, and are loaded in turn with the same: signed events, reads, and reads of a\n"+
			"process from its start to its end. Of the sworn group alone: the time from a post to the certificate that\n"+
			"covers it, verified by a reader who asks every 10 ms, idle and while others write; proofs from a\n"+
			"frontend's cache; and verifying reads. Needs wrk (apt-get install wrk).",
		func(f *pflag.FlagSet) {
			f.StringSliceVar(&s.works, "works", known, "what to measure, in turn")
			number(f, &s.rate, "write-rate", 3000.0, 1, 100_000, "events/s that others write in certificate-loaded")
		},
		func(ctx context.Context) error {
			if err := errors.Join(oneOf(known, s.works), lookPath("wrk", "wrk")); err != nil {
				return err
			}
			return s.experiment().run(ctx, b)
		})
}

func (s *sworn) experiment() *experiment[*rivals, swornCell] {
	x := &experiment[*rivals, swornCell]{
		name:   "sworn",
		heads:  []string{"work", "group"},
		labels: func(c swornCell) []string { return []string{c.work, c.group} },
		columns: append(eventColumns[swornCell](),
			medianOf[swornCell]("events/s beside", beside, thousands),
			ratioTo("sworn : secure", perSecond, func(c swornCell) (swornCell, bool) {
				return swornCell{c.work, secureGroup}, c.group == swornGroup
			})),
		start: s.start,
		measure: func(ctx context.Context, both *rivals, c swornCell) (figures, error) {
			return s.measure(ctx, both, c)
		},
	}
	for _, w := range swornWorks {
		if !slices.Contains(s.works, w.name) {
			continue
		}
		if w.both {
			x.cells = append(x.cells, swornCell{w.name, secureGroup})
		}
		x.cells = append(x.cells, swornCell{w.name, swornGroup})
	}
	return x
}

func (s *sworn) measure(ctx context.Context, both *rivals, c swornCell) (figures, error) {
	r := both.secure
	if c.group == swornGroup {
		r = both.sworn
	}
	for _, w := range swornWorks {
		if w.name == c.work {
			return w.run(s, ctx, r)
		}
	}
	return nil, fmt.Errorf("no work %q", c.work)
}

// rivals are the groups that are compared.
type rivals struct{ secure, sworn *rival }

// rival is one of them, with a contest that is read.
type rival struct {
	*frontends
	order []string     // addresses of the frontends, the master last
	path  string       // of the contest
	bard  *load.Signer // of the contest
}

func (r *rivals) stop() {
	for _, g := range []*rival{r.secure, r.sworn} {
		if g != nil {
			g.stop()
		}
	}
}

func (s *sworn) start(ctx context.Context, dir string, _ swornCell) (_ *rivals, err error) {
	both := &rivals{}
	defer func() {
		if err != nil {
			both.stop()
		}
	}()
	of := func(name, key string) (*rival, error) {
		g := &frontends{members: members{program: s.programs[s.program], dir: filepath.Join(dir, name)}, key: key}
		if _, err := s.startGroup(ctx, g, swornSize, true); err != nil {
			return nil, err
		}
		return startRival(ctx, g)
	}
	key := filepath.Join(dir, "operator.key")
	if _, err := keyfile.New(key); err != nil {
		return nil, err
	}
	if both.secure, err = of(secureGroup, ""); err != nil {
		return nil, err
	}
	both.sworn, err = of(swornGroup, key)
	return both, err
}

// startRival starts the contest that is read.
func startRival(ctx context.Context, g *frontends) (_ *rival, err error) {
	r := &rival{frontends: g}
	if r.order, err = g.order(ctx); err == nil {
		var writers []load.Writer
		if writers, err = r.signers(ctx, 1); err == nil {
			r.bard = writers[0].(*load.Signer)
			r.path = "/v1/scores/" + r.bard.Contest()
			for i := 0; i < 100 && err == nil; i++ {
				err = r.bard.Write(ctx)
			}
		}
	}
	if err == nil && g.key != "" {
		err = r.writePolicy(ctx)
	}
	if err != nil {
		g.stop()
		return nil, err
	}
	return r, nil
}

// signers returns n bards that sign with one key and post to the master.
func (g *frontends) signers(ctx context.Context, n int) ([]load.Writer, error) {
	addrs, err := g.targets(ctx, toMaster, n)
	if err != nil {
		return nil, err
	}
	private, lineage, err := g.grantBard(ctx, "bard")
	if err != nil {
		return nil, err
	}
	run := load.NewRun()
	return load.OpenAll(n, func(i int) (load.Writer, error) {
		return load.NewSigner(ctx, addrs[i], load.NewPlays(run, i+1), private, lineage, false)
	})
}

// signed measures n writers, each of which signs and posts one event after another.
func (s *sworn) signed(ctx context.Context, r *rival, n int) (figures, error) {
	writers, err := r.signers(ctx, n)
	if err != nil {
		return nil, err
	}
	return s.closedLoop(ctx, r, writers)
}

// certificates measures the time from the start of a post to the first answer under a
// certificate that covers it. One bard posts, with pauses of about a mean between the
// posts; one reader asks a frontend that is not the master.
func (s *sworn) certificates(ctx context.Context, r *rival, pause time.Duration) (figures, error) {
	text, err := os.ReadFile(r.policyFile())
	if err != nil {
		return nil, err
	}
	policy, err := witness.ReadPolicy(text)
	if err != nil {
		return nil, err
	}
	c, err := laurel.New([]string{"http://" + r.order[0]}, laurel.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	reader := certified.NewCertified(c, policy, "")
	type post struct {
		sent     time.Time
		revision uint64
	}
	var mu sync.Mutex
	var waiting []post // in the order of their revisions
	span := s.span()
	return measured(ctx, span, r.list, func(ctx context.Context) (figures, error) {
		m := load.NewMeter(span)
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() error {
			for time.Now().Before(span.Until) {
				p := post{sent: time.Now()}
				if err := r.bard.Write(ctx); err != nil {
					return err
				}
				p.revision = r.bard.Revision()
				mu.Lock()
				waiting = append(waiting, p)
				mu.Unlock()
				if err := load.Sleep(ctx, pause/2+rand.N(pause)); err != nil {
					return err
				}
			}
			return nil
		})
		both.Go(func() error {
			for time.Now().Before(span.Until) {
				a, err := reader.Get(ctx, r.path, nil)
				if err != nil {
					return err
				}
				now := time.Now()
				mu.Lock()
				for len(waiting) > 0 && waiting[0].revision <= a.Round.Revision {
					m.Record(waiting[0].sent, now)
					waiting = waiting[1:]
				}
				mu.Unlock()
				if err := load.Sleep(ctx, 10*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
		err := both.Wait()
		f := rates(m, span)
		delete(f, perSecond) // as many as were posted
		return f, err
	})
}

// commands measures the command that shows a contest, from its start to its end.
func (s *sworn) commands(ctx context.Context, r *rival, more ...string) (figures, error) {
	id := strings.TrimPrefix(r.path, "/v1/scores/")
	args := append([]string{"scores", id, "--to", strings.Join(r.urls, ",")}, more...)
	m := load.NewMeter(load.Span{})
	f, err := measuredAround(r.list, func() (figures, time.Duration, error) {
		var used time.Duration
		from := time.Now()
		for time.Since(from) < s.duration {
			sent := time.Now()
			cmd := r.command(ctx, args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, 0, fmt.Errorf("%s: %w: %s", cmd, err, out)
			}
			m.Add(time.Since(sent))
			used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
		return rates(m, load.Span{From: from, Until: time.Now()}), used, nil
	})
	return f, err
}

// command returns laurel with arguments, in the name of the group's operator if it has one.
func (g *frontends) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.program, args...)
	cmd.Env = []string{"HOME=" + g.dir, "LAUREL_URL=" + strings.Join(g.urls, ",")}
	if g.key != "" && args[0] != "scores" {
		cmd.Env = append(cmd.Env, "LAUREL_OPERATOR_KEY="+g.key)
	}
	return cmd
}

// laurel runs laurel with arguments and returns what it prints.
func (g *frontends) laurel(ctx context.Context, args ...string) (string, error) {
	cmd := g.command(ctx, args...)
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd, err, told.String())
	}
	return strings.TrimSpace(string(out)), err
}

// swearIn has the operator sign the key of a frontend, and returns a token with which it may
// join.
func (g *frontends) swearIn(ctx context.Context, f localgroup.Frontend) (string, error) {
	key, err := g.laurel(ctx, "roster", "key", "--data", f.Dir)
	if err != nil {
		return "", err
	}
	if _, err := g.laurel(ctx, "roster", "set", f.ID, key); err != nil {
		return "", err
	}
	return g.laurel(ctx, "cluster", "token")
}

func (g *frontends) grantSigned(ctx context.Context, r access.GrantRequest) error {
	_, err := g.laurel(ctx, "access", "grant", r.Name, "--role", string(r.Role), "--rate",
		strconv.FormatFloat(r.Rate, 'f', 0, 64), "--key", base64.StdEncoding.EncodeToString(r.Public))
	return err
}

// policyFile is the file with the policy for readers.
func (g *frontends) policyFile() string { return filepath.Join(g.dir, "policy") }

func (r *rival) writePolicy(ctx context.Context) error {
	key, err := r.laurel(ctx, "roster", "key", "--data", filepath.Join(r.dir, "f1"))
	if err != nil {
		return err
	}
	text, err := r.laurel(ctx, "policy", "f1="+key)
	if err != nil {
		return err
	}
	return os.WriteFile(r.policyFile(), []byte(text+"\n"), 0o600)
}
