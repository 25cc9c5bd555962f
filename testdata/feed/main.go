// Command feed posts two events to Laurel. It is a module of its own, as another program would be.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"laurel/client"
	"laurel/score"
)

func main() {
	c, err := client.New(os.Args[1:], client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	const contest = "OG50BC/CUR-M-GPA-01"
	results, err := c.Post(ctx, []score.Event{
		{
			Source: "feed/arena", Seq: 1, Type: score.TypeContestDefine, ContestID: contest,
			Data: &score.ContestDefine{Kind: score.HeadToHead, Sport: "stone-curling"},
		},
		{
			Source: "feed/arena", Seq: 2, Type: score.TypeAlert, ContestID: contest,
			Data: &score.Alert{Text: "Welcome"},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Seq, r.Status, r.Revision)
	}
}
