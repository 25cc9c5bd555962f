package httpapi

import (
	"bytes"
	"strconv"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
)

// bard tells how far a source has come. One that has never posted is at 0, so that a new bard need not be told apart from an old one.
func bard(source, query string) (question, error) {
	_, consents, err := asked(query)
	if err != nil {
		return question{}, err
	}
	if !score.ValidPath(source) {
		return question{}, fieldProblem("source", "got %s; want segments of letters, digits and ._~- joined by /", quoted(source))
	}
	return question{
		key: "bards/" + source,
		tag: cache.AnyTag,
		ask: func(v queries.View) ([]byte, uint64, error) {
			known, ok, err := v.Bard(source)
			if err != nil {
				return nil, 0, err
			}
			if !ok {
				known = score.Bard{Source: source}
			}
			body, err := queries.Encode(known)
			return body, v.Revision(), err
		},
		text:    forPeople(bardText),
		consent: consents,
	}, nil
}

func bardText(b *bytes.Buffer, known *score.Bard) {
	t := newTable(b, "SOURCE", "LAST SEQ", "LAST ID")
	t.row(known.Source, strconv.FormatUint(known.LastSeq, 10), known.LastID)
	t.end()
}
