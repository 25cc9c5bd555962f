package httpapi

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
)

// timelinePage is the answer to a contest's timeline.
type timelinePage struct {
	Events []score.TimelineEvent `json:"events"`
	Next   string                `json:"next"` // the parameter after of the next page, "" at the end
}

func timeline(id, query string) (question, error) {
	q, consents, err := asked(query, "after", "limit")
	if err != nil {
		return question{}, err
	}
	limit, err := pageSize(q)
	if err != nil {
		return question{}, err
	}
	chosen := url.Values{}
	if limit != DefaultPage {
		chosen.Set("limit", strconv.Itoa(limit))
	}
	var after uint64
	if given := q.Get("after"); given != "" {
		if after, err = strconv.ParseUint(given, 10, 64); err != nil {
			return question{}, fieldProblem("after", "got %s; want what an answer gave as next", quoted(given))
		}
	}
	if after != 0 {
		chosen.Set("after", strconv.FormatUint(after, 10))
	}
	missing := func() *score.Problem {
		return score.Problemf(score.NotFound, "no event is about a contest %s", quoted(id))
	}
	if !score.ValidPath(id) {
		return question{}, missing()
	}
	return question{
		key: keyOf("timeline/"+id, chosen),
		tag: cache.TimelineTag(id),
		ask: func(v queries.View) ([]byte, uint64, error) {
			list, next, err := v.Timeline(id, after, limit)
			if err != nil || len(list) == 0 && after == 0 {
				return nil, v.Revision(), err
			}
			page := timelinePage{Events: list}
			if next != 0 {
				page.Next = strconv.FormatUint(next, 10)
			}
			body, err := queries.Encode(page)
			return body, v.Revision(), err
		},
		missing: missing,
		text:    forPeople(timelineText),
		consent: consents,
	}, nil
}

func timelineText(b *bytes.Buffer, page *timelinePage) {
	vouched := slices.ContainsFunc(page.Events, func(e score.TimelineEvent) bool { return voucherText(&e) != "" })
	headings := []string{"REVISION", "TIME", "TYPE", "ID", "DATA"}
	if vouched {
		headings = slices.Insert(headings, 4, "BY")
	}
	t := newTable(b, headings...)
	for _, e := range page.Events {
		data := string(e.Data)
		if e.VoidedBy != "" {
			data = "(voided by " + e.VoidedBy + ") " + data
		}
		cells := []string{strconv.FormatUint(e.Revision, 10), e.Time.UTC().Format(time.RFC3339), string(e.Type), e.ID, data}
		if vouched {
			cells = slices.Insert(cells, 4, voucherText(&e))
		}
		t.row(cells...)
	}
	t.end()
	nextText(b, page.Next)
}

// voucherText is who vouches for an event, in short: laurel verify tells the names, and whether it is true.
func voucherText(e *score.TimelineEvent) string {
	switch {
	case e.Key != "":
		return "key " + e.Key[:min(len(e.Key), 8)]
	case e.Token != "":
		return "token " + e.Token[:min(len(e.Token), 8)]
	}
	return ""
}
