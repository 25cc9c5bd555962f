package backup

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// lookEvery is how often a frontend that is not the master looks whether it is.
	lookEvery = time.Second
	// settleTime is how long a new master waits before it looks for backups: leadership may
	// move on at once.
	settleTime = 2 * time.Second
	// firstPause and maxPause bound the pause after a failure, which doubles.
	firstPause = 5 * time.Second
	maxPause   = 10 * time.Minute
	// limit bounds one backup, and listLimit one request to list or to delete.
	limit     = 30 * time.Minute
	listLimit = time.Minute
	// graceTime is how long a target may take to notice that its time is over.
	graceTime = 5 * time.Second
)

// Source is the store as a Runner sees it, at one frontend.
type Source interface {
	// Leadership returns a context that ends when this frontend is no longer the master; nil
	// if it is not.
	Leadership() context.Context
	// Version names the present state.
	Version() Version
	// Save writes a snapshot of the present state that names the time.
	Save(ctx context.Context, w io.Writer, at time.Time) (revision uint64, err error)
}

// Version names one state of a store. Equal versions have equal snapshots.
type Version struct {
	Store    string // the lineage; "" if the store has none yet
	Revision uint64
	// Change is another value after each change of the access control and the settings.
	Change any
}

// Runner makes backups while its frontend is the master, one at a time.
type Runner struct {
	Plan
	Source  Source
	Metrics *Metrics
	Logger  *slog.Logger

	told map[string]bool // refusals of the target that were logged
	busy chan outcome    // of a backup that has not returned in time; nil if there is none
}

// outcome is what came of one backup.
type outcome struct {
	File
	bytes int64
	took  time.Duration
	err   error
}

// Run makes backups until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	r.Metrics.interval.Set(r.Every.Seconds())
	for ctx.Err() == nil {
		if leads := r.Source.Leadership(); leads != nil {
			r.lead(ctx, leads)
		}
		sleep(ctx, lookEvery)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// errLed is the cause of the end of a backup whose frontend is no longer the master.
var errLed = errors.New("this frontend is no longer the master")

// lead makes backups until this frontend is no longer the master.
func (r *Runner) lead(ctx, leads context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(leads, func() { cancel(errLed) })()
	sleep(ctx, settleTime)
	saved, last := Version{}, File{} // of the last backup of this leadership
	failed := 0                      // in a row
	for due := r.firstDue(ctx); ; {
		sleep(ctx, time.Until(due))
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		due = now.Add(r.Every)
		version := r.Source.Version()
		if version.Store == "" {
			continue
		}
		if version == saved && r.has(ctx, last) {
			r.Metrics.lastSuccess.Set(float64(now.Unix()))
			continue
		}
		made, err := r.attempt(ctx, version.Store, now)
		switch {
		case err == nil:
			saved, last, failed = version, made, 0
			if r.Keep > 0 {
				r.prune(ctx, version.Store)
			}
		case ctx.Err() != nil: // it is the next master's task
			r.Logger.Info("a backup was given up", "err", context.Cause(ctx))
		default:
			failed++
			due = time.Now().Add(pause(failed, r.Every))
			r.Metrics.failures.Inc()
			r.Logger.Error("backup failed", "target", r.Target, "err", err,
				"again_in", time.Until(due).Round(time.Second))
		}
	}
}

// pause returns how long to wait after a number of failures in a row.
func pause(failed int, every time.Duration) time.Duration {
	longest := firstPause << min(failed-1, 10)
	longest = max(firstPause, min(longest, maxPause, every))
	return longest/2 + rand.N(longest/2)
}

// firstDue returns when a new master makes its first backup: at once, unless the target has
// a newer one than the interval is long.
func (r *Runner) firstDue(ctx context.Context) time.Time {
	now, store := time.Now(), r.Source.Version().Store
	files, err := r.list(ctx, store)
	if err != nil || len(files) == 0 {
		return now
	}
	r.Metrics.know(files[0])
	if due := files[0].Time.Add(r.Every); due.After(now) && files[0].Time.Before(now.Add(listLimit)) {
		return due
	}
	return now
}

// list returns the backups of a store, the newest first. It logs an error of the target, and a
// refusal once.
func (r *Runner) list(ctx context.Context, store string) ([]File, error) {
	if r.hangs() {
		return nil, errHangs // attempt follows, and reports it
	}
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	names, err := r.Target.List(ctx, storeBegin(store))
	if err != nil {
		r.complain(ctx, "cannot list the backups; the last one is not known, and none is deleted", err)
	}
	return ofStore(names, store), err
}

// has reports whether the target still has a backup, as far as it says. A disk that is lost, or
// not mounted any more, must not count as a success while nothing changes.
func (r *Runner) has(ctx context.Context, f File) bool {
	files, err := r.list(ctx, f.Store)
	if err != nil {
		return errors.Is(err, errors.ErrUnsupported) // nobody can tell
	}
	there := slices.ContainsFunc(files, func(g File) bool { return g.Name() == f.Name() })
	if !there {
		r.Logger.Warn("the last backup is not there any more; making another one", "target", r.Target, "file", f.Name())
	}
	return there
}

// complain logs that the target did not do something that a backup can do without.
func (r *Runner) complain(ctx context.Context, what string, err error) {
	if errors.Is(context.Cause(ctx), errLed) || r.told[what] {
		return
	}
	if errors.Is(err, errors.ErrUnsupported) {
		if r.told == nil {
			r.told = map[string]bool{}
		}
		r.told[what] = true
	}
	r.Logger.Warn(what, "target", r.Target, "err", err)
}

var errHangs = errors.New("the target has not returned from the last backup, which hangs")

// hangs reports whether the target has not returned from a backup yet.
func (r *Runner) hangs() bool {
	select {
	case <-r.busy: // whatever came of it was too late
		r.busy = nil
	default:
	}
	return r.busy != nil
}

// attempt makes one backup, and fails if the target takes too long.
func (r *Runner) attempt(ctx context.Context, store string, now time.Time) (made File, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took more than %s", limit))
	defer cancel()
	if r.hangs() {
		return made, errHangs
	}
	done := make(chan outcome, 1)
	go func() { done <- r.put(ctx, File{Store: store, Time: now}) }()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done:
		case <-time.After(graceTime):
			r.busy = done
			return made, fmt.Errorf("the target hangs: %w", context.Cause(ctx))
		}
	}
	if o.err != nil {
		if ctx.Err() != nil {
			return made, fmt.Errorf("%w: %w", context.Cause(ctx), o.err)
		}
		return made, o.err
	}
	r.Metrics.know(o.File)
	r.Metrics.bytes.Set(float64(o.bytes))
	r.Metrics.seconds.Observe(o.took.Seconds())
	r.Logger.Info("backup made", "target", r.Target, "file", o.Name(), "revision", o.Revision, "bytes", o.bytes,
		"took", o.took.Round(time.Millisecond))
	return o.File, nil
}

