package raftlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	wal "github.com/hashicorp/raft-wal"

	"laurel/fsm/database"
)

func TestFailureTellsContradictionsFromDiskErrors(t *testing.T) {
	var c *ContradictionError
	own := &ContradictionError{Dir: "d", Err: errors.New("the term would go down")}
	for what, err := range map[string]error{
		"a contradiction":         own,
		"a wrapped contradiction": fmt.Errorf("write Raft's term: %w", own),
		"a damaged log":           fmt.Errorf("read the log: %w", wal.ErrCorrupt),
	} {
		got := Failure("d", err)
		if !errors.As(got, &c) || strings.Count(got.Error(), remedy) != 1 {
			t.Errorf("%s is %T %v", what, got, got)
		}
	}
	if got := Failure("d", io.ErrShortWrite); errors.As(got, &c) || !errors.As(got, new(*StorageError)) {
		t.Errorf("a short write is %T %v", got, got)
	}
}

func TestFullDiskAtTheStartIsNoDamage(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("make it: %w", syscall.ENOSPC),
		&os.PathError{Op: "write", Path: "state.db", Err: syscall.EIO},
		&database.DiskError{Path: "state.db", Err: errors.New("sync failed")},
	} {
		var disk *StorageError
		if got := openFailure("d", err); !errors.As(got, &disk) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
