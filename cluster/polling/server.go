package polling

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"

	"laurel/cache/pull"
	"laurel/cache/queries"
	"laurel/fsm"
	"laurel/score"
)

const (
	// maxItems bounds the items of one poll.
	maxItems = 1024
	// maxBody bounds the body of a poll, in bytes.
	maxBody = 1 << 20
)

// Item asks for the answer to a key.
type Item struct {
	Key string `json:"key"`
	Sum []byte `json:"sum,omitzero"` // the checksum of the answer that the frontend holds
}

// Answer is the answer to an Item.
type Answer struct {
	Same     bool           `json:"same,omitzero"` // it has the checksum
	Body     []byte         `json:"body,omitzero"` // nil: there is no such record
	Revision uint64         `json:"revision,omitzero"`
	Problem  *score.Problem `json:"problem,omitzero"` // of the question
}

// Server answers polls at the master.
type Server struct {
	Machine *fsm.Machine
	// Parse finds the question for a key. It is set before the first poll.
	Parse queries.Parse
	// Confirm returns nil if this member was still the master at some moment after the
	// call; else a *score.Problem.
	Confirm func(context.Context) error
	// AwaitReleased waits until all frontends may show a revision.
	AwaitReleased func(ctx context.Context, revision uint64) error
}

// Serve answers a poll over HTTP.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) error {
	var items []Item
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxBody), &items); err != nil {
		return err
	}
	if len(items) > maxItems {
		return score.Problemf(score.TooLarge, "a poll of %d keys; want at most %d", len(items), maxItems)
	}
	answers, err := s.Answer(r.Context(), items)
	if err != nil {
		return err
	}
	return json.MarshalWrite(w, answers)
}

// Answer answers a poll. The answers were true at some moment after the call: this member
// proves that it was still the master then, and waits until all frontends may show what
// it answers.
func (s *Server) Answer(ctx context.Context, items []Item) ([]Answer, error) {
	if err := s.Confirm(ctx); err != nil {
		return nil, err
	}
	answers, revision, err := s.answer(ctx, items)
	if err != nil {
		return nil, err
	}
	if err := s.AwaitReleased(ctx, revision); err != nil {
		return nil, err
	}
	return answers, nil
}

// answer answers from this member's own state. No answer has anything later than
// revision.
func (s *Server) answer(ctx context.Context, items []Item) (answers []Answer, revision uint64, err error) {
	answers = make([]Answer, len(items))
	questions := make([]queries.Question, len(items))
	for i := range items {
		if questions[i], err = s.Parse(items[i].Key); answers[i].setProblem(&err) {
			questions[i] = queries.Question{}
		}
		if err != nil {
			return nil, 0, err
		}
	}
	err = s.Machine.View(func(v *fsm.View) error {
		for i := range items {
			if ask := questions[i].Ask; ask != nil {
				body, last, err := ask(v)
				if err := answers[i].set(body, last, err, items[i].Sum); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for i := range items {
		// Outside of the view: to build a leaderboard takes time, and until the view ends
		// the database cannot reuse the space that it sees.
		if q := questions[i].Board; q != nil && err == nil {
			page, last, problem := s.Machine.Board(ctx, q.Contest, &q.Query)
			var body []byte
			body, last, problem = q.Body(&page, last, problem)
			err = answers[i].set(body, last, problem, items[i].Sum)
		}
	}
	return answers, s.Machine.Revision(), err
}

// setProblem moves an error into the answer, if it is a problem of the question.
func (a *Answer) setProblem(err *error) bool {
	var problem *score.Problem
	if !errors.As(*err, &problem) {
		return false
	}
	a.Problem, *err = problem, nil
	return true
}

// set sets the answer. held is the checksum of the one that the frontend has.
func (a *Answer) set(body []byte, revision uint64, err error, held []byte) error {
	switch {
	case a.setProblem(&err) || err != nil:
		return err
	case held != nil && slices.Equal(held, pull.Sum(body)):
		a.Same, a.Revision = true, revision
	default:
		a.Body, a.Revision = body, revision
	}
	return nil
}