// put writes a snapshot to the target.
func (r *Runner) put(ctx context.Context, f File) (o outcome) {
	began := time.Now()
	o.bytes, o.err = r.Target.Put(ctx, func(w io.Writer) (string, error) {
		var err error
		out := bufio.NewWriterSize(&paced{ctx, w, time.Now()}, pieceBytes) // gzip writes some 200 bytes at once
		f.Revision, err = r.Source.Save(ctx, out, f.Time)
		return f.Name(), cmp.Or(err, out.Flush())
	})
	o.File, o.took = f, time.Since(began)
	return o
}

// A snapshot that is written as fast as it goes takes a processor from posts. So a backup rests
// restShare times as long as it has worked, but for no longer than maxRest at a time.
const (
	restShare  = 3
	maxRest    = 20 * time.Millisecond
	pieceBytes = 32 << 10
)

// paced is a writer that has who writes rest after each piece, and that fails once its context
// has ended.
type paced struct {
	ctx  context.Context
	w    io.Writer
	from time.Time // since when the present piece is being made
}

func (p *paced) Write(b []byte) (int, error) {
	worked := time.Since(p.from)
	sleep(p.ctx, min(restShare*worked, maxRest))
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	n, err := p.w.Write(b)
	p.from = time.Now() // what the target takes is no work
	return n, err
}

// prune deletes the backups of a store that are more than enough.
func (r *Runner) prune(ctx context.Context, store string) {
	files, err := r.list(ctx, store)
	if err != nil {
		return
	}
	for _, f := range surplus(files, r.Keep) {
		deleting, cancel := context.WithTimeout(ctx, listLimit)
		err := r.Target.Delete(deleting, f.Name())
		cancel()
		if err != nil {
			r.complain(ctx, "cannot delete old backups", err)
			return
		}
		r.Logger.Debug("deleted an old backup", "target", r.Target, "file", f.Name())
	}
}
