package main

import (
	"os"
	"testing"
	"time"

	"laurel/score"
)

func fullRun() bool { return os.Getenv("LAUREL_CI") == "full" }

func TestEveryEventThatIsMadeHasTheFormThatTheStoreWants(t *testing.T) {
	p := newPlays("abc123", 7, time.Now())
	start, array, problem := score.DecodeArray(p.appendStart(nil))
	if problem != nil || !array || len(start) != 2 || start[1].Seq != 2 {
		t.Fatalf("the start: %v, %d events", problem, len(start))
	}
	for seq := uint64(3); seq < 2000; seq++ {
		b := p.append(nil)
		e, problem := score.Decode(b)
		if problem != nil {
			t.Fatalf("%s: %v", b, problem)
		}
		if e.Seq != seq || e.Source != p.source || e.ContestID != start[0].ContestID {
			t.Fatalf("got the event %d of %s about %s", e.Seq, e.Source, e.ContestID)
		}
		if len(b) < 250 || len(b) > 400 {
			t.Fatalf("an event of %d bytes; the benchmark says about 300: %s", len(b), b)
		}
	}
}

func TestThePlaysOfACellAddUpToTheTotalsTheyTell(t *testing.T) {
	p := newPlays("abc123", 1, time.Now())
	p.appendStart(nil)
	var b []byte
	for range 101 {
		b = p.append(nil)
	}
	e, problem := score.Decode(b)
	if problem != nil {
		t.Fatal(problem)
	}
	sum := p.totals[0] + p.totals[1]
	if play := e.Data.(*score.ScorePlay); sum != 101 || len(play.Result) != 2 {
		t.Fatalf("101 plays of one point each make %d: %s", sum, b)
	}
}
