package cluster

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
)

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("a group that works", func(t *testing.T) {
		g := newGroup(t, 3)
		var posters sync.WaitGroup
		for _, n := range g.nodes {
			posters.Go(func() { mustPost(t, n, alerts("bard/"+n.opts.ID, 1, 10)) })
			posters.Go(func() { read(context.Background(), n.member()) })
		}
		posters.Wait()
		g.others(g.master())[0].stop()
		mustPost(t, g.master(), alerts("bard/more", 1, 10))
	})
	eventually(t, "all goroutines end", func() error {
		if n := runtime.NumGoroutine(); n > before {
			var stacks strings.Builder
			pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Errorf("there were %d and are %d:\n%s", before, n, stacks.String())
		}
		return nil
	})
}

// A request of another member may outlive the wait for it.
func TestNothingBeginsOnceAMemberIsClosed(t *testing.T) {
	t.Parallel()
	n := newGroup(t, 1).nodes[0]
	m := n.member()
	n.stop()
	begun := false
	m.run(func() { begun = true })
	m.running.Wait()
	if begun {
		t.Error("a goroutine began that Close has not waited for")
	}
}

func TestMemberThatIsCutOffCloses(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	g := newGroup(t, 3, net.between)
	master := g.master()
	for _, n := range g.others(master) {
		net.apart(master, n)
	}
	var posters sync.WaitGroup
	for _, n := range g.nodes {
		m := n.member()
		posters.Go(func() { m.Post(t.Context(), alerts("bard/"+m.ID(), 1, 1)) })
	}
	for _, n := range g.nodes {
		m := n.member()
		if err := m.Close(); err != nil {
			t.Errorf("close %s: %v", n.opts.ID, err)
		}
		n.current.Store(nil)
	}
	posters.Wait()
}
