package archive_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"laurel/fsm"
	"laurel/fsm/archive"
	"laurel/fsm/entry"
	"laurel/score"
	"laurel/trust/access"
)

var taken = time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC)

// newStore returns the state machine of a store with two contests, three events of two bards, and
// a grant.
func newStore(t testing.TB) *fsm.Machine {
	t.Helper()
	m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	for _, c := range []access.Change{
		{Guard: true},
		{Setting: &access.Setting{Name: access.SettingLineage, Value: "og50bc"}},
		{Setting: &access.Setting{Name: access.SettingIncarnation, Value: "first"}},
		{Grant: &access.Grant{ID: "t1", Name: "bard", Role: access.RoleBard, Hash: make([]byte, 32)}},
	} {
		c.At, c.By = taken, "f1"
		encoded, err := entry.EncodeChange(c)
		apply(t, m, encoded, err)
	}
	for i, text := range []string{
		`{"id":"a","source":"bard/a","time":"2026-02-09T10:00:00Z","type":"contest.define","contest_id":"G/1","data":{"kind":"ranked","sport":"race"}}`,
		`{"id":"b","source":"bard/b","time":"2026-02-09T10:00:00Z","type":"contest.define","contest_id":"G/2","data":{"kind":"ranked","sport":"race"}}`,
		`{"id":"c","source":"bard/b","time":"2026-02-09T10:00:00Z","type":"alert","contest_id":"G/2","data":{"text":"rain"}}`,
	} {
		e, p := score.Decode([]byte(text))
		if p != nil {
			t.Fatal(i, p)
		}
		e.Token = "t1"
		encoded, err := entry.EncodePost(score.Post{Events: []score.Event{e}})
		apply(t, m, entry.Encode([]entry.EncodedPost{encoded}), err)
	}
	return m
}

func apply(t testing.TB, m *fsm.Machine, data []byte, err error) {
	t.Helper()
	index := m.Applied() + 1
	var outcome [][][]score.Result
	if err == nil {
		outcome, err = m.Apply([]fsm.Entry{{Index: index, Data: data}}, index)
	}
	if err == nil && outcome[0][0][0].Problem != nil {
		err = outcome[0][0][0].Problem
	}
	if err != nil {
		t.Fatal(err)
	}
}

func snapshotOf(t testing.TB, m *fsm.Machine) []byte {
	t.Helper()
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fileOf returns a snapshot file of any content.
func fileOf(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	err := archive.Write(&b, taken, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAFileSaysWhatIsInIt(t *testing.T) {
	m := newStore(t)
	snapshot := snapshotOf(t, m)
	got, err := archive.Inspect(bytes.NewReader(fileOf(t, snapshot)))
	sum := sha256.Sum256(snapshot)
	want := archive.Info{
		Lineage: "og50bc", Incarnation: "first", Revision: 3, Index: 7, Time: taken, Events: 3, Contests: 2, Sources: 2,
		Grants: 1, Secure: true, Format: 1, Size: int64(len(snapshot)), Digest: hex.EncodeToString(sum[:]),
	}
	if err != nil || got != want {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestEqualStatesAtOneTimeGiveEqualFiles(t *testing.T) {
	if !bytes.Equal(fileOf(t, snapshotOf(t, newStore(t))), fileOf(t, snapshotOf(t, newStore(t)))) {
		t.Error("two equal stores have different files")
	}
}

func TestATruncatedOrDamagedFileIsRefused(t *testing.T) {
	good := fileOf(t, snapshotOf(t, newStore(t)))
	want, err := archive.Inspect(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	for size := range good {
		_, err := archive.Inspect(bytes.NewReader(good[:size]))
		if err == nil || !strings.Contains(err.Error(), "truncated") {
			t.Fatalf("%d of %d bytes: %v", size, len(good), err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		// Some bits mean nothing to gzip: then all is as it was.
		if info, err := archive.Inspect(bytes.NewReader(bad)); err == nil && info != want {
			t.Fatalf("bit %d of byte %d was changed: %+v", i%8, i, info)
		}
	}
}

func TestAForeignFileIsRefusedWithTheReason(t *testing.T) {
	m := newStore(t)
	snapshot := snapshotOf(t, m)
	good := fileOf(t, snapshot)
	version := func(n byte) []byte {
		other := bytes.Clone(snapshot)
		other[len("LAURELSN")] = n
		return fileOf(t, other)
	}
	var foreign bytes.Buffer
	z := gzip.NewWriter(&foreign)
	z.Write(snapshot)
	z.Close()
	empty, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	for what, c := range map[string]struct {
		file  []byte
		words string
	}{
		"an empty file":                {nil, "truncated"},
		"text":                         {[]byte("laurel snapshot of nothing, which is long enough for a header"), "no snapshot file"},
		"a snapshot alone":             {snapshot, "not compressed"},
		"gzip of another program":      {foreign.Bytes(), "header"},
		"a file of other things":       {fileOf(t, []byte("nine bytes and more")), "no snapshot of a store"},
		"a file of nothing":            {fileOf(t, nil), "damaged"},
		"a later version":              {version(9), "has format 4"},
		"an older version":             {version(1), "no snapshot of a store"},
		"two files in one":             {append(bytes.Clone(good), good...), "something follows"},
		"one byte more":                {append(bytes.Clone(good), 0), "something follows"},
		"one byte more in it":          {fileOf(t, append(bytes.Clone(snapshot), 0)), "something follows"},
		"one byte less in it":          {fileOf(t, snapshot[:len(snapshot)-1]), "damaged"},
		"a sworn name of another form": {version(4), "damaged"},
		"an empty store":               {fileOf(t, snapshotOf(t, empty)), "empty store"},
	} {
		_, err := archive.Inspect(bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v; want %q", what, err, c.words)
		}
	}
	broken := errors.New("the disk is broken")
	_, err = archive.Inspect(io.MultiReader(bytes.NewReader(good[:len(good)/2]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

func FuzzInspect(f *testing.F) {
	snapshot := snapshotOf(f, newStore(f))
	f.Add(fileOf(f, snapshot), true)
	f.Add(snapshot, false)
	f.Add(fileOf(f, []byte("LAURELSN\x03")), true)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		if len(b) > 1<<16 {
			return
		}
		file := b
		if !whole { // only the content of a file is changed, or hardly any would get further than gzip
			file = fileOf(t, b)
		}
		info, err := archive.Inspect(bytes.NewReader(file))
		if err != nil {
			return
		}
		r, err := archive.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		m, err := fsm.Open(t.TempDir(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Restore(r); err != nil {
			return // Inspect does not read all that the state machine needs
		}
		if m.Revision() != info.Revision || m.Lineage() != info.Lineage || m.Applied() != info.Index {
			t.Fatalf("restored is %d %s %d; the file says %+v", m.Revision(), m.Lineage(), m.Applied(), info)
		}
		if s := snapshotOf(t, m); fmt.Sprintf("%x", sha256.Sum256(s)) != info.Digest {
			t.Fatal("the restored state has another digest than the file")
		}
	})
}
