// Package demo implements laurel demo: it runs three frontends as processes, posts the
// Games of 50 BC without end, runs clients that follow them, and prints to a terminal
// what happens.
//
// Begin reading at demo.go. games.go has the events, audience.go the clients and how they
// move from one frontend to another; printer.go formats everything. spy.go, which only the
// build tag spy has, is the demo with a corrupt master.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"laurel/client"
	"laurel/cmd/laurel/spectators"
	"laurel/internal/localgroup"
	"laurel/score"
)

// Options configure a demo.
type Options struct {
	// Speed is the rate of events: 1 is a few a second, 2 twice as many.
	Speed float64
	// Quiet leaves out what the events say.
	Quiet bool
	// Group has the Program, Env and RunDir of the frontends. RestartAfter is 5 s where
	// it is 0; the demo sets the rest.
	Group localgroup.Options
	// TempDir is where the directory of the demo is made. "": that of the system.
	TempDir string
	// KillCommand returns a shell command that kills the frontend with an id.
	KillCommand func(id string) string
	// Out is where everything is printed, in colours if it is a terminal.
	Out io.Writer
}

// Run runs the demo until ctx ends, which is no error.
func Run(ctx context.Context, o Options) error {
	d := newDemo(o, frontends)
	return d.inTempDir(func(dir string) error { return d.run(ctx, dir) })
}

type demo struct {
	o        Options
	size     int // frontends
	out      *printer
	group    *localgroup.Group
	options  client.Options // of all clients
	client   *client.Client
	audience *audience
	seqs     map[string]uint64 // the last durable seq of each source
	master   string            // the last one that was printed
}

const (
	// defaultRestartAfter is long enough to see how the others go on without a frontend.
	defaultRestartAfter = 5 * time.Second
	// frontends is the least number that survives the death of one.
	frontends = 3
	// compareEvery is the number of events between comparisons of all frontends.
	compareEvery = 25
)

func newDemo(o Options, size int) *demo {
	o.Group.RestartAfter = cmp.Or(o.Group.RestartAfter, defaultRestartAfter)
	return &demo{o: o, size: size, out: newPrinter(o.Out), seqs: make(map[string]uint64)}
}

// inTempDir calls run with a new directory, and removes that.
func (d *demo) inTempDir(run func(dir string) error) error {
	dir, err := os.MkdirTemp(d.o.TempDir, "laurel-demo-")
	if err != nil {
		return err
	}
	if err := errors.Join(run(dir), os.RemoveAll(dir)); err != nil {
		return err
	}
	d.out.println("Done; nothing is left behind.")
	return nil
}

// run keeps all files in dir. When it returns, all frontends have ended.
func (d *demo) run(ctx context.Context, dir string) error {
	work, ctx := errgroup.WithContext(ctx)
	notices, err := d.start(ctx, dir)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer d.stop()
	if err := d.connect(ctx); err != nil {
		return err
	}
	defer d.client.Close()
	d.out.intro(d.o, d.group.Frontends(), d.master, dir)
	d.play(ctx, work, notices)
	return work.Wait()
}

// start starts the frontends, and returns what will happen to them. stop must be called.
func (d *demo) start(ctx context.Context, dir string) (<-chan localgroup.Notice, error) {
	d.out.println("Starting %s frontends ...", inWords(d.size))
	notices := make(chan localgroup.Notice, 16)
	options := d.o.Group
	options.Dir, options.Size = dir, d.size
	options.Notify = func(n localgroup.Notice) {
		select {
		case notices <- n:
		case <-ctx.Done():
		}
	}
	var err error
	d.group, err = localgroup.Start(ctx, options)
	return notices, err
}

func (d *demo) stop() {
	d.out.println("\nStopping the %s frontends ...", inWords(d.size))
	d.group.Close()
}

func inWords(n int) string {
	if n == frontends {
		return "three"
	}
	return "four"
}

// connect makes the client, and asks for the master.
func (d *demo) connect(ctx context.Context) (err error) {
	if d.client, err = client.New(urlsOf(d.group.Frontends()), d.options); err != nil {
		return err
	}
	if now, err := d.client.Frontends(ctx); err == nil {
		d.master = now.Master
	}
	return nil
}

func urlsOf(list []localgroup.Frontend) (urls []string) {
	for _, f := range list {
		urls = append(urls, f.URL())
	}
	return urls
}

// play begins the Games, with clients that follow them.
func (d *demo) play(ctx context.Context, work *errgroup.Group, notices <-chan localgroup.Notice) {
	d.audience = newAudience(d.group.Frontends())
	d.audience.tls = d.options.TLS
	work.Go(func() error { return d.audience.run(ctx) })
	work.Go(func() error { d.report(ctx, notices); return nil })
	work.Go(func() error { d.postGames(ctx); return nil })
}

