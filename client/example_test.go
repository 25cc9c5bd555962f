package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	"laurel/client"
	"laurel/internal/testgroup"
	"laurel/score"
	"laurel/score/mark"
)

// startFrontends starts a group, of one frontend for the sake of speed, and returns its URL.
func startFrontends() (url string, stop func()) {
	tb, stop := testgroup.Example()
	return testgroup.Start(tb, 1).Frontends[0].URL, stop
}

func Example() {
	url, stop := startFrontends()
	defer stop()
	// One URL is enough: the client learns the others from it.
	c, err := client.New([]string{url}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	two := mark.Points(2)
	// The events of one post are applied all or none.
	results, err := c.Post(ctx, []score.Event{
		{Type: score.TypeContestDefine, ContestID: "OG50BC/CUR-1", Data: &score.ContestDefine{
			Kind: score.HeadToHead, Sport: "stone-curling",
			Competitors: []score.Entrant{{Code: "GAU", Name: "Gaul"}, {Code: "ROM", Name: "Rome"}},
		}},
		{Type: score.TypeContestStatus, ContestID: "OG50BC/CUR-1", Data: &score.ContestStatus{
			ScheduleStatus: score.Running, ResultStatus: "LIVE",
		}},
		{Type: score.TypeScorePlay, ContestID: "OG50BC/CUR-1", Data: &score.ScorePlay{
			Competitor: "GAU", Delta: &two, Period: "END1",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("durable at revision", results[2].Revision)

	r, err := c.Score(ctx, "OG50BC/CUR-1")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range r.Competitors {
		fmt.Println(p.Rank, p.Name, p.Result)
	}
	// Output:
	// durable at revision 3
	// 1 Gaul 2
	// 2 Rome 0
}

func ExampleClient_Post_refused() {
	url, stop := startFrontends()
	defer stop()
	c, err := client.New([]string{url}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Post(context.Background(), []score.Event{{
		Type: score.TypeMedalAward, ContestID: "OG50BC/CUR-1",
		Data: &score.MedalAward{AwardID: "CUR-1#1", Medal: "TIN", Organisation: "GAU"},
	}})
	var p *score.Problem
	if errors.As(err, &p) {
		fmt.Println(p.Status, p.Code, p.Field)
		fmt.Println(p.Detail)
	}
	// Output:
	// 400 invalid_event data.medal
	// got "TIN"; want one of GOLD, SILVER, BRONZE
}

func ExampleClient_Stream() {
	url, stop := startFrontends()
	defer stop()
	c, err := client.New([]string{url}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	s := c.Stream(context.Background(), client.StreamOptions{Answered: func(a client.Answer) {
		fmt.Println(a.Result.Status, a.Result.Revision)
	}})
	for seq := range uint64(3) {
		// An event with a source and a seq counts once for ever; one with an id, for as
		// long as the store remembers the id.
		e := score.Event{
			Source: "bard/cacofonix", Seq: seq + 1, Type: score.TypeAlert, ContestID: "OG50BC/CUR-1",
			Data: &score.Alert{Text: "the crowd is asked to sit down"},
		}
		if err := s.Send(&e); err != nil {
			break // Close returns the same error
		}
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// applied 1
	// applied 2
	// applied 3
}

func ExampleClient_AllScores() {
	url, stop := startFrontends()
	defer stop()
	c, err := client.New([]string{url}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for _, id := range []string{"OG50BC/CUR-1", "OG50BC/CUR-2", "WC-50BC/1"} {
		_, err := c.Post(ctx, []score.Event{{
			Type: score.TypeContestDefine, ContestID: id,
			Data: &score.ContestDefine{Kind: score.HeadToHead, Sport: "stone-curling"},
		}})
		if err != nil {
			log.Fatal(err)
		}
	}

	for r, err := range c.AllScores(ctx, score.Filter{Competition: "OG50BC"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.ContestID, r.ScheduleStatus)
	}
	// Output:
	// OG50BC/CUR-1 SCHEDULED
	// OG50BC/CUR-2 SCHEDULED
}

func ExampleClient_Watch() {
	url, stop := startFrontends()
	defer stop()
	c, err := client.New([]string{url}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	one := mark.Points(1)
	_, err = c.Post(ctx, []score.Event{
		{Type: score.TypeContestDefine, ContestID: "OG50BC/CUR-1", Data: &score.ContestDefine{
			Kind: score.HeadToHead, Sport: "stone-curling",
			Competitors: []score.Entrant{{Code: "GAU", Name: "Gaul"}, {Code: "ROM", Name: "Rome"}},
		}},
		{Type: score.TypeContestStatus, ContestID: "OG50BC/CUR-1", Data: &score.ContestStatus{
			ScheduleStatus: score.Running, ResultStatus: "LIVE",
		}},
	})
	if err != nil {
		log.Fatal(err)
	}

	// The first update has what is there. Then every change comes, whatever happens to
	// the frontends, until the loop or ctx ends.
	for u, err := range c.Watch(ctx, client.WatchOptions{Contests: []string{"OG50BC/CUR-1"}}) {
		if err != nil {
			log.Fatal(err) // the frontends refuse the watch
		}
		for _, r := range u.Scores {
			fmt.Println(u.Kind, r.Competitors[0].Name, r.Competitors[0].Result)
		}
		switch u.Kind {
		case client.UpdateSnapshot:
			if _, err := c.Post(ctx, []score.Event{{
				Type: score.TypeScorePlay, ContestID: "OG50BC/CUR-1",
				Data: &score.ScorePlay{Competitor: "GAU", Delta: &one},
			}}); err != nil {
				log.Fatal(err)
			}
		case client.UpdateLost:
			fmt.Println("reconnecting in", u.Wait)
		case client.UpdateScore:
			return
		}
	}
	// Output:
	// snapshot Gaul 0
	// score Gaul 1
}

// Log what a client does by itself.
func ExampleOptions_notify() {
	tb, stop := testgroup.Example()
	defer stop()
	g := testgroup.Start(tb, 3)
	g.Frontends[2].Report(score.Starting, 0, 0) // so the client goes to f2
	byName := func(url string) string {         // the ports differ each time
		for _, f := range g.Frontends {
			url = strings.ReplaceAll(url, f.URL, f.ID)
		}
		return url
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(
		_ []string, a slog.Attr,
	) slog.Attr {
		switch {
		case a.Key == slog.TimeKey || a.Key == "err":
			return slog.Attr{}
		case a.Value.Kind() == slog.KindString:
			a.Value = slog.StringValue(byName(a.Value.String()))
		}
		return a
	}}))
	c, err := client.New(g.URLs()[:2], client.Options{Home: "f1", Notify: func(n client.Notice) {
		if n.Kind == client.NoticeFailover { // other kinds may be worth logging, too
			logger.Info(string(n.Kind), "frontend", n.Frontend, "from", n.From)
		}
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	if _, err := c.Frontends(ctx); err != nil { // f1 answers
		log.Fatal(err)
	}
	g.Frontends[0].Detach()
	if _, err := c.Scores(ctx, score.Filter{}, client.Page{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=INFO msg="failed over" frontend=f2 from=f1
}
