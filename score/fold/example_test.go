package fold_test

import (
	"fmt"

	"laurel/score"
	"laurel/score/fold"
)

func ExampleContest_Fold() {
	contest := fold.NewContest("OG50BC/FB-01")
	for _, text := range []string{
		`{"type":"contest.define","contest_id":"OG50BC/FB-01","data":{"kind":"head_to_head","sport":"football",
			"competitors":[{"code":"GAU","name":"Gaul"},{"code":"ROM","name":"Rome"}]}}`,
		`{"type":"contest.status","contest_id":"OG50BC/FB-01","data":{"schedule_status":"RUNNING"}}`,
		`{"type":"score.play","contest_id":"OG50BC/FB-01","data":{"competitor":"ROM","delta":1}}`,
		`{"type":"score.play","contest_id":"OG50BC/FB-01","data":{"competitor":"GAU","delta":2}}`,
		`{"type":"score.play","contest_id":"OG50BC/FB-01","data":{"competitor":"GER","delta":1}}`,
	} {
		e, p := score.Decode([]byte(text))
		if p == nil {
			p = contest.Fold(&e, nil, fold.Live) // marks are for ranked contests
		}
		if p != nil {
			fmt.Println("refused:", p.Detail)
		}
	}
	for _, c := range contest.Record().Competitors {
		fmt.Println(c.Rank, c.Name, c.Result)
	}
	// Output:
	// refused: "GER" does not compete here; want one of GAU, ROM
	// 1 Gaul 2
	// 2 Rome 1
}
