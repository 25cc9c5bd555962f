package fold_test

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
)

// The generators use few names, so that events are about the same things, and sometimes
// about missing ones.
var (
	codes      = rapid.SampledFrom([]string{"A", "B", "C", "D", "unknown"})
	periods    = rapid.SampledFrom([]string{"", "H1", "H2", "SO"})
	splitNames = rapid.SampledFrom([]string{"5k", "10k", "finish", "15k"})
	decimals   = rapid.OneOf(
		rapid.Map(rapid.Int64Range(-5, 5), mark.Points),
		rapid.SampledFrom([]mark.Decimal{0, 1, mark.MaxDecimal - 1, mark.MaxDecimal, -mark.MaxDecimal}),
	)
	totals = rapid.Custom(func(t *rapid.T) score.Totals {
		var list score.Totals
		for _, code := range rapid.SliceOfNDistinct(codes, 0, 3, rapid.ID).Draw(t, "codes") {
			list = append(list, score.Total{Code: code, Value: decimals.Draw(t, "total")})
		}
		return list
	})
)

// someData returns data of an event, mostly of a type that a contest of the kind accepts.
func someData(t *rapid.T, kind string) score.Data {
	some := func(values ...string) string { return rapid.SampledFrom(append(values, "")).Draw(t, "one of") }
	choice := rapid.SampledFrom([]string{"define", "status", "status", "decide", "reset", "own", "own", "own", "own", "own", "own",
		"other", "alert"}).Draw(t, "event")
	if choice == "own" && kind == score.HeadToHead || choice == "other" && kind == score.Ranked {
		choice = rapid.SampledFrom([]string{"play", "play", "set"}).Draw(t, "event")
	}
	switch choice {
	case "define":
		return someDefine.Draw(t, "define")
	case "status":
		return &score.ContestStatus{
			ScheduleStatus: some("SCHEDULED", "RUNNING", "RUNNING", "SCHEDULED_BREAK", "RUNNING", "CANCELLED",
				"POSTPONED", "FINISHED"), ResultStatus: rapid.SampledFrom([]string{"", "", "", "LIVE", "LIVE", "LIVE", "UNOFFICIAL",
				"UNOFFICIAL", "OFFICIAL"}).Draw(t, "result status"),
			Period: periods.Draw(t, "period"), Clock: some("1'"), Reason: some("", "jury"),
		}
	case "decide":
		return &score.ContestDecide{Winner: codes.Draw(t, "winner"), Decision: "RETIRED", Reason: some("jury")}
	case "reset":
		return &score.ContestReset{Reason: "replay"}
	case "play":
		delta := decimals.Draw(t, "delta")
		d := &score.ScorePlay{Competitor: codes.Draw(t, "competitor"), Delta: &delta, Period: periods.Draw(t, "period"),
			Clock: some("2'"), StatsDelta: totals.Draw(t, "stats")}
		if rapid.Bool().Draw(t, "with totals") {
			d.Result = totals.Draw(t, "result")
		}
		return d
	case "set":
		d := &score.ScoreSet{Result: totals.Draw(t, "result"), Period: periods.Draw(t, "period"),
			Reason: some("jury")}
		d.Adjustment = d.Period == "" && rapid.Bool().Draw(t, "adjustment")
		return d
	case "own", "other":
		d := &score.ResultSet{Competitor: codes.Draw(t, "competitor"), Split: splitNames.Draw(t, "split"),
			IRM: some("DNF", "DSQ", "", "", ""), Category: some("F"), Reason: some("", "", "", "jury")}
		if d.IRM == "" {
			d.Mark = new(mark.Number(decimals.Draw(t, "mark")))
		}
		return d
	}
	return &score.Alert{Text: "x"}
}

var someDefine = rapid.Custom(func(t *rapid.T) *score.ContestDefine {
	d := &score.ContestDefine{Kind: rapid.SampledFrom([]string{score.HeadToHead, score.Ranked}).Draw(t, "kind"),
		Sport: "x",
		Sort: rapid.SampledFrom([]string{"", "asc", "desc"}).Draw(t,
			"sort"), ResultType: rapid.SampledFrom([]string{"", "TIME", "POINTS"}).Draw(t, "result type")}
	if d.Kind == score.HeadToHead {
		d.TiebreakPeriods = rapid.SampledFrom([][]string{nil, {"SO"}}).Draw(t, "tie-break")
	} else {
		d.Splits = rapid.SampledFrom([][]string{nil, {"5k", "10k", "finish"}}).Draw(t, "splits")
	}
	if rapid.Bool().Draw(t, "with a list") {
		for i, code := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"A", "B", "C", "D"}), 1, 4,
			rapid.ID).Draw(t, "competitors") {
			d.Competitors = append(d.Competitors, score.Entrant{Code: code, Order: i % 2})
		}
	}
	return d
})

