package snapshots

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/cluster/internal/hclogger"
)

// fakeLog records what the store tells it.
type fakeLog struct {
	Log
	calls []string
}

func (l *fakeLog) SnapshotStored(index, term uint64) {
	l.calls = append(l.calls, fmt.Sprintf("stored %d of term %d", index, term))
}

func (l *fakeLog) ContinueAfter(index, term uint64) {
	l.calls = append(l.calls, fmt.Sprintf("continue after %d of term %d", index, term))
}

func (l *fakeLog) Compact() error {
	l.calls = append(l.calls, "compact")
	return nil
}

func openStore(t *testing.T, dir string, l Log) *Store {
	t.Helper()
	s, err := Open(dir, l, hclogger.New(slog.New(slog.DiscardHandler), nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A snapshot of the master is stored before it is restored. Until then the log must not
// continue after it.
func TestLogContinuesAtOnceOnlyAfterAnOwnSnapshot(t *testing.T) {
	l := &fakeLog{}
	s := openStore(t, t.TempDir(), l)
	create := func() raft.SnapshotSink {
		sink, err := s.Create(raft.SnapshotVersionMax, 5, 1, raft.Configuration{}, 1, &raft.InmemTransport{})
		if err != nil {
			t.Fatal(err)
		}
		return sink
	}
	if err := create().Close(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"stored 5 of term 1", "continue after 5 of term 1", "compact"}; !slices.Equal(l.calls, want) {
		t.Errorf("after an own snapshot the log was told %q; want %q", l.calls, want)
	}

	l.calls = nil
	files, err := s.create(raft.SnapshotVersionMax, 5, 1, raft.Configuration{}, 1, &raft.InmemTransport{})
	if err != nil {
		t.Fatal(err)
	}
	s.offered.Store(&reception{meta: raft.SnapshotMeta{ID: files.ID(), Index: 5, Term: 1}, sink: files})
	sink := create()
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"stored 5 of term 1"}; !slices.Equal(l.calls, want) {
		t.Errorf("after a received snapshot the log was told %q; want %q", l.calls, want)
	}
	if _, err := sink.Write([]byte{1}); err == nil {
		t.Error("a received snapshot could be written to")
	}
}

func TestOpenRemovesUnfinishedSnapshotsAndKeepsDamagedOnes(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir, &fakeLog{})
	unfinished := filepath.Join(dir, Dir, "1-2-3"+unfinishedSuffix)
	damaged := filepath.Join(dir, Dir, "1-2-4"+damagedSuffix)
	for _, path := range []string{unfinished, damaged} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	openStore(t, dir, &fakeLog{})
	if _, err := os.Stat(unfinished); !os.IsNotExist(err) {
		t.Errorf("the unfinished snapshot still exists: %v", err)
	}
	if _, err := os.Stat(damaged); err != nil {
		t.Errorf("the damaged snapshot that was set aside is gone: %v", err)
	}
}
