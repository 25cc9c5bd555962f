package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	wal "github.com/hashicorp/raft-wal"
)

func TestWhatADirectoryContradictsIsAContradictionAndNotAnErrorOfTheDisk(t *testing.T) {
	var c *ContradictionError
	own := &ContradictionError{"d", errors.New("the term would go down")}
	for what, err := range map[string]error{
		"a contradiction":         own,
		"a wrapped contradiction": fmt.Errorf("write Raft's term: %w", own),
		"a damaged log":           fmt.Errorf("read the log: %w", wal.ErrCorrupt),
	} {
		got := failure("d", err)
		if !errors.As(got, &c) || strings.Count(got.Error(), remedy) != 1 {
			t.Errorf("%s is %T %v", what, got, got)
		}
	}
	if got := failure("d", io.ErrShortWrite); errors.As(got, &c) || !errors.As(got, new(*StorageError)) {
		t.Errorf("a short write is %T %v", got, got)
	}
}

func TestADirectoryWhoseVoteOrIdentityIsDamagedContradictsTheGroup(t *testing.T) {
	for _, name := range []string{voteFile, identityFile} {
		t.Run(name, func(t *testing.T) {
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
			expectContradiction(t, n)
		})
	}
}

// expectContradiction starts the node twice, which its data directory must forbid.
func expectContradiction(t *testing.T, n *node) {
	t.Helper()
	for range 2 {
		_, err := Start(n.again())
		var c *ContradictionError
		if !errors.As(err, &c) || c.Dir != n.opts.Dir || !strings.Contains(err.Error(), remedy) {
			t.Fatalf("got %T %v; want a contradiction of %s and its remedy", err, err, n.opts.Dir)
		}
	}
}
