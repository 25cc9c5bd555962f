package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
)

const (
	// answerTimeout is how long a question waits for this frontend's own answer before
	// the master is asked. A lease ends long before.
	answerTimeout = time.Second
	// boardTimeout is how long the master waits for a leaderboard that is not in memory
	// yet. There is no other frontend to ask.
	boardTimeout = 5 * time.Second
	// staleTimeout is how long a client that accepts an old answer waits for a current
	// one to begin. A change of master may take less.
	staleTimeout = 300 * time.Millisecond
	// leasePoll is how often a frontend that has just become the master is asked for its
	// own lease.
	leasePoll = 5 * time.Millisecond
)

// answer is the answer to a question, and how it came about.
type answer struct {
	entry *cache.Entry
	how   string // Laurel-Cache
	mode  score.CacheMode
	// The answer was true at some moment within age, if aged. An answer that is not aged
	// and not stale is linearizable.
	age  time.Duration
	aged bool
}

// read returns the handler of a read: from this frontend if it may answer, else from the
// master, else, if the client accepts that, from what this frontend last knew.
func (s *server) read(route *question.Route) handler.Func {
	return func(ctx context.Context, r *handler.Request) (handler.Response, error) {
		q, err := route.Parse(r.Name, r.Query)
		if err != nil {
			return handler.Response{}, err
		}
		if !q.Stale.Accepted {
			q.Stale = question.StalenessOf(r.CacheControl)
		}
		a, err := s.find(ctx, r, &q)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				s.metrics.reads[refused].Add(1)
			}
			return handler.Response{}, err
		case a == nil:
			s.metrics.reads[cache.Forward].Add(1)
			return handler.Written, nil
		}
		s.metrics.reads.count(a)
		if q.Board != nil && memoOf(a.entry) == nil {
			a.entry.Memo.Store(&memo{etag: q.Board.ETag(s.status.Incarnation(), a.entry.Revision)})
		}
		return s.response(ctx, r, a, &q)
	}
}

// find returns the answer, or nil if the master has written it.
func (s *server) find(ctx context.Context, r *handler.Request, q *question.Question) (*answer, error) {
	start := time.Now()
	for {
		a, err := s.ownInTurn(ctx, q)
		notLeased := errors.Is(err, cache.ErrNotLeased)
		if notLeased {
			if err = s.forwardRead(r, q); err == nil {
				return nil, nil
			}
		}
		var problem *score.Problem
		switch {
		case err == nil:
			return a, nil
		case !errors.As(err, &problem) || problem.Code != score.NoMaster || !s.client:
			return nil, err
		case notLeased && (s.status.Master() || s.status.Leased()) && time.Since(start) < timeoutOf(q):
			// This frontend has become the master, whose lease follows, or has got a
			// lease.
			if err := sleep(ctx, leasePoll); err != nil {
				return nil, err
			}
		default:
			return s.staleAnswer(ctx, q, problem)
		}
	}
}

// forwardRead has the master answer. A client that accepts an old answer waits only until
// staleTimeout.
func (s *server) forwardRead(r *handler.Request, q *question.Question) error {
	w, _ := r.Transport()
	w.Header().Set("Laurel-Cache", cache.Forward)
	var limit time.Duration
	if q.Stale.Accepted {
		limit = staleTimeout
	}
	err := s.forwardWithin(limit, r)
	if err != nil {
		w.Header().Del("Laurel-Cache")
	}
	return err
}

// sleep waits for d or until ctx ends, which is the error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTurn calls f, which takes a processor for long, when it is the client's turn.
func (s *server) inTurn(ctx context.Context, q *question.Question, f func() error) error {
	limited, cancel := context.WithTimeout(ctx, timeoutOf(q))
	defer cancel()
	if problem := s.gate.AwaitList(limited); problem != nil {
		return cmp.Or(ctx.Err(), error(problem))
	}
	defer s.gate.EndList()
	return f()
}

// ownInTurn is own for a client, who waits for a list that is not in memory. Watchers do
// not wait for clients.
func (s *server) ownInTurn(ctx context.Context, q *question.Question) (a *answer, err error) {
	inMemory, _ := s.group.Reader.Find([]byte(q.Key))
	if q.Tag == "" || q.Board != nil || s.status.CacheMode() == score.Pull || inMemory != nil {
		return s.own(ctx, q)
	}
	err = s.inTurn(ctx, q, func() (err error) {
		a, err = s.own(ctx, q)
		return err
	})
	return a, err
}

