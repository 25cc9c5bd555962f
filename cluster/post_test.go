package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"laurel/client"
	"laurel/score"
)

func TestPostAtAnyMemberIsAppliedOnceAtEveryMember(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for i, n := range g.nodes {
		results := mustPost(t, n, alerts("bard/"+n.opts.ID, 1, 10))
		// If the master was lost meanwhile it was posted again, and is a duplicate.
		if first := results[0]; first.Problem != nil || first.Revision != uint64(10*i+1) {
			t.Errorf("the first event posted at %s came back as %+v", n.opts.ID, first)
		}
	}
	for i, n := range g.nodes {
		posted := g.nodes[(i+1)%3].opts.ID
		for _, r := range mustPost(t, n, alerts("bard/"+posted, 1, 10)) {
			if r.Status != score.Duplicate {
				t.Errorf("event %s, posted at %s again, came back as %+v", r.ID, n.opts.ID, r)
			}
		}
	}
	g.agree(30)
	for _, n := range g.nodes {
		if events := timeline(t, n.member()); len(events) != 30 {
			t.Errorf("%s has %d events", n.opts.ID, len(events))
		}
	}
}

func TestRefusedEventChangesNothingAndIsNamed(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, n := range g.nodes {
		var results []score.Result
		eventually(t, "a post is answered", func() (err error) {
			results, err = n.member().Post(context.Background(), alerts("bard/gap", 2, 1))
			if err != nil && !masterLost(err) {
				t.Fatal(err)
			}
			return err
		})
		if p := results[0].Problem; p == nil || p.Code != score.SeqGap || p.ExpectedSeq != 1 {
			t.Errorf("at %s: %+v", n.opts.ID, results[0])
		}
	}
	g.agree(0)
}

func TestPostSurvivesTheLossOfTheMaster(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	over := make(chan struct{})
	acked := make([]uint64, 3)
	var posters sync.WaitGroup
	for i, n := range g.nodes {
		posters.Go(func() {
			for source := "bard/" + n.opts.ID; ; acked[i]++ {
				select {
				case <-over:
					return
				default:
				}
				mustPost(t, n, alerts(source, acked[i]+1, 1))
			}
		})
	}
	for range 3 {
		lost := g.master()
		lost.stop()
		g.master()
		lost.start()
		g.settle()
		// A busy machine may have lost the master by itself just now.
		err := g.master().member().Transfer(context.Background(), "")
		if p := new(score.Problem); err != nil && (!errors.As(err, &p) || p.Status < 409) {
			t.Error(err)
		}
	}
	close(over)
	posters.Wait()
	g.agree(acked[0] + acked[1] + acked[2])
	for _, n := range g.nodes {
		for id, times := range timeline(t, n.member()) {
			if times != 1 {
				t.Errorf("%s has event %s %d times", n.opts.ID, id, times)
			}
		}
	}
}

// postWithoutSeq returns a post without a seq. given is true if the bard chose its id, else the frontend made it.
// In neither case may Laurel repeat it.
func postWithoutSeq(id string, given bool) score.Post {
	p := alerts("bard/getafix", 0, 1)
	p.Events[0].ID, p.Events[0].IDGiven, p.Mode = id, given, score.AllOrNone
	return p
}

func TestPostWithoutSeqIsNeverAppliedTwiceWhenTheMasterIsLost(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"master", "follower"} {
		t.Run("posted at the "+at, func(t *testing.T) {
			t.Parallel()
			net := newNetwork(t)
			g := newGroup(t, 3, net.between)
			master := g.master()
			n := master
			if at == "follower" {
				n = g.others(master)[0]
			}
			mustPost(t, n, alerts("bard/first", 1, 1))
			// The master receives, but what it sends is lost.
			for _, other := range g.others(master) {
				net.cut(master, other)
			}
			// On a busy machine the next master may be elected before the post has begun.
			_, err := n.member().Post(context.Background(), postWithoutSeq("hand", at == "follower"))
			least, most := 0, 1
			switch code := score.CodeOf(err); {
			case err == nil:
				least = 1
			case code == score.NoMaster:
				most = 0
			case code != score.OutcomeUnknown:
				t.Errorf("got %v; want that nobody knows the outcome", err)
			}
			eventually(t, "the others have another master", func() error {
				for _, other := range g.others(master) {
					if other.member().Master() {
						return nil
					}
				}
				return errors.New("they have none")
			})
			net.heal()
			g.settle()
			mustPost(t, n, alerts("bard/last", 1, 1))
			g.agree(g.master().member().machine.Revision())
			for _, n := range g.nodes {
				if times := timeline(t, n.member())["hand"]; times < least || times > most {
					t.Errorf("%s has it %d times; want %d to %d", n.opts.ID, times, least, most)
				}
			}
		})
	}
}

