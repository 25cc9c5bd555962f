package medal_test

import (
	"fmt"

	"laurel/score"
	"laurel/score/medal"
)

func ExampleTable() {
	table := &medal.Table{Competition: "OG50BC"}
	table.AddMedals("ROM", score.Silver, 2)
	table.AddMedals("GAU", score.Gold, 1)
	for _, row := range table.Standings().Rows {
		fmt.Println(row.Rank, row.Organisation, row.Gold, row.Silver, row.Bronze)
	}
	// Output:
	// 1 GAU 1 0 0
	// 2 ROM 0 2 0
}