// own returns the answer of this frontend by the rules of the mode. The error is
// cache.ErrNotLeased if the master must be asked.
func (a *API) own(ctx context.Context, q *question.Question) (*answer, error) {
	timeout := timeoutOf(q)
	if q.Board != nil && !q.Stale.Accepted && a.group.Status.Master() {
		timeout = boardTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	e, how, err := a.current(limited, q)
	switch {
	case err == nil:
		return &answer{entry: e, how: how, mode: score.Push}, nil
	case limited.Err() != nil && ctx.Err() == nil:
		return nil, cache.ErrNotLeased
	case !errors.Is(err, cache.ErrNotLeased) || a.group.Status.CacheMode() != score.Pull:
		return nil, err
	}
	if !q.Stale.Accepted {
		limited = ctx // Pull has time limits of its own
	}
	e, how, age, err := a.group.Reader.Pull(limited, q.Key)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return nil, score.Problemf(score.NoMaster, "the master did not answer within %s", staleTimeout)
	case err != nil:
		return nil, err
	}
	return &answer{entry: e, how: how, mode: score.Pull, age: age, aged: true}, nil
}

// current returns the linearizable answer from this frontend's memory or state.
func (a *API) current(ctx context.Context, q *question.Question) (e *cache.Entry, how string, err error) {
	if q.Board != nil {
		return a.board(ctx, q.Board)
	}
	if e, lease := a.group.Reader.Find([]byte(q.Key)); e != nil && lease.Visible(e.Revision) {
		return e, cache.Hit, nil
	}
	return a.group.Reader.Answer(ctx, q.Key, q.Tag, q.Ask)
}

// timeoutOf returns how long the question waits for one way to a current answer before it
// tries the next.
func timeoutOf(q *question.Question) time.Duration {
	if q.Stale.Accepted {
		return staleTimeout
	}
	return answerTimeout
}

// staleAnswer returns what this frontend last knew, if the client accepts that. why is
// the reason why there is no current answer.
func (s *server) staleAnswer(ctx context.Context, q *question.Question, why *score.Problem) (*answer, error) {
	if !q.Stale.Accepted {
		return nil, why
	}
	e, age, known, err := s.staleEntry(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case q.Stale.Accepts(age, known):
		return &answer{entry: e, how: cache.Stale, mode: s.status.CacheMode(), age: age, aged: known}, nil
	case !known:
		return nil, score.Problemf(score.NotReady,
			"%s; the age of the scores here is unknown, so max-stale cannot be kept", why.Detail)
	}
	return nil, score.Problemf(score.NotReady,
		"%s; the scores here are up to %s s old, which is more than max-stale", why.Detail, question.FormatAge(age))
}

func (a *API) staleEntry(
	ctx context.Context, q *question.Question,
) (e *cache.Entry, age time.Duration, known bool, err error) {
	e = new(cache.Entry)
	if b := q.Board; b != nil {
		ctx, cancel := context.WithTimeout(ctx, boardTimeout)
		defer cancel()
		page, revision, age, known, err := a.group.Reader.StaleBoard(ctx, b.Contest, &b.Query)
		e.Body, e.Revision, err = b.Body(&page, revision, err)
		return e, age, known, err
	}
	age, known, err = a.group.Reader.Stale(func(v queries.View) (err error) {
		e.Body, e.Revision, err = q.Ask(v)
		return err
	})
	return e, age, known, err
}

// response returns the response with the answer, or 304 if the client has it. If there is
// no such thing, the problem has the same header fields about how that is known.
func (s *server) response(
	ctx context.Context, r *handler.Request, a *answer, q *question.Question,
) (handler.Response, error) {
	p := handler.Response{Cache: a.how, Mode: string(a.mode), Revision: a.entry.Revision}
	if a.aged {
		p.Age = question.FormatAge(a.age)
	}
	if a.entry.Body == nil {
		return p, q.Missing()
	}
	if r.WantsText() {
		var b bytes.Buffer
		write := func() error { return q.Text(&b, a.entry.Body) }
		err := error(nil)
		if len(a.entry.Body) <= admission.FreeAnswer {
			err = write()
		} else {
			err = s.inTurn(ctx, q, write)
		}
		if err != nil {
			return p, err
		}
		p.Type, p.Body, p.ETag = handler.TypeText, b.Bytes(), handler.ETag(b.Bytes())
	} else {
		p.Type, p.Body, p.ETag = handler.TypeJSON, a.entry.Body, etagOf(a.entry)
	}
	p.CacheControl, p.VaryAccept = "no-cache", true
	if handler.MatchesETag(r.IfNoneMatch, p.ETag) {
		p.Status, p.Body = http.StatusNotModified, nil
	}
	return p, nil
}
