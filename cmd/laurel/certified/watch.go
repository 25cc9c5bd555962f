// Package certified shows only what a quorum of frontends has certified.
package certified

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/client/verify"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
	"laurel/witness"
)

const (
	// askAfter is how often each answer is asked for although no update has come: a frontend
	// could keep updates back.
	askAfter = 2 * time.Second
	// askAgain is the pause until an answer is asked for again that does not have an update
	// yet, because no certificate has.
	askAgain = 250 * time.Millisecond
)

// Watch is a watch of which only certified values are shown.
type Watch struct {
	Reader   *verify.Certified
	Contests []string
	Medals   []string // of these competitions
	Notes    io.Writer

	answers []*answer
	results chan result
	stopped bool      // certificates have, or none was seen yet
	newest  time.Time // of the certificates; zero if there was none
}

// answer is one that is watched.
type answer struct {
	path, id string
	medals   bool
	wake     chan uint64 // a revision of which the frontend that is watched has told

	shown uint64 // revision; 0 if nothing is
}

type result struct {
	of    *answer
	given *verify.CertifiedAnswer
	err   error
}

// Updates returns the updates of a watch with what is certified instead of the scores and
// medals that they have. It ends with what ends the watch, with a fork, and if nothing is
// certified at the start.
func (w *Watch) Updates(ctx context.Context, updates iter.Seq2[client.Update, error]) iter.Seq2[client.Update, error] {
	return func(yield func(client.Update, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		w.results, w.stopped = make(chan result), true
		for _, id := range w.Contests {
			w.add(&answer{path: client.ScorePath(id), id: id})
		}
		for _, id := range w.Medals {
			w.add(&answer{path: client.MedalsPath(id, ""), id: id, medals: true})
		}
		for _, a := range w.answers {
			go w.ask(ctx, a)
		}
		watched := make(chan watched)
		go follow(ctx, updates, watched)
		for {
			select {
			case u, ok := <-watched:
				if !ok || !yield(w.take(u.Update), u.err) || u.err != nil {
					return
				}
			case r := <-w.results:
				u, ok, err := w.judge(r)
				if err != nil {
					yield(client.Update{}, err)
					return
				}
				if ok && !yield(u, nil) {
					return
				}
			}
		}
	}
}

func (w *Watch) add(a *answer) {
	a.wake = make(chan uint64, 1)
	w.answers = append(w.answers, a)
}

type watched struct {
	client.Update
	err error
}

// follow passes a watch on, so that it is not held up while answers are awaited.
func follow(ctx context.Context, updates iter.Seq2[client.Update, error], to chan<- watched) {
	defer close(to)
	for u, err := range updates {
		select {
		case to <- watched{u, err}:
		case <-ctx.Done():
			return
		}
	}
}

// take has the answers of an update asked for, and returns the rest of the update.
func (w *Watch) take(u client.Update) client.Update {
	revisions := map[string]uint64{}
	for _, r := range u.Scores {
		revisions[client.ScorePath(r.ContestID)] = r.Revision
	}
	for _, m := range u.Medals {
		revisions[client.MedalsPath(m.Competition, "")] = m.Revision
	}
	for _, id := range u.Removed {
		revisions[client.ScorePath(id)] = 0
	}
	for _, a := range w.answers {
		if revision, ok := revisions[a.path]; ok {
			select {
			case <-a.wake: // of an earlier one
			default:
			}
			a.wake <- revision
		}
	}
	u.Scores, u.Medals, u.Removed, u.Dropped = nil, nil, nil, nil
	return u
}

// ask asks for one answer again and again.
func (w *Watch) ask(ctx context.Context, a *answer) {
	var wanted uint64
	for {
		given, err := w.Reader.Get(ctx, a.path, nil)
		if ctx.Err() != nil {
			return
		}
		select {
		case w.results <- result{a, given, err}:
		case <-ctx.Done():
			return
		}
		pause := askAfter
		if given == nil || given.Round.Revision < wanted {
			pause = askAgain
		}
		select {
		case wanted = <-a.wake:
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// judge returns an update with an answer that is new. An error ends the watch.
func (w *Watch) judge(r result) (u client.Update, ok bool, err error) {
	if r.given == nil {
		if _, again := errors.AsType[*verify.UnverifiedError](r.err); !again || w.newest.IsZero() {
			return u, false, r.err
		}
		w.stop(r.err)
		return u, false, nil
	}
	w.goOn(r.given)
	u.Frontend = r.given.URL
	if r.given.Body == nil {
		gone := r.of.shown > 0
		r.of.shown = 0
		if gone && !r.of.medals {
			u.Kind, u.Removed = client.UpdateRemoved, []string{r.of.id}
		}
		return u, gone && !r.of.medals, nil
	}
	var revision uint64
	if r.of.medals {
		u.Kind, u.Medals = client.UpdateMedals, make([]medal.Standings, 1)
		err = json.Unmarshal(r.given.Body, &u.Medals[0])
		revision = u.Medals[0].Revision
	} else {
		u.Kind, u.Scores = client.UpdateScore, make([]score.Record, 1)
		err = json.Unmarshal(r.given.Body, &u.Scores[0])
		revision = u.Scores[0].Revision
	}
	if err != nil {
		return u, false, fmt.Errorf("cannot read the certified answer to %s: %w", r.of.path, err)
	}
	ok = revision != r.of.shown
	r.of.shown = revision
	return u, ok, nil
}

// stop tells that certificates have stopped, once no reader would accept the newest one.
func (w *Watch) stop(err error) {
	if !w.stopped && time.Since(w.newest) > witness.MaxAge {
		w.stopped = true
		first, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Fprintf(w.Notes, "certificates have stopped: what is shown is as of %s; %s\n",
			clock(w.newest), textfmt.OneLine(first))
	}
}

// goOn tells who certifies, if that has changed, and that certificates are there again. It
// names whose answers were refused.
func (w *Watch) goOn(a *verify.CertifiedAnswer) {
	if a.At.After(w.newest) {
		w.newest = a.At
	}
	if w.stopped {
		fmt.Fprintf(w.Notes, "certified by %s, round %d, as of %s\n",
			strings.Join(a.Frontends, ", "), a.Round.Number, clock(a.At))
	}
	w.stopped = false
	for _, o := range a.Objectors {
		fmt.Fprintln(w.Notes, textfmt.OneLine(o.String()))
	}
}

func clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }
