package raftlog

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// busyStore opens a store, fills some files of its log and takes a snapshot.
func busyStore(t *testing.T, dir string, log *slog.Logger) {
	t.Helper()
	s := openStore(t, dir, func(o *Options) { o.Bounds, o.Logger = small, log })
	m, err := s.OpenMachine()
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stable.SetUint64([]byte(termKey), last+1); err != nil {
		t.Fatal(err)
	}
	for i := last + 1; i <= last+20; i++ {
		if err := s.Log.StoreLog(sized(i, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	sink, err := s.Snapshots.Create(raft.SnapshotVersionMax, 10, 1, raft.Configuration{}, 1, &raft.InmemTransport{})
	if err == nil {
		_, err = sink.Write([]byte("state"))
	}
	if err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir) // while a snapshot is written
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir)
}

// checkModes checks that only the owner has access to a directory and all that is in it.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		want := privateFile
		if d.IsDir() {
			want = privateDir
		}
		if d.Name() == "not-ours" {
			return nil
		}
		// raft-wal begins a file of the log in the background, and it gets its mode then.
		limit := time.After(patience)
		for info.Mode().Perm() != want {
			select {
			case <-limit:
				t.Errorf("%s has the mode %o; want %o", path, info.Mode().Perm(), want)
				return nil
			case <-time.After(time.Millisecond):
			}
			if info, err = os.Stat(path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || files < 8 {
		t.Errorf("%d files and directories: %v", files, err)
	}
}

func TestDataDirectoryIsForItsOwnerOnly(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // this test must not run in parallel with others
	dir := filepath.Join(t.TempDir(), "data")
	var log strings.Builder
	busyStore(t, dir, slog.New(slog.NewTextHandler(&log, nil)))
	if strings.Contains(log.String(), "owner only") {
		t.Errorf("a new directory was changed:\n%s", &log)
	}
}

func TestModesOfAnExistingDataDirectoryAreCorrectedAtTheStart(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "data")
	busyStore(t, dir, noLog)
	for _, name := range []string{"operator.token", "operator.recovery", "trust/member.pem", "not-ours"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	// A link must not lead to a change elsewhere.
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "trust", "link")); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s := openStore(t, dir, func(o *Options) {
		o.Bounds, o.Logger = small, slog.New(slog.NewTextHandler(&log, nil))
	})
	if err := os.Remove(filepath.Join(dir, "trust", "link")); err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir)
	if strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "mode 700") {
		t.Errorf("the log has not one line about it:\n%s", &log)
	}
	for path, want := range map[string]fs.FileMode{other: 0o644, filepath.Join(dir, "not-ours"): 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s, which is not Laurel's, was changed: %v, %v", path, info.Mode(), err)
		}
	}
	s.Close()
}
