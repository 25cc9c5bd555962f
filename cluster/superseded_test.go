package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two lost members that come back must not go on with a group that has ended, so one voter is believed, also by a
// master. docs/threats.md has what a voter that lies can do with that.
func TestAVoterIsBelievedThatTheGroupWasRecoveredWithoutTheOthers(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, _ := kind.make(t, 3)
			n := g.nodes[2]
			n.falseReporter = &falseReporter{superseded: true, told: map[string]int{}}
			g.start()
			n.falseReporter.lies.Store(true)
			for _, lost := range g.others(n) {
				if why := ended(t, lost); !errors.Is(why, ErrRemoved) {
					t.Errorf("%s ended with %v", lost.opts.ID, why)
				}
				mark, err := os.ReadFile(filepath.Join(lost.opts.Dir, removedFile))
				if err != nil || !strings.Contains(string(mark), "recovered") || !strings.Contains(string(mark), n.opts.Peer) {
					t.Errorf("%s notes %q, %v", lost.opts.ID, mark, err)
				}
			}
		})
	}
}

func TestNobodyElseIsBelievedThatTheGroupWasRecovered(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfGroup {
		t.Run(kind.name+", a non-voter", func(t *testing.T) {
			t.Parallel()
			g, add := kind.make(t, 2)
			n := add(func(o *Options) { o.Nonvoter = true })
			n.falseReporter = &falseReporter{superseded: true, told: map[string]int{}}
			g.start()
			honest := g.others(n)
			n.falseReporter.awaitReplies(t, honest)
			n.stop()
			for _, h := range honest {
				checkStaysMember(t, h, "bard/"+h.opts.ID)
			}
		})
	}
	t.Run("a voter of a sworn group", func(t *testing.T) {
		t.Parallel()
		g := newSwornGroup(t, 3)
		n := g.others(g.master())[0]
		n.stop()
		n.falseReporter = &falseReporter{superseded: true, told: map[string]int{}}
		n.start()
		g.settle()
		honest := g.others(n)
		n.falseReporter.awaitReplies(t, honest)
		for _, h := range honest {
			checkRuns(t, h)
			if _, err := os.Stat(filepath.Join(h.opts.Dir, removedFile)); err == nil {
				t.Errorf("%s is marked as removed", h.opts.ID)
			}
		}
	})
}
