package cluster

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"

	"laurel/score"
	"laurel/trust/access"
)

// withDisks gives each node a disk whose free room the test sets; it begins with plenty.
func withDisks(disks map[string]*atomic.Int64) func(*Options) {
	return func(o *Options) {
		free := disks[o.ID]
		if free == nil {
			free = new(atomic.Int64)
			free.Store(math.MaxInt64)
			disks[o.ID] = free
		}
		o.hooks.diskFree = func(string) (int64, error) { return free.Load(), nil }
	}
}

// awaitNoRoom waits until all that run know that there is no room for posts: whichever is the
// master when a post comes.
func (g *group) awaitNoRoom() {
	g.t.Helper()
	for _, n := range g.running() {
		eventually(g.t, n.opts.ID+" knows that there is no room for posts", func() error {
			n.member().poller.Look()
			if n.member().poster.withoutRoom() == nil {
				return errors.New("it does not")
			}
			return nil
		})
	}
}

// expectNoSpace checks that a post through n is refused for lack of room.
func expectNoSpace(t *testing.T, n *node, seq uint64) {
	t.Helper()
	eventually(t, "a post through "+n.opts.ID+" is refused", func() error {
		_, err := n.member().Post(context.Background(), alerts("bard/f1", seq, 1))
		if masterLost(err) {
			return err
		}
		if p := refused(t, err, score.NoSpace); p.Status != 507 {
			t.Errorf("the post came back with %v", err)
		}
		return nil
	})
}

func TestPostsAreRefusedWhileTooFewVotersHaveRoomAndReadsGoOn(t *testing.T) {
	t.Parallel()
	disks := map[string]*atomic.Int64{}
	g := newGroup(t, 3, withDisks(disks))
	master := g.master()
	poor := g.others(master)
	mustPost(t, master, alerts("bard/f1", 1, 1))
	disks[poor[0].opts.ID].Store(0)
	eventually(t, "the master knows of the full disk", func() error {
		for _, f := range master.member().Frontends().Frontends {
			if f.ID == poor[0].opts.ID && f.NoRoom && f.DiskFree != nil && *f.DiskFree == 0 {
				return nil
			}
		}
		return errors.New("it does not")
	})
	mustPost(t, poor[0], alerts("bard/f1", 2, 1)) // a majority has room
	disks[poor[1].opts.ID].Store(0)
	g.awaitNoRoom()
	for _, n := range g.nodes {
		expectNoSpace(t, n, 3)
	}
	g.agree(2)
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" answers reads", func() error { return n.member().ReadyForReads(t.Context()) })
	}
	mustChangeAccess(t, g, access.Change{By: "getafix", Setting: &access.Setting{Name: "cache_mode", Value: "pull"}})
	disks[poor[0].opts.ID].Store(math.MaxInt64)
	eventually(t, "a majority has room again, and posts are accepted", func() error {
		_, err := g.master().member().Post(t.Context(), alerts("bard/f1", 3, 1))
		return err
	})
	g.agree(3)
}

func TestAMasterWithoutRoomHandsOverToAVoterThatHasRoom(t *testing.T) {
	t.Parallel()
	disks := map[string]*atomic.Int64{}
	g := newGroup(t, 3, withDisks(disks))
	first := g.master()
	mustPost(t, first, alerts("bard/f1", 1, 1))
	disks[first.opts.ID].Store(0)
	var second *node
	eventually(t, "another voter is the master", func() error {
		if second = g.master(); second == first {
			return errors.New("it is the first one")
		}
		return nil
	})
	mustPost(t, first, alerts("bard/f1", 2, 1))
	disks[second.opts.ID].Store(0)
	g.awaitNoRoom() // nobody is better off then
	expectNoSpace(t, first, 3)
	g.agree(2)
}

func TestAVoterThatIsAwayStoresNoPostsEither(t *testing.T) {
	t.Parallel()
	disks := map[string]*atomic.Int64{}
	g := newGroup(t, 3, withDisks(disks))
	others := g.others(g.master())
	others[0].stop()
	mustPost(t, g.master(), alerts("bard/f1", 1, 1)) // no disk lacks room
	disks[others[1].opts.ID].Store(0)
	g.awaitNoRoom() // the only other voter that answers has none
	expectNoSpace(t, g.master(), 2)
	others[0].start()
	eventually(t, "another voter is back", func() error {
		_, err := g.master().member().Post(t.Context(), alerts("bard/f1", 2, 1))
		return err
	})
}

// Its last report counts, too, while the master hears nothing of it for a moment.
func TestAVoterThatHadNoRoomStillLacksItWhileItDoesNotAnswer(t *testing.T) {
	t.Parallel()
	disks := map[string]*atomic.Int64{}
	g := newGroup(t, 3, withDisks(disks))
	n := g.master()
	poor := g.others(n)
	for _, other := range poor {
		disks[other.opts.ID].Store(0)
	}
	g.awaitNoRoom()
	for _, other := range poor {
		id := other.member().self
		other.stop()
		eventually(t, other.opts.ID+" does not answer", func() error {
			n.member().poller.Look()
			if _, fresh := n.member().poller.Reports.Last(id); fresh {
				return errors.New("it does")
			}
			return nil
		})
	}
	if lacking := n.member().poster.withoutRoom(); len(lacking) != 2 {
		t.Errorf("%q lack room; want both that do not answer", lacking)
	}
}

func TestAMemberThatReportsNothingOfItsDiskHasRoom(t *testing.T) {
	t.Parallel()
	silent := func(o *Options) {
		o.hooks.diskFree = func(string) (int64, error) { return 0, errors.ErrUnsupported }
	}
	g := newGroup(t, 3, silent)
	mustPost(t, g.master(), alerts("bard/f1", 1, 1))
	for _, f := range g.master().member().Frontends().Frontends {
		if f.NoRoom || f.DiskFree != nil {
			t.Errorf("%s: its disk is reported as %v, without room: %t", f.ID, f.DiskFree, f.NoRoom)
		}
	}
}
