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
func readRecord(ctx context.Context, m *Member) (*cache.Entry, error) {
	key := cache.ScoreKey("OG50BC/hang")
	e, _, err := m.Answer(ctx, key, "", func(v queries.View) ([]byte, uint64, error) {
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
	mustPost(t, g.master(), playPost(1))
	mustPost(t, g.master(), playPost(2))
	seq := uint64(2)
	// On a busy machine it may lose its lease, and with it what was pushed.
	eventually(t, "it answers while its disk hangs", func() error { return g.answersWithout(&disk, n, &seq) })
	select {
	case err := <-n.member().Ended():
		t.Fatal(err)
	default:
	}
}

// answersWithout has the disk of a node hang while plays are posted, and checks the node's
// answers. It returns an error if there were none. seq counts the events of the contest.
func (g *group) answersWithout(disk *gate, n *node, seq *uint64) error {
	g.t.Helper()
	disk.open()
	if m := g.master(); m == n {
		m.member().Transfer(context.Background(), "")
		return errors.New("it is the master")
	}
	g.agree(*seq)
	eventually(g.t, "the record is held", func() error {
		e, err := readRecord(context.Background(), n.member())
		if err == nil && e.Body == nil {
			err = errors.New("it is not there")
		}
		return err
	})
	for len(disk.held) > 0 { // of the last time
		<-disk.held
	}
	post := func() (revision uint64) {
		*seq++
		return mustPost(g.t, g.master(), playPost(*seq))[0].Revision
	}
	disk.close()
	post()
	<-disk.held
	stuck, answers := n.member().machine.Revision(), 0
	for range 36 {
		acked := post()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		e, err := readRecord(ctx, n.member())
		cancel()
		if errors.Is(err, cache.ErrNotLeased) || errors.Is(err, context.DeadlineExceeded) {
			break // the lease was lost, and waiting for answers would take until its disk has stalled
		}
		if err != nil || e.Revision < acked {
			g.t.Fatalf("after revision %d was acked it answered %d: %v", acked, e.Revision, err)
		}
		answers++
	}
	if applied := n.member().machine.Revision(); applied != stuck {
		g.t.Fatalf("its disk did not hang: it applied revision %d after %d", applied, stuck)
	}
	if answers == 0 {
		return errors.New("it answered nothing")
	}
	return nil
}
