package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDamagedVoteOrIdentityContradictsTheGroup(t *testing.T) {
	t.Parallel()
	for _, name := range []string{voteFile, identityFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newGroup(t, 1).nodes[0]
			n.stop()
			path := filepath.Join(n.opts.Dir, name)
			size := 100
			if info, err := os.Stat(path); err == nil {
				size = int(info.Size())
			}
			if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600); err != nil {
				t.Fatal(err)
			}
			checkContradiction(t, n)
		})
	}
}

// checkContradiction checks that a node cannot start because of its data directory,
// twice.
func checkContradiction(t *testing.T, n *node) {
	t.Helper()
	for range 2 {
		_, err := Start(n.again())
		var c *ContradictionError
		if !errors.As(err, &c) || c.Dir != n.opts.Dir || !strings.Contains(err.Error(), "join again") {
			t.Fatalf("got %T %v; want a contradiction of %s with a remedy", err, err, n.opts.Dir)
		}
	}
}