func TestEventFromTheFutureIsRefusedAlsoWhenForwarded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, n := range g.nodes {
		p := alerts("bard/prolix", 1, 1)
		p.Events[0].Time = time.Now().Add(maxClockSkew + time.Minute)
		var err error
		eventually(t, "a post is answered", func() error {
			if _, err = n.member().Post(context.Background(), p); masterLost(err) {
				return err
			}
			return nil
		})
		if problem := refused(t, err, score.InvalidEvent); problem.Field != "time" {
			t.Errorf("at %s the problem is about %q", n.opts.ID, problem.Field)
		}
	}
	p := alerts("bard/prolix", 1, 1)
	p.Events[0].Time = time.Now().Add(maxClockSkew - time.Minute)
	mustPost(t, g.nodes[1], p)
	g.agree(1)
}

func TestPostWithoutAMasterFailsWithNoMaster(t *testing.T) {
	g := newGroup(t, 3, func(o *Options) { o.TimeScale = 1 })
	master := g.master()
	for _, n := range g.others(master) {
		n.stop()
	}
	eventually(t, "the master steps down", func() error {
		if master.member().Master() {
			return errors.New("it has not")
		}
		return nil
	})
	_, err := master.member().Post(context.Background(), alerts("bard/alone", 1, 1))
	refused(t, err, score.NoMaster)
}

func TestPostsOfAClosingMemberAreRefusedOrDone(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	n := g.master()
	m := n.member() // a poster may begin only when it is closed
	var posters sync.WaitGroup
	outcomes := make([]error, 100)
	var started sync.WaitGroup
	started.Add(len(outcomes))
	for i := range outcomes {
		posters.Go(func() {
			started.Done()
			_, outcomes[i] = m.Post(context.Background(), alerts(fmt.Sprintf("bard/%d", i), 1, 1))
		})
	}
	started.Wait()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	n.current.Store(nil)
	posters.Wait()
	mustPost(t, g.others(n)[0], alerts("bard/after", 1, 1))
	done := timeline(t, g.master().member())
	for i, err := range outcomes {
		if applied := done[fmt.Sprintf("bard/%d-1", i)] == 1; err == nil && !applied {
			t.Errorf("post %d was acked and is lost", i)
		}
	}
}

// The client is told that nothing was done only if the frontend answers before the client asks another one.
func TestAPostWithoutAMasterIsRefusedBeforeItsClientGivesUp(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, func(o *Options) { o.TimeScale = 1 })
	mustPost(t, g.nodes[0], alerts("bard/first", 1, 1))
	for _, n := range g.nodes[1:] {
		n.stop()
	}
	left := g.nodes[0].member()
	eventually(t, "the loss of the master", func() error {
		if left.Frontends().Master != "" {
			return errors.New("there still is one")
		}
		return nil
	})
	eventually(t, "a refusal in time", func() error { // not always the first, on a busy machine
		ctx, cancel := context.WithTimeout(t.Context(), client.DefaultAttemptTimeout)
		defer cancel()
		_, err := left.Post(ctx, alerts("bard/first", 2, 1))
		if score.CodeOf(err) != score.NoMaster || ctx.Err() != nil {
			return fmt.Errorf("got %v (%v); want no_master", err, ctx.Err())
		}
		return nil
	})
}
