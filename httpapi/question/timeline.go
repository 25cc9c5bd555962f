package question

import (
	"bytes"
	"net/url"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
)

// TimelinePage is the answer to a question for a contest's timeline.
type TimelinePage struct {
	Events []score.TimelineEvent `json:"events"`
	Next   string                `json:"next"` // the parameter after of the next page, "" at the end
}

func parseTimeline(id string, q url.Values) (Question, error) {
	limit, err := handler.PageSize(q)
	if err != nil {
		return Question{}, err
	}
	after, err := handler.After(q, "the next of an earlier answer")
	if err != nil {
		return Question{}, err
	}
	return Timeline(id, after, limit), nil
}

// Timeline asks for at most limit events of a contest after a revision.
func Timeline(id string, after uint64, limit int) Question {
	return Question{
		Key: keyOf("timeline/"+id, url.Values{"after": {handler.Position(after)}}, limit),
		Tag: cache.TimelineTag(id),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			list, next, err := v.Timeline(id, after, limit)
			if err != nil || len(list) == 0 && after == 0 {
				return nil, 0, err
			}
			return TimelinePage{list, handler.Position(next)}, 0, nil
		}),
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound, "contest %s has no events", handler.Quoted(id))
		},
		Text: textRenderer(timelineText),
	}
}

func timelineText(b *bytes.Buffer, page *TimelinePage) {
	t := textfmt.NewTable("REVISION", "TIME", "TYPE", "ID", "BY", "DATA")
	for _, e := range page.Events {
		data := string(e.Data)
		if e.VoidedBy != "" {
			data = "(voided by " + e.VoidedBy + ") " + data
		}
		t.Row(e.Revision, e.Time.UTC().Format(time.RFC3339), e.Type, e.ID, grantText(&e), data)
	}
	t.DropEmpty("BY")
	t.Write(b)
	handler.NextText(b, page.Next)
}

// grantText returns the beginning of the id of the grant by which an event was posted.
// laurel verify shows the name and checks the signature.
func grantText(e *score.TimelineEvent) string {
	switch {
	case e.Key != "":
		return "key " + e.Key[:min(len(e.Key), 8)]
	case e.Token != "":
		return "token " + e.Token[:min(len(e.Token), 8)]
	}
	return ""
}

// parseBard reads the question for the last seq of a source. A source that has never
// posted is at 0, so that a new bard starts like any other.
func parseBard(source string, _ url.Values) (Question, error) {
	if !score.ValidPath(source) {
		return Question{}, handler.Unwanted("source", source, "segments of letters, digits and ._~- joined by /")
	}
	return Question{
		Key: "bards/" + source,
		Tag: cache.AnyTag,
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			bard, ok, err := v.Bard(source)
			if !ok {
				bard = score.Bard{Source: source}
			}
			return bard, 0, err
		}),
		Text: textRenderer(bardText),
	}, nil
}

func bardText(b *bytes.Buffer, bard *score.Bard) {
	t := textfmt.NewTable("SOURCE", "LAST SEQ", "LAST ID")
	t.Row(bard.Source, bard.LastSeq, bard.LastID)
	t.Write(b)
}
