package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
	"laurel/score/mark"
)

// playPost returns events of one contest: its definition, its start, then plays of one point.
func playPost(seq uint64) score.Post {
	data := score.Data(&score.ScorePlay{Competitor: "GAU", Delta: new(mark.Decimal)})
	kind := score.TypeScorePlay
	switch seq {
	case 1:
		kind, data = score.TypeContestDefine, &score.ContestDefine{
			Kind: score.HeadToHead, Sport: "stone-curling", Competitors: []score.Entrant{{Code: "GAU"}, {Code: "ROM"}},
		}
	case 2:
		kind, data = score.TypeContestStatus, &score.ContestStatus{ScheduleStatus: score.Running}
	}
	return score.Post{Mode: score.UntilRefused, Events: []score.Event{{
		ID: fmt.Sprint("play-", seq), IDGiven: true, Source: "bard/play", Seq: seq, Type: kind,
		Time: time.Now(), ContestID: "OG50BC/hang", Data: data,
	}}}
}

// readRecord returns the contest's record at a member.
func readRecord(m *Member) (*cache.Entry, error) {
	key := cache.ScoreKey("OG50BC/hang")
	e, _, err := m.Answer(context.Background(), key, "", func(v queries.View) ([]byte, uint64, error) {
		rec, ok, err := v.Contest("OG50BC/hang")
		if err != nil || !ok {
			return nil, 0, err
		}
		body, err := queries.Encode(rec)
		return body, rec.Revision, err
	})
	return e, err
}

// The disk under a frontend hangs, so its state machine applies nothing. It still answers correctly,
// from the values that the master pushes.
func TestFrontendWhoseDiskHangsAnswersFromPushedValues(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	var disk gate
	n := g.others(g.master())[0]
	n.stop()
	disk.behind(&n.opts)
	n.start()
	t.Cleanup(disk.open)
	g.settle()
	eventually(t, "another is the master", func() error {
		if m := g.master(); m == n {
			m.member().Transfer(context.Background(), "")
			return errors.New("it is the one with the disk that will hang")
		}
		return nil
	})
	mustPost(t, g.master(), playPost(1))
	mustPost(t, g.master(), playPost(2))
	eventually(t, "the record is held", func() error {
		e, err := readRecord(n.member())
		if err == nil && e.Body == nil {
			err = errors.New("it is not there")
		}
		return err
	})
	disk.close()
	mustPost(t, g.master(), playPost(3))
	<-disk.held
	stuck := n.member().machine.Revision()
	answers := 0
	for seq := uint64(4); seq < 40; seq++ {
		acked := mustPost(t, g.master(), playPost(seq))[0].Revision
		e, err := readRecord(n.member())
		if errors.Is(err, cache.ErrNotLeased) {
			continue // a busy machine
		}
		if err != nil || e.Revision < acked {
			t.Fatalf("after revision %d was acked it answered %d: %v", acked, e.Revision, err)
		}
		answers++
	}
	if applied := n.member().machine.Revision(); applied != stuck {
		t.Fatalf("its disk did not hang: it applied revision %d after %d", applied, stuck)
	}
	if answers == 0 {
		t.Error("it answered nothing")
	}
	select {
	case err := <-n.member().Ended():
		t.Fatal(err)
	default:
	}
}
