package posts

import (
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

func TestResultIsEncodedAsByJSON(t *testing.T) {
	index := 3
	for _, r := range []score.Result{
		{},
		{ID: "a", Seq: 1, Revision: 2, Status: score.Applied},
		{ID: "q\"\\\n\u2028é<>&", Revision: 1 << 60, Status: score.Duplicate},
		{ID: "x", Problem: &score.Problem{
			Type: "t", Title: "t", Status: 409, Detail: "d", Code: score.SeqGap, ExpectedSeq: 7, Index: &index,
		}},
	} {
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendResult(nil, &r); string(got) != string(want) {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}

// alert returns an event on one line.
func alert(id, comment string) string {
	return `{"id":"` + id + `","type":"alert","contest_id":"OG50BC/CUR-M-GPA-01",` +
		`"data":{"text":"clack","comment":"` + comment + `"}}`
}