// postGames posts one event after the other until ctx ends.
func (d *demo) postGames(ctx context.Context) {
	games := newPlaylist()
	competition := ""
	for n := 1; ; n++ {
		e, pause := games.next()
		if !spectators.Sleep(ctx, time.Duration(float64(pause)/d.o.Speed)) {
			return
		}
		if competition != "" && e.Competition() != competition && !d.o.Quiet {
			if table, err := d.client.Medals(ctx, competition); err == nil {
				d.out.medals(table)
			}
		}
		competition = e.Competition()
		d.audience.follow(competition)
		result, ok := d.post(ctx, &e)
		if ctx.Err() != nil {
			return
		}
		if !ok || d.o.Quiet {
			continue
		}
		d.showEvent(ctx, &e, result.Revision)
		if n%compareEvery == 0 {
			d.showAgreement(ctx, e.ContestID)
		}
	}
}

// post posts an event until it is durable. It reports false if the event was refused,
// because somebody else posts to the demo, too.
func (d *demo) post(ctx context.Context, e *score.Event) (score.Result, bool) {
	for warned := false; ctx.Err() == nil; {
		e.Seq = d.seqs[e.Source] + 1
		results, err := d.client.Post(ctx, []score.Event{*e})
		if err == nil {
			d.seqs[e.Source] = e.Seq
			return results[0], true
		}
		var p *score.Problem
		if errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Code != score.RateLimited {
			d.out.printlnIn(red, "%s was refused and is left out: %s", e.ID, p)
			// It has not used its seq, and somebody else may have used it.
			if b, err := d.client.Bard(ctx, e.Source); err == nil {
				d.seqs[e.Source] = b.LastSeq
			}
			return score.Result{}, false
		}
		if ctx.Err() == nil && !warned {
			warned = true
			d.out.printlnIn(red, "The bard waits: %v", err)
		}
		spectators.Sleep(ctx, 200*time.Millisecond)
	}
	return score.Result{}, false
}

// showEvent prints an event with the contest as the store has it afterwards.
func (d *demo) showEvent(ctx context.Context, e *score.Event, revision uint64) {
	var contest *score.Record
	if e.Type != score.TypeCompetitionDefine {
		r, err := d.client.Score(ctx, e.ContestID)
		if err != nil {
			return
		}
		contest = &r
	}
	d.out.event(e, revision, contest)
}

// showAgreement reads a contest from every frontend. A difference would be a bug.
func (d *demo) showAgreement(ctx context.Context, contestID string) {
	a := d.compare(ctx, contestID)
	// Somebody else may have posted something between two of the reads.
	for n := 0; n < 3 && len(a.differ) > 0; n++ {
		a = d.compare(ctx, contestID)
	}
	if ctx.Err() == nil {
		d.out.agreement(contestID, a)
		d.out.distribution(d.audience.distribution())
	}
}

// agreement lists the frontends that gave the same answer, at which revision of the
// contest, those that gave none, and those that gave another one.
type agreement struct {
	revision              string
	alike, silent, differ []string
}

func (d *demo) compare(ctx context.Context, contestID string) agreement {
	var a agreement
	var first []byte
	for _, f := range d.group.Frontends() {
		body, header, ok := f.Get(ctx, client.ScorePath(contestID))
		switch {
		case !ok:
			a.silent = append(a.silent, f.ID)
		case len(a.alike) == 0 || bytes.Equal(body, first):
			first, a.revision = body, header.Get("Laurel-Revision")
			a.alike = append(a.alike, f.ID)
		default:
			a.differ = append(a.differ, f.ID)
		}
	}
	return a
}

// report prints what happens to the frontends and the clients until ctx ends.
func (d *demo) report(ctx context.Context, notices <-chan localgroup.Notice) {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	down := map[string]bool{}
	var since time.Time // when the master became unknown; zero: it is known
	for printed := ""; ; {
		select {
		case <-ctx.Done():
			return
		case n := <-notices:
			d.out.notice(n)
			if down[n.Frontend.ID] = n.Kind != localgroup.Restarted; !down[n.Frontend.ID] {
				d.audience.frontendUp(n.Frontend.ID, time.Now())
				continue
			}
			d.audience.frontendDown(n.Frontend.ID, time.Now())
			if since.IsZero() {
				since = time.Now()
			}
		case <-poll.C:
			if !since.IsZero() && d.reportMaster(ctx, down, since) {
				since = time.Time{}
			}
			printed = d.reportAudience(printed)
		}
	}
}

// reportMaster prints the master. It reports false if there is none, or it is down.
func (d *demo) reportMaster(ctx context.Context, down map[string]bool, since time.Time) bool {
	// The timeout is short, as notices wait meanwhile.
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	now, err := d.client.Frontends(ctx)
	if err != nil || now.Master == "" || down[now.Master] {
		return false
	}
	d.out.newMaster(now.Master, now.Master == d.master, time.Since(since))
	d.master = now.Master
	return true
}

// reportAudience prints which clients have moved, and their distribution when all are at
// home or a frontend has lost all of them. It returns the summary that was printed last.
func (d *demo) reportAudience(printed string) string {
	finished, now := d.audience.finishedMoves(time.Now()), d.audience.distribution()
	for _, m := range finished {
		d.out.move(m)
	}
	// A frontend may lose its clients without having died: it hangs, or is cut off.
	summary := now.summary(printed)
	if len(finished) > 0 || summary != printed {
		d.out.distribution(now)
	}
	return summary
}
