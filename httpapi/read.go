package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
)

const (
	// answerLimit is how long a question waits for this frontend's own answer before it tries another way. A lease ends long before.
	answerLimit = time.Second
	// boardLimit is how long the master waits for a leaderboard that is not in memory yet; there is nobody else to ask.
	boardLimit = 5 * time.Second
	// consentLimit is how long a caller who consents to an old answer waits for a true one to begin. One master may follow another in less.
	consentLimit = 300 * time.Millisecond
	// turnPause is how often a question looks whether a frontend that has just become the master has its own lease.
	turnPause = 5 * time.Millisecond
)

// reply is an answer, and what is to be said of it.
type reply struct {
	entry *cache.Entry
	how   string // Laurel-Cache
	mode  score.CacheMode
	// age: the answer was true at some moment in this time, if it is aged. One that is not, and is not stale, is linearizable.
	age  time.Duration
	aged bool
}

// read answers a question about scores. What is here and may be given is given; else the master is asked; else a caller who consents gets
// what this frontend last knew.
func (p *port) read(w http.ResponseWriter, r *http.Request) error {
	q, err := questionOf(strings.TrimPrefix(r.URL.Path, "/v1/"), r.URL.RawQuery)
	if err != nil {
		return err
	}
	if !q.consent.given {
		q.consent = consentIn(r.Header.Values("Cache-Control"))
	}
	a, err := p.reply(w, r, &q)
	switch {
	case err != nil:
		if r.Context().Err() == nil {
			p.metrics.reads.refused.Add(1)
		}
		return err
	case a == nil:
		p.metrics.reads.forward.Add(1)
		return nil
	}
	p.metrics.reads.count(a)
	if q.board != nil && memoOf(a.entry) == nil {
		a.entry.Memo.Store(&memo{etag: q.board.tagOf(p.group.Store(), a.entry.Revision)})
	}
	return sendReply(w, r, &q, a)
}

// reply finds the answer. It is nil, without an error, if the master has written it.
func (p *port) reply(w http.ResponseWriter, r *http.Request, q *question) (*reply, error) {
	began := time.Now()
	for {
		a, err := p.here(r.Context(), q)
		elsewhere := errors.Is(err, cache.ErrNotLeased)
		if elsewhere {
			w.Header().Set("Laurel-Cache", cache.Forward)
			if err = p.forwardQuestion(w, r, q); err == nil {
				return nil, nil
			}
			w.Header().Del("Laurel-Cache")
		}
		var problem *score.Problem
		switch {
		case err == nil:
			return a, nil
		case !errors.As(err, &problem) || problem.Code != score.NoMaster || !p.forwards:
			return nil, err
		case elsewhere && (p.group.Master() || p.group.Leased()) && time.Since(began) < q.patience():
			// The mastership has come here meanwhile, and the lease follows it; or only the lease has.
			if err := rest(r.Context(), turnPause); err != nil {
				return nil, err
			}
		default:
			return p.stale(r.Context(), q, problem)
		}
	}
}

func rest(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// here is the answer of this frontend by the rules of the mode. The error is cache.ErrNotLeased where the master must be asked.
func (p *port) here(ctx context.Context, q *question) (*reply, error) {
	patience := q.patience()
	if q.board != nil && !q.consent.given && p.group.Master() {
		patience = boardLimit
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, how, err := p.answer(limited, q)
	switch {
	case err == nil:
		return &reply{entry: e, how: how, mode: score.Push}, nil
	case limited.Err() != nil && ctx.Err() == nil:
		return nil, cache.ErrNotLeased
	case !errors.Is(err, cache.ErrNotLeased) || p.group.CacheMode() != score.Pull:
		return nil, err
	}
	if !q.consent.given {
		limited = ctx // the group has limits of its own
	}
	e, how, age, err := p.group.Pull(limited, q.key)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return nil, score.Problemf(score.NoMaster, "the master did not answer within %s", consentLimit)
	case err != nil:
		return nil, err
	}
	return &reply{entry: e, how: how, mode: score.Pull, age: age, aged: true}, nil
}

// answer is the answer from this frontend's memory or state. The error is cache.ErrNotLeased where it may not give one now.
func (p *port) answer(ctx context.Context, q *question) (e *cache.Entry, how string, err error) {
	if q.board != nil {
		return p.board(ctx, q.board)
	}
	if e := p.group.Hit([]byte(q.key)); e != nil {
		return e, cache.Hit, nil
	}
	return p.group.Answer(ctx, q.key, q.tag, q.ask)
}

// patience is how long the question waits for one way to a true answer before it tries the next.
func (q *question) patience() time.Duration {
	if q.consent.given {
		return consentLimit
	}
	return answerLimit
}

// forwardQuestion is forward, but does not keep a caller waiting who would rather have an old answer.
func (p *port) forwardQuestion(w http.ResponseWriter, r *http.Request, q *question) error {
	if !q.consent.given {
		return p.forward(w, r)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	timer := time.AfterFunc(consentLimit, cancel)
	defer timer.Stop()
	return p.forward(&impatient{w, timer}, r.WithContext(ctx))
}

// impatient is where an answer is written that must begin in time, however long it then takes.
type impatient struct {
	http.ResponseWriter
	timer *time.Timer
}

func (w *impatient) WriteHeader(status int) {
	w.timer.Stop()
	w.ResponseWriter.WriteHeader(status)
}

func (w *impatient) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// forward has the master answer. A request that has been forwarded already goes no further.
func (p *port) forward(w http.ResponseWriter, r *http.Request) error {
	if !p.forwards {
		return p.notMaster()
	}
	member := noMember
	if who := callerOf(r); who != nil && who.member != "" {
		member = who.member
	}
	r.Header.Set(CallerHeader, member) // whatever the client said there
	return p.group.Forward(w, r)
}

func (p *port) notMaster() error {
	return score.Problemf(score.NoMaster, "this was forwarded to %s, which cannot answer as the master now; ask again", p.group.ID())
}

// stale answers from this frontend's own state if the caller consents to what that is. Why tells why there is no better answer.
func (p *port) stale(ctx context.Context, q *question, why *score.Problem) (*reply, error) {
	if !q.consent.given {
		return nil, why
	}
	e, age, known, err := p.staleEntry(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case q.consent.allows(age, known):
		return &reply{entry: e, how: cache.Stale, mode: p.group.CacheMode(), age: age, aged: known}, nil
	case !known:
		return nil, score.Problemf(score.NotReady, "%s; how old the scores here are is not known, and they are not given with a bound on their age", why.Detail)
	}
	return nil, score.Problemf(score.NotReady, "%s; the scores here are up to %s s old, which is more than max-stale allows", why.Detail, ageOf(age))
}

func (p *port) staleEntry(ctx context.Context, q *question) (e *cache.Entry, age time.Duration, known bool, err error) {
	e = new(cache.Entry)
	if b := q.board; b != nil {
		ctx, cancel := context.WithTimeout(ctx, boardLimit)
		defer cancel()
		page, revision, age, known, err := p.group.StaleBoard(ctx, b.contest, &b.Query)
		e.Body, e.Revision, err = b.body(&page, revision, err)
		return e, age, known, err
	}
	age, known, err = p.group.Stale(func(v queries.View) (err error) {
		e.Body, e.Revision, err = q.ask(v)
		return err
	})
	return e, age, known, err
}

// sendReply writes the answer, or 304 where the client has it. Where there is no such thing the problem says so, with the same words about how that
// is known.
func sendReply(w http.ResponseWriter, r *http.Request, q *question, a *reply) error {
	h := w.Header()
	h.Set("Laurel-Revision", decimalOf(a.entry.Revision))
	h.Set("Laurel-Cache", a.how)
	h.Set("Laurel-Mode", string(a.mode))
	if a.aged {
		h.Set("Age", ageOf(a.age))
	}
	body, kind := a.entry.Body, typeJSON
	if body == nil {
		return q.missing()
	}
	var tag string
	if wantsText(r) {
		var b bytes.Buffer
		if err := q.text(&b, body); err != nil {
			return err
		}
		body, kind, tag = b.Bytes(), typeText, etag(b.Bytes())
	} else {
		tag = tagOf(a.entry)
	}
	h.Set("Etag", tag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept")
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	writeBody(w, kind, body)
	return nil
}
