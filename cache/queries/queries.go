// Package queries describes the questions that a frontend is asked. Package httpapi reads
// a Question from a request and answers it at once; package cluster looks one up by its
// key when another frontend polls for the answer, and encodes what it pushes. Both sides
// must make the same answer, byte for byte, so all that decides its bytes is here: the
// function that makes it, and Encode.
package queries

import (
	"sync"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/medal"
	"laurel/score/ranking"
	"laurel/trust/access"
)

// View is one consistent view of the store. What it hands out is valid until the call
// that it was given to returns.
type View interface {
	// Revision returns the revision of the last event in the view.
	Revision() uint64
	// Incarnation returns the incarnation of the view's revisions, "" if the store has
	// none yet.
	Incarnation() string
	Contest(id string) (rec score.Record, ok bool, err error)
	// Contests lists contests by id: limit at most, and fewer, or none, if they are long or
	// rare. after and next are contest ids, or places in the filter's section; next is ""
	// at the end.
	Contests(f score.Filter, after string, limit int) (list []score.Record, next string, err error)
	// Timeline lists a contest's events in order: limit at most, and fewer if they are
	// long. after and next are revisions; next is 0 at the end.
	Timeline(contestID string, after uint64, limit int) (list []score.TimelineEvent, next uint64, err error)
	// StartList lists a contest's competitors in their order: limit at most. ok is false if
	// the contest is not defined.
	StartList(contestID string, after *score.Entrant, limit int) (p score.StartListPage, ok bool, err error)
	Medals(competition string) (t *medal.Table, ok bool, err error)
	// Keys lists the ids of the contests of a competition, and the competition if it has a
	// medal table; for "", of all competitions.
	Keys(competition string) (contests, tables []string, err error)
	// Overview counts the contests, and names the latest medal tables, at most tables.
	Overview(tables int) (score.Overview, error)
	Sources
	// Audit lists the audit trail in order. after and next are numbers of lines; next is
	// 0 at the end.
	Audit(after uint64, limit int) (list []access.AuditEntry, next uint64, err error)
}

// Sources is the part of a View about the sources of events.
type Sources interface {
	Bard(source string) (b score.Bard, ok bool, err error)
	// Posted lists a source's events in order: limit at most. after is a seq.
	Posted(source string, after uint64, limit int) (score.Posted, error)
}

// Ask makes the answer to a question from a view of the store. It returns the body, nil
// if there is no such thing, and the revision that last changed it. The answer depends on
// nothing but the view.
type Ask func(View) (body []byte, revision uint64, err error)

// Question is how the answer to a key is made: by Ask from a view of the store or, if Ask
// is nil, by Board from a leaderboard.
type Question struct {
	Ask   Ask
	Board *Board
}

// Board asks for a part of a leaderboard.
type Board struct {
	Contest string
	ranking.Query
	// Body makes the answer from the page, or from the problem in its place. It returns a
	// nil body if there is no such thing, and the revision that last changed the answer.
	Body func(p *ranking.Leaderboard, revision uint64, problem error) (body []byte, last uint64, err error)
}

// Parse finds the question for a key. The error is a *score.Problem.
type Parse func(key string) (Question, error)

// Encode returns value as the body of an answer. Answers that are pushed and answers that
// are loaded both come from Encode, so they are equal byte for byte.
func Encode(value any) ([]byte, error) {
	switch v := value.(type) {
	case *score.Record:
		return encodeRecord(v)
	case score.Record:
		return encodeRecord(&v)
	}
	body, err := json.Marshal(value)
	return append(body, '\n'), err
}

// buffers hold records while they are encoded, because an answer is kept for long and
// gets no more memory than it needs.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func encodeRecord(r *score.Record) ([]byte, error) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	written, err := r.AppendJSON((*b)[:0])
	const most = 64 << 10
	if cap(written) <= most {
		*b = written
	}
	body := append(make([]byte, 0, len(written)+1), written...)
	return append(body, '\n'), err
}
