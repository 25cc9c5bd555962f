package question

import (
	"bytes"
	"strconv"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/score"
)

// parseBard reads the question for the last seq of a source. A source that has never posted
// is at 0, so that a new bard starts like any other.
func parseBard(source, query string) (Question, error) {
	_, stale, err := questionParameters(query)
	if err != nil {
		return Question{}, err
	}
	if !score.ValidPath(source) {
		return Question{}, handler.FieldProblem("source",
			"got %s; want segments of letters, digits and ._~- joined by /", handler.Quoted(source))
	}
	return Question{
		Key: "bards/" + source,
		Tag: cache.AnyTag,
		Ask: func(v queries.View) ([]byte, uint64, error) {
			bard, ok, err := v.Bard(source)
			if err != nil {
				return nil, 0, err
			}
			if !ok {
				bard = score.Bard{Source: source}
			}
			body, err := queries.Encode(bard)
			return body, v.Revision(), err
		},
		Text:  textRenderer(bardText),
		Stale: stale,
	}, nil
}

func bardText(b *bytes.Buffer, bard *score.Bard) {
	t := handler.NewTable(b, "SOURCE", "LAST SEQ", "LAST ID")
	t.Row(bard.Source, strconv.FormatUint(bard.LastSeq, 10), bard.LastID)
	t.End()
}
