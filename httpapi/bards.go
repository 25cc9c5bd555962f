package httpapi

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/gorilla/mux"

	"laurel/score"
)

// bard tells how far a source has come. One that has never posted is at 0, so that a new bard need not be told apart from an old one.
func bard(r *http.Request) (question, error) {
	if err := knownOnly(r); err != nil {
		return nil, err
	}
	source := mux.Vars(r)["source"]
	if !score.ValidPath(source) {
		return nil, fieldProblem("source", "got %s; want segments of letters, digits and ._~- joined by /", quoted(source))
	}
	return func(v Records) (answer, error) {
		known, ok, err := v.Bard(source)
		if err != nil {
			return answer{}, err
		}
		if !ok {
			known = score.Bard{Source: source}
		}
		return answer{v.Revision(), known, func(b *bytes.Buffer) { bardText(b, known) }}, nil
	}, nil
}

func bardText(b *bytes.Buffer, known score.Bard) {
	t := newTable(b, "SOURCE", "LAST SEQ", "LAST ID")
	t.row(known.Source, strconv.FormatUint(known.LastSeq, 10), known.LastID)
	t.end()
}
