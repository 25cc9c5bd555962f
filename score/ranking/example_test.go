package ranking_test

import (
	"fmt"

	"laurel/score/ranking"
)

func ExampleBoard() {
	board := ranking.New(ranking.Direction{Lower: true})
	board.Set(ranking.Mark{Competitor: "asterix", Value: 9_580})
	board.Set(ranking.Mark{Competitor: "obelix", Value: 12_100})
	board.Set(ranking.Mark{Competitor: "cacofonix", Value: 9_580})
	board.Set(ranking.Mark{Competitor: "getafix", IRM: "DNS"})

	page, _ := board.Page(&ranking.Query{Limit: 3})
	for _, r := range page.Rows {
		fmt.Println(r.Rank, r.Competitor, r.Mark, r.Diff)
	}
	fmt.Println("next:", page.Next)

	around, _ := board.Page(&ranking.Query{Limit: 1, Around: "getafix"})
	fmt.Println(around.Rows[0].Competitor, around.Rows[0].IRM)
	// Output:
	// 1 asterix 9.58 0
	// 1 cacofonix 9.58 0
	// 3 obelix 12.1 2.52
	// next: 12100,obelix
	// getafix DNS
}
