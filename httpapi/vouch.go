package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/witness"
)

const (
	// catchUpTimeout is how long a question waits for its revision. Any client may name one
	// that does not exist.
	catchUpTimeout = time.Second
	// maxCatchingUp is how many questions wait for a revision at once. Others are answered
	// from the state as it is.
	maxCatchingUp = 256
	// exactTries is how often an answer is sought whose revision is known.
	exactTries = 16
)

// vouch answers a question as GET would, but from this frontend's own state whatever the
// master says, and signed. The answer may have what plain reads show only a moment later.
func (s *server) vouch(ctx context.Context, r *handler.Request) (handler.Response, error) {
	var asked witness.Question
	if err := r.Decode(&asked); err != nil {
		return handler.Response{}, err
	}
	if err := asked.Check(); err != nil {
		return handler.Response{}, score.Problemf(score.InvalidEvent, "%v", err)
	}
	q, err := readOf(asked.Question)
	if err != nil && score.CodeOf(err) != score.NotFound {
		return handler.Response{}, err
	}
	if problem := s.gate.ChargeSignature(r); problem != nil {
		return handler.Response{}, problem
	}
	s.catchUp(ctx, asked.Revision)
	said := witness.Statement{Status: http.StatusOK, Revision: s.group.Voucher.AppliedRevision()}
	if err == nil {
		said.Body, said.Revision, err = s.ownAnswerInTurn(ctx, &q)
	}
	if score.CodeOf(err) == score.NotFound {
		var missing *score.Problem
		errors.As(err, &missing)
		said.Status, said.Body = missing.Status, string(handler.AppendProblem(nil, missing))+"\n"
		err = nil
	}
	if err == nil {
		err = s.group.Voucher.Vouch(&asked, &said)
	}
	if err != nil {
		return handler.Response{}, err
	}
	body, err := queries.Encode(&said)
	return handler.Response{CacheControl: "no-store", Type: handler.TypeJSON, Body: body, Revision: said.Revision}, err
}

// readOf parses the path and the query of a read.
func readOf(text string) (question.Question, error) {
	u, err := url.ParseRequestURI(text)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return question.Question{}, handler.FieldProblem("question",
			"want a path with its query, such as /v1/scores?limit=5")
	}
	path, ok := strings.CutPrefix(u.Path, "/v1/")
	if !ok {
		return question.Question{}, question.UnknownPath(u.Path)
	}
	return question.ParseRead(path, u.RawQuery)
}

// catchUp waits a moment until this frontend's state has a revision.
func (s *server) catchUp(ctx context.Context, revision uint64) {
	if s.group.Voucher.AppliedRevision() >= revision {
		return
	}
	select {
	case s.catchingUp <- struct{}{}:
		defer func() { <-s.catchingUp }()
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.catchUpTimeout)
	defer cancel()
	_ = s.group.Voucher.AwaitApplied(ctx, revision) // the answer says which revision there is
}

// ownAnswerInTurn is ownAnswer, but lists wait for their turn as those of GET do.
func (s *server) ownAnswerInTurn(ctx context.Context, q *question.Question) (body string, revision uint64, err error) {
	if q.Tag == "" || q.Board != nil {
		return s.ownAnswer(ctx, q)
	}
	err = s.inTurn(ctx, q, func() (err error) {
		body, revision, err = s.ownAnswer(ctx, q)
		return err
	})
	return body, revision, err
}

// ownAnswer returns the answer of this frontend's own state, and a revision of which that
// was the answer. A missing answer is a problem.
func (s *server) ownAnswer(ctx context.Context, q *question.Question) (body string, revision uint64, err error) {
	for range exactTries {
		before := s.group.Voucher.AppliedRevision()
		e, _, known, err := s.staleEntry(ctx, q)
		switch {
		case err != nil:
			return "", 0, err
		case !known:
			// Its state may be older than what it has vouched for before it was started again.
			return "", 0, score.Problemf(score.NotReady,
				"this frontend has not caught up with its group since it started; retry, or ask another frontend")
		}
		// The state was that of before, or a later one. What has not changed since before was
		// the answer then, and what has was the answer when it changed.
		revision = max(before, e.Revision)
		if e.Body != nil {
			return string(e.Body), revision, nil
		}
		// Nothing has no revision of its last change.
		if s.group.Voucher.AppliedRevision() == before {
			return "", before, q.Missing()
		}
	}
	return "", 0, score.Problemf(score.NotReady,
		"the state changes too fast to tell of which revision this is true; retry")
}
