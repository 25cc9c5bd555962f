package httpapi

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"laurel/score"
)

// timelinePage is the answer to a contest's timeline.
type timelinePage struct {
	Events []score.TimelineEvent `json:"events"`
	Next   string                `json:"next"` // the parameter after of the next page, "" at the end
}

func timeline(r *http.Request) (question, error) {
	q, err := parameters(r, "after", "limit")
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(q)
	if err != nil {
		return nil, err
	}
	var after uint64
	if given := q.Get("after"); given != "" {
		if after, err = strconv.ParseUint(given, 10, 64); err != nil {
			return nil, fieldProblem("after", "got %s; want what an answer gave as next", quoted(given))
		}
	}
	id := mux.Vars(r)["contest"]
	return func(v Records) (answer, error) {
		list, next, err := v.Timeline(id, after, limit)
		switch {
		case err != nil:
			return answer{}, err
		case len(list) == 0 && after == 0:
			return answer{}, score.Problemf(score.NotFound, "no event is about a contest %s", quoted(id))
		}
		page := timelinePage{Events: list}
		if next != 0 {
			page.Next = strconv.FormatUint(next, 10)
		}
		return answer{v.Revision(), page, func(b *bytes.Buffer) { timelineText(b, page) }}, nil
	}, nil
}

func timelineText(b *bytes.Buffer, page timelinePage) {
	t := newTable(b, "REVISION", "TIME", "TYPE", "ID", "DATA")
	for _, e := range page.Events {
		data := string(e.Data)
		if e.VoidedBy != "" {
			data = "(voided by " + e.VoidedBy + ") " + data
		}
		t.row(strconv.FormatUint(e.Revision, 10), e.Time.UTC().Format(time.RFC3339), string(e.Type), e.ID, data)
	}
	t.end()
	nextText(b, page.Next)
}
