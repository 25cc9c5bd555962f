package score_test

import (
	"fmt"

	"laurel/score"
)

func ExampleDecode() {
	e, p := score.Decode([]byte(`{"type":"score.play","contest_id":"OG50BC/FB-01","data":{"competitor":"GAU","delta":2}}`))
	if p != nil {
		fmt.Println(p)
		return
	}
	play := e.Data.(*score.ScorePlay)
	fmt.Println(e.Competition(), play.Competitor, play.Delta)

	// A problem names the member at fault, and what would be right.
	_, p = score.Decode([]byte(`{"type":"score.play","contest_id":"OG50BC/FB-01","data":{"competitor":"GAU"}}`))
	fmt.Println(p)
	// Output:
	// OG50BC GAU 2
	// invalid_event: data.delta: missing; want a number, 0 included
}
