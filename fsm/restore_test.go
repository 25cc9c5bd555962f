package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"laurel/fsm/database"
	"laurel/fsm/view"
)

// filesOf returns the names of the files in a machine's directory.
func filesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range list {
		names = append(names, file.Name())
	}
	return names
}

// wantOnlyDatabase checks that the directory has only the database and its marker.
func wantOnlyDatabase(t *testing.T, dir string) {
	t.Helper()
	names := slices.DeleteFunc(filesOf(t, dir), func(name string) bool {
		return name == "state.db" || name == "state.db.mark"
	})
	if len(names) > 0 {
		t.Errorf("the directory also has %q", names)
	}
}

// blockingReader is a reader that blocks at a barrier in the middle.
type blockingReader struct {
	barrier
	r io.Reader
}

func newBlockingReader(t testing.TB, b []byte) *blockingReader {
	h := &blockingReader{barrier: newBarrier(t)}
	h.r = io.MultiReader(bytes.NewReader(b[:len(b)/2]), h, bytes.NewReader(b[len(b)/2:]))
	return h
}

func (h *blockingReader) Read([]byte) (int, error) {
	h.pass()
	return 0, io.EOF
}

func TestPrepareBlocksNeitherEntriesNorViews(t *testing.T) {
	snapshot := populate(t, t.TempDir(), nil)
	m := newMachine(t)
	mustApply(t, m, alert, 1, 1, "one")
	slow := newBlockingReader(t, snapshot)
	var p *Prepared
	done := make(chan error, 1)
	go func() {
		var err error
		p, err = m.Prepare(slow.r)
		done <- err
	}()
	slow.wait(t, done)
	mustApply(t, m, alert, 2, 2, "two")
	if err := m.View(func(v *view.View) error {
		if v.Revision() != 2 {
			t.Errorf("the view's revision is %d", v.Revision())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	other, err := m.Prepare(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	slow.release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mustApply(t, m, alert, 3, 3, "three")
	if m.Revision() != 3 {
		t.Errorf("the revision is %d before anything is installed", m.Revision())
	}
	if err := other.Discard(); err != nil {
		t.Error(err)
	}
	if err := m.Install(p); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(snapshotOf(t, m), snapshot) {
		t.Error("the installed state is not that of the snapshot")
	}
	wantOnlyDatabase(t, m.dir)
	for _, p := range []*Prepared{p, other} {
		if err := errors.Join(m.Install(p), p.Discard()); !errors.Is(err, errUsed) {
			t.Errorf("a prepared state was used twice: %v", err)
		}
	}
	if !bytes.Equal(snapshotOf(t, m), snapshot) {
		t.Error("using a prepared state twice changed the state")
	}
	mustApply(t, m, `{"id":"n","source":"bard/n","type":"alert","contest_id":"G/1","data":{"text":"the next event"}}`)
	after := snapshotOf(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	wantTrusted(t, m.dir, after)
}

func TestAFailedInstallLeavesNothingBehind(t *testing.T) {
	snapshot := populate(t, t.TempDir(), nil)
	m := openMachine(t, t.TempDir())
	p, err := m.Prepare(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Install(p); !errors.Is(err, errClosed) {
		t.Errorf("a closed machine installed a state: %v", err)
	}
	wantOnlyDatabase(t, m.dir)
}

func TestOpenRemovesUnfinishedDatabases(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[odd]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	snapshot := populate(t, dir, nil)
	for _, name := range []string{"state.db.restore-1", "state.db.restore-77"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantTrusted(t, dir, snapshot)
	wantOnlyDatabase(t, dir)
}

// snapshotFile is the reader of a snapshot as the snapshot store returns it, with a
// prepared state or without.
type snapshotFile struct {
	io.ReadCloser
	prepared *Prepared
}

func (s snapshotFile) Prepared() *Prepared { return s.prepared }

// wrapped is one of the readers that Raft wraps around it.
type wrapped struct{ io.ReadCloser }

func (w wrapped) WrappedReadCloser() io.ReadCloser { return w.ReadCloser }

var _ raft.ReadCloserWrapper = wrapped{}

func TestRaftInstallsAPreparedStateWithoutReading(t *testing.T) {
	snapshot := populate(t, t.TempDir(), nil)
	unreadable := io.NopCloser(errReader{errors.New("the snapshot was read")})
	for _, depth := range []int{0, 1, 2} {
		r, m, _ := newRaft(t)
		p, err := m.Prepare(bytes.NewReader(snapshot))
		if err != nil {
			t.Fatal(err)
		}
		var in io.ReadCloser = snapshotFile{unreadable, p}
		for range depth {
			in = wrapped{in}
		}
		if err := r.Restore(in); err != nil {
			t.Fatalf("wrapped in %d readers: %v", depth, err)
		}
		if !bytes.Equal(snapshotOf(t, m), snapshot) {
			t.Errorf("wrapped in %d readers: the state is different", depth)
		}
	}
}

func TestRaftReadsASnapshotThatWasNotPrepared(t *testing.T) {
	snapshot := populate(t, t.TempDir(), nil)
	for name, in := range map[string]io.ReadCloser{
		"plain":   io.NopCloser(bytes.NewReader(snapshot)),
		"wrapped": wrapped{io.NopCloser(bytes.NewReader(snapshot))},
		"nil":     wrapped{snapshotFile{io.NopCloser(bytes.NewReader(snapshot)), nil}},
	} {
		r, m, _ := newRaft(t)
		if err := r.Restore(in); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(snapshotOf(t, m), snapshot) {
			t.Errorf("%s: the state is different", name)
		}
	}
}

// Prepare reads what Open would read, before the database replaces another one.
func TestASnapshotWithInvalidSettingsIsNotPrepared(t *testing.T) {
	for _, record := range [][2]string{
		{"head", `{"applied":-1}`},
		{"head", "bad"},
		{"access", `{"grants":{"a":null}}`},
		{"access", `{"join_tokens":{"a":null}}`},
		{"access", `{"removed":null}`},
		{"access", "null"},
		{"access", `{"settings":{"cache_mode":"shove"}}`},
		{"access", `{"settings":{"cache_mode":""}}`},
		{"access", `{"settings":{"lineage":"A"}}`},
	} {
		b := []byte("LAURELSN\x03\x08")
		for _, part := range record {
			b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
			b = append(b, part...)
		}
		b = binary.BigEndian.AppendUint64(append(b, 0), 1)
		b = append(b, 0, 0, 0, 0)
		fixChecksum(b)
		m := newMachine(t)
		err := database.ReadSnapshot(bytes.NewReader(b), func(r database.Record) error {
			if !bytes.Equal(r.Bucket, database.Meta) {
				return errors.New("the record is in another bucket")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := m.Prepare(bytes.NewReader(b)); err == nil {
			p.Discard()
			t.Errorf("a snapshot with the %s %s was prepared", record[0], record[1])
		}
		wantOnlyDatabase(t, m.dir)
	}
}