// typeOf returns the type of an event with data d.
func typeOf(d score.Data) score.Type {
	switch d.(type) {
	case *score.ContestDefine:
		return score.TypeContestDefine
	case *score.ContestStatus:
		return score.TypeContestStatus
	case *score.ContestDecide:
		return score.TypeContestDecide
	case *score.ContestReset:
		return score.TypeContestReset
	case *score.ScorePlay:
		return score.TypeScorePlay
	case *score.ScoreSet:
		return score.TypeScoreSet
	case *score.ResultSet:
		return score.TypeResultSet
	}
	return score.TypeAlert
}

func TestRefusedEventsChangeNothingAndReplayGivesTheSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2026, 2, 9, 10, 0, 0, 0, time.UTC)
		c := fold.NewContest("OG50BC/X/1")
		m := &memMarks{contest: c}
		var accepted []*score.Event
		first := someDefine.Draw(t, "first")
		events := []score.Data{first, &score.ContestStatus{ScheduleStatus: rapid.SampledFrom([]string{"RUNNING",
			"RUNNING", "DELAYED"}).Draw(t, "start")}}
		for range rapid.IntRange(10, 80).Draw(t, "length") {
			events = append(events, someData(t, first.Kind))
		}
		for i, d := range events {
			e := &score.Event{Type: typeOf(d), ContestID: c.ID, Time: at.Add(time.Duration(i) * time.Second), Data: d}
			before, data := state(t, c, m), mustMarshal(t, d)
			clone, copied := c.Clone(), mustMarshal(t, c)
			p := c.Fold(e, m, fold.Live)
			after := state(t, c, m)
			if p != nil && after != before {
				t.Fatalf("%s was refused (%v) and changed\n%s\nto\n%s", data, p, before, after)
			}
			if p != nil && (p.Detail == "" || p.Status < 400 || p.Status > 499) {
				t.Fatalf("%s was refused with %+v", data, p)
			}
			if now := mustMarshal(t, d); now != data {
				t.Fatalf("folding changed the event from %s to %s", data, now)
			}
			if now := mustMarshal(t, clone); now != copied {
				t.Fatalf("folding %s changed a clone", data)
			}
			if p == nil {
				accepted = append(accepted, e)
			}
			checkContest(t, c, m)
		}
		again := fold.NewContest(c.ID)
		marks := &memMarks{contest: again}
		for _, e := range accepted {
			if p := again.Fold(e, marks, fold.Replay); p != nil {
				t.Fatalf("%s was accepted, and refused when folded again: %v", mustMarshal(t, e.Data), p)
			}
		}
		if a, b := state(t, c, m), state(t, again, marks); a != b {
			t.Fatalf("folded again, it is\n%s\nand was\n%s", b, a)
		}
	})
}

func mustMarshal(t rapid.TB, v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkContest checks the invariants of a contest.
func checkContest(t *rapid.T, c *fold.Contest, m *memMarks) {
	stored := mustMarshal(t, c)
	var back fold.Contest
	if err := json.Unmarshal([]byte(stored), &back); err != nil {
		t.Fatalf("%s cannot be read back: %v", stored, err)
	}
	if again := mustMarshal(t, &back); again != stored {
		t.Fatalf("%s is read back as %s", stored, again)
	}
	if a, b := mustMarshal(t, c.Record()), mustMarshal(t, back.Record()); a != b {
		t.Fatalf("read back, it shows\n%s\nand not\n%s", b, a)
	}
	recomputed := c.Clone()
	recomputed.UpdateLeaders(m)
	if ranked := mustMarshal(t, recomputed); ranked != stored {
		t.Fatalf("ranked from all marks it is\n%s\nand was\n%s", ranked, stored)
	}
	r := c.Record()
	for i, p := range r.Competitors {
		if p.SortOrder != i+1 {
			t.Fatalf("place %d has sort order %d", i+1, p.SortOrder)
		}
		if i > 0 && p.Rank != 0 && p.Rank != i+1 && p.Rank != r.Competitors[i-1].Rank {
			t.Fatalf("place %d has rank %d behind rank %d", i+1, p.Rank, r.Competitors[i-1].Rank)
		}
	}
	if c.Decision == "" && r.Winner != "" && (r.ScheduleStatus != score.Finished || r.Competitors[0].Code != r.Winner ||
		r.Competitors[0].Rank != 1) {
		t.Fatalf("the winner of %s is %s", mustMarshal(t, r), r.Winner)
	}
}
