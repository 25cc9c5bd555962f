// Package demo is what `laurel demo` does: it runs three frontends as processes of their own, sings them the Games for as long as
// anybody wants to hear them, lets clients follow the Games, and tells a terminal what happens.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"laurel/client"
	"laurel/internal/localgroup"
	"laurel/score"
)

// Options say how a demo goes.
type Options struct {
	// Speed is how fast the bard sings: 1 is a few events a second, 2 twice that.
	Speed float64
	// Quiet leaves out what is sung.
	Quiet bool
	// Program, Env and RunDir are those of the frontends: see localgroup.Options.
	Program string
	Env     []string
	RunDir  string
	// Kill is the command, as it is typed, that kills the frontend with an id; nil: by its number.
	Kill func(id string) string
	// Out is where everything is told: with colours if it is a terminal.
	Out io.Writer
}

// Run runs the demo until ctx ends; that is no error.
func Run(ctx context.Context, o Options) error {
	d := demo{o: o, out: newTicker(o.Out), seqs: make(map[string]uint64)}
	return d.run(ctx)
}

// demo is three frontends, a bard who sings to them, those who follow it, and what a terminal is told of them.
type demo struct {
	o        Options
	out      *ticker
	group    *localgroup.Group
	client   *client.Client
	audience *audience
	seqs     map[string]uint64 // of each source, the last that is durable
	master   string            // the last that was told of
}

const (
	// frontends is how many there are: as few as go on after one has died.
	frontends = 3
	// awayFor is how long one that has died stays away: long enough to see how the others do without it.
	awayFor = 5 * time.Second
)

func (d *demo) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "laurel-demo-")
	if err != nil {
		return err
	}
	err = d.runIn(ctx, dir)
	if removed := os.RemoveAll(dir); removed != nil {
		return errors.Join(err, removed)
	}
	if err == nil {
		d.out.say("Done; nothing is left behind.")
	}
	return err
}

// runIn has all its files in dir. When it returns, no frontend runs any more.
func (d *demo) runIn(ctx context.Context, dir string) error {
	d.out.say("Starting three frontends ...")
	notices := make(chan localgroup.Notice, 16)
	group, err := localgroup.Start(ctx, localgroup.Options{
		Dir: dir, Size: frontends, Program: d.o.Program, Env: d.o.Env, RunDir: d.o.RunDir, RestartAfter: awayFor,
		Notify: func(n localgroup.Notice) {
			select {
			case notices <- n:
			case <-ctx.Done():
			}
		},
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	d.group = group
	defer func() {
		d.out.say("\nEnding the three frontends ...")
		group.Close()
	}()

	var urls []string
	for _, f := range group.Frontends() {
		urls = append(urls, f.URL())
	}
	d.client, err = client.New(urls, client.Options{})
	if err != nil {
		return err
	}
	defer d.client.Close()
	if now, err := d.client.Frontends(ctx); err == nil {
		d.master = now.Master
	}
	d.out.kill = d.o.Kill
	d.out.introduce(group.Frontends(), d.master, dir)

	d.audience = newAudience(group.Frontends())
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { d.tellFrontends(ctx, notices) })
	beside.Go(func() { d.tellAudience(ctx) })
	leave, err := d.audience.attend(ctx)
	if err != nil {
		return err
	}
	defer leave()
	d.sing(ctx)
	return nil
}

// agreeEvery is after how many events the demo shows that all frontends say the same.
const agreeEvery = 25

// sing sings the Games, one event after the other, until ctx ends.
func (d *demo) sing(ctx context.Context) {
	games := newPlaylist()
	competition := ""
	for n := 1; ; n++ {
		e, pause := games.next()
		if !sleep(ctx, time.Duration(float64(pause)/d.o.Speed)) {
			return
		}
		if competition != "" && e.Competition() != competition {
			d.showMedals(ctx, competition)
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
		d.tell(ctx, &e, result.Revision)
		if n%agreeEvery == 0 {
			d.showAgreement(ctx, e.ContestID)
		}
	}
}

// post posts an event until it is durable. It is false if the event was refused, because somebody else has had a hand in the Games.
func (d *demo) post(ctx context.Context, e *score.Event) (score.Result, bool) {
	for told := false; ctx.Err() == nil; {
		e.Seq = d.seqs[e.Source] + 1
		results, err := d.client.Post(ctx, []score.Event{*e})
		if err == nil {
			d.seqs[e.Source] = e.Seq
			return results[0], true
		}
		var p *score.Problem
		if errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Code != score.RateLimited {
			d.out.warn("%s was refused, and is left out: %s", e.ID, p)
			d.resume(ctx, e.Source)
			return score.Result{}, false
		}
		if ctx.Err() == nil && !told {
			told = true
			d.out.warn("The bard waits: %v", err)
		}
		sleep(ctx, 200*time.Millisecond)
	}
	return score.Result{}, false
}

// resume asks the store where a source stands: a refused event has not used its seq, and somebody else may have used it.
func (d *demo) resume(ctx context.Context, source string) {
	if b, err := d.client.Bard(ctx, source); err == nil {
		d.seqs[source] = b.LastSeq
	}
}

// tell prints what the store says after an event.
func (d *demo) tell(ctx context.Context, e *score.Event, revision uint64) {
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

func (d *demo) showMedals(ctx context.Context, competition string) {
	if d.o.Quiet {
		return
	}
	if table, err := d.client.Medals(ctx, competition); err == nil {
		d.out.medals(table)
	}
}

// showAgreement asks every frontend for the same contest. Frontends that differ would be a bug of Laurel, and the demo says so.
func (d *demo) showAgreement(ctx context.Context, contestID string) {
	a := d.compare(ctx, contestID)
	// Somebody may have posted something between two of the questions.
	for n := 0; n < 3 && len(a.differ) > 0; n++ {
		a = d.compare(ctx, contestID)
	}
	if ctx.Err() == nil {
		d.out.agreement(contestID, a)
		d.out.seats(d.audience.seats())
	}
}

// agreement is which frontends gave the same answer, and at which revision of the contest, which none, and which another one.
type agreement struct {
	revision              string
	alike, silent, differ []string
}

func (d *demo) compare(ctx context.Context, contestID string) agreement {
	var a agreement
	said := ""
	for _, f := range d.group.Frontends() {
		body, revision, err := fetch(ctx, f.URL()+client.ScorePath(contestID))
		switch {
		case err != nil:
			a.silent = append(a.silent, f.ID)
		case len(a.alike) == 0 || body == said:
			said, a.revision = body, revision
			a.alike = append(a.alike, f.ID)
		default:
			a.differ = append(a.differ, f.ID)
		}
	}
	return a
}

// fetch asks one frontend, and no other, for a record.
func fetch(ctx context.Context, url string) (body, revision string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s says %s", url, resp.Status)
	}
	return string(b), resp.Header.Get("Laurel-Revision"), err
}

// sleep is false if ctx has ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
