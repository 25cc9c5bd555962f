package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Raft's own word that an entry is committed takes minutes here, so what the followers answer they know from the master's stream.
func TestAReaderOfWhatHasJustChangedDoesNotWaitForRaftToTellOfTheCommit(t *testing.T) {
	slow := false
	g := newGroup(t, 3, func(o *Options) {
		o.tune = func(c *raft.Config) {
			if slow {
				c.CommitTimeout = 10 * time.Minute
			}
		}
	})
	// The group has formed; from now on each member is slow with its word.
	slow = true
	for _, n := range g.nodes {
		n.stop()
	}
	for _, n := range g.nodes {
		n.start()
	}
	g.settle()
	for _, n := range g.nodes {
		eventually(t, n.opts.ID+" has a lease", func() error {
			if !n.member().Leased() {
				return errors.New("it has none")
			}
			return nil
		})
	}
	for i := range 20 {
		results, err := mustPost(t, g.master(), alerts("bard/a", uint64(i+1), 1)), error(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			revision, err := read(ctx, n.member())
			cancel()
			if err != nil || revision < results[0].Revision {
				t.Fatalf("%s: got revision %d (%v) after %d was acked", n.opts.ID, revision, err, results[0].Revision)
			}
		}
	}
}
