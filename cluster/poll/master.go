package poll

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"

	"laurel/cache/pull"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/fsm/view"
	"laurel/score"
)

// maxItems and maxBody, in bytes, bound one poll.
const (
	maxItems = 1024
	maxBody  = 1 << 20
)

// request asks for the answers to items.
type request struct {
	// Private reports whether the asking frontend answers readers only, as far as it has
	// applied the log. An answer may be newer than that.
	Private bool   `json:"private,omitzero"`
	Items   []item `json:"items"`
}

// item asks for the answer to a key.
type item struct {
	Key string `json:"key"`
	Sum []byte `json:"sum,omitzero"` // the checksum of the answer that the frontend holds
}

// answer is the answer to an item.
type answer struct {
	Same     bool           `json:"same,omitzero"` // it has the checksum
	Body     []byte         `json:"body,omitzero"` // nil: there is no such record
	Revision uint64         `json:"revision,omitzero"`
	Problem  *score.Problem `json:"problem,omitzero"` // of the question
}

// Serve answers a poll of another member.
func (r *Reader) Serve(w http.ResponseWriter, req *http.Request) error {
	var q request
	if err := json.UnmarshalRead(http.MaxBytesReader(w, req.Body, maxBody), &q); err != nil {
		return err
	}
	if len(q.Items) > maxItems {
		return score.Problemf(score.TooLarge, "a poll of %d keys; want at most %d", len(q.Items), maxItems)
	}
	answers, err := r.answer(req.Context(), &q)
	if err != nil {
		return err
	}
	return json.MarshalWrite(w, answers)
}

// answer answers a poll. The answers were true at some moment after the call: this member
// proves that it was still the master then, and waits until all frontends may show what
// it answers. A frontend that does not know yet that the group is private gets none: it
// would give them to anybody.
func (r *Reader) answer(ctx context.Context, q *request) ([]answer, error) {
	if err := r.Rounds.Confirm(ctx); err != nil {
		return nil, err
	}
	answers, revision, err := r.load(ctx, q.Items)
	if err != nil {
		return nil, err
	}
	if r.Machine.Access().Settings.Private && !q.Private {
		return nil, score.Problemf(score.NotReady, "the asking frontend has not applied yet that the group is private")
	}
	if !r.Released(ctx, revision) {
		return nil, peer.NoMaster()
	}
	return answers, nil
}

// load answers from this member's own state. No answer has anything later than revision.
func (r *Reader) load(ctx context.Context, items []item) (answers []answer, revision uint64, err error) {
	answers = make([]answer, len(items))
	questions := make([]queries.Question, len(items))
	for i := range items {
		questions[i], err = r.Parse(items[i].Key)
		if err := answers[i].set(nil, 0, err, nil); err != nil {
			return nil, 0, err
		}
		if answers[i].Problem != nil {
			questions[i] = queries.Question{}
		}
	}
	err = r.Machine.View(func(v *view.View) error {
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
			page, last, problem := r.Machine.Board(ctx, q.Contest, &q.Query)
			var body []byte
			body, last, problem = q.Body(&page, last, problem)
			err = answers[i].set(body, last, problem, items[i].Sum)
		}
	}
	return answers, r.Machine.Revision(), err
}

// set sets the answer. It returns err unless that is a problem of the question, which is
// an answer. held is the checksum of the answer that the frontend has.
func (a *answer) set(body []byte, revision uint64, err error, held []byte) error {
	problem, refused := errors.AsType[*score.Problem](err)
	switch {
	case refused:
		a.Problem = problem
	case err != nil:
		return err
	case held != nil && slices.Equal(held, pull.Sum(body)):
		a.Same, a.Revision = true, revision
	default:
		a.Body, a.Revision = body, revision
	}
	return nil
}
