package database

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

const changedSinceClose = "it has changed since it was closed"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// put writes n records with a value to a bucket.
func put(t *testing.T, db *bolt.DB, n int, value string) {
	t.Helper()
	err := db.Update(func(tx *bolt.Tx) error {
		for i := range n {
			k := fmt.Appendf(nil, "key %04d", i)
			if err := tx.Bucket(Contests).Put(k, Seal(k, []byte(value))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// closedDatabase creates and closes a database of several pages and returns its path.
func closedDatabase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, 300, strings.Repeat("value ", 20))
	if err := Close(path, db, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// readFiles returns the content of a closed database and of its marker.
func readFiles(t *testing.T, path string) (file, marker []byte) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if marker, err = os.ReadFile(markerPath(path)); err != nil {
		t.Fatal(err)
	}
	return file, marker
}

func writeFiles(t *testing.T, path string, file, marker []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, file, 0o600), os.WriteFile(markerPath(path), marker, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// wantDeleted checks that Open does not trust the database, logs the reason once, and
// creates a usable one.
func wantDeleted(t *testing.T, path, reason string) {
	t.Helper()
	var log bytes.Buffer
	db, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatalf("a database that is not trusted must not keep a frontend from starting: %v", err)
	}
	defer db.Close()
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, reason) {
		t.Errorf("want one line in the log with the reason %q; got\n%s", reason, text)
	}
	put(t, db, 1, "new")
}

func TestADatabaseWithoutAValidMarkerIsDeleted(t *testing.T) {
	mark := func(t *testing.T, path, text string) {
		if err := os.WriteFile(markerPath(path), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, path string)
		reason string
	}{
		"no marker":    {func(t *testing.T, path string) { os.Remove(markerPath(path)) }, "was not closed cleanly"},
		"empty marker": {func(t *testing.T, path string) { mark(t, path, "") }, "its marker is invalid"},
		"older format": {func(t *testing.T, path string) {
			_, marker := readFiles(t, path)
			mark(t, path, "clean 2 "+strings.TrimPrefix(string(marker), "clean 3 "))
		}, "it has the format of another version of laurel"},
		"no version":     {func(t *testing.T, path string) { mark(t, path, "clean 00000000") }, "its marker is invalid"},
		"garbage":        {func(t *testing.T, path string) { mark(t, path, "\x00\xff") }, "its marker is invalid"},
		"no checksum":    {func(t *testing.T, path string) { mark(t, path, "clean 3") }, "its marker is invalid"},
		"wrong checksum": {func(t *testing.T, path string) { mark(t, path, "clean 3 00000000") }, changedSinceClose},
		"a directory": {func(t *testing.T, path string) {
			os.Remove(markerPath(path))
			os.Mkdir(markerPath(path), 0o700)
		}, "its marker cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := closedDatabase(t)
			c.spoil(t, path)
			wantDeleted(t, path, c.reason)
		})
	}
}

func TestATruncatedDatabaseIsDeleted(t *testing.T) {
	path := closedDatabase(t)
	file, marker := readFiles(t, path)
	page := os.Getpagesize()
	for _, size := range []int{0, 1, 100, page, 3 * page, len(file) / 2, len(file) - page - 1} {
		writeFiles(t, path, file[:size], marker)
		wantDeleted(t, path, changedSinceClose)
	}
}

// A page whose write was lost has its old content. All pages of the file may then be
// intact although the file has another state.
func TestAClosedDatabaseThatLostAPageIsNotTrusted(t *testing.T) {
	path := closedDatabase(t)
	before, _ := readFiles(t, path)
	db, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 { // each commit writes other pages
		put(t, db, 100, fmt.Sprint("new value ", i))
	}
	if err := Close(path, db, nil); err != nil {
		t.Fatal(err)
	}
	after, marker := readFiles(t, path)
	lost, page := 0, os.Getpagesize()
	for at := 0; at+page <= min(len(before), len(after)); at += page {
		old := before[at : at+page]
		if bytes.Equal(old, after[at:at+page]) {
			continue
		}
		lost++
		torn := bytes.Clone(after)
		copy(torn[at:], old)
		writeFiles(t, path, torn, marker)
		if reason, _ := distrust(path); reason != changedSinceClose {
			t.Errorf("page %d was lost; the reason for distrust is %q", at/page, reason)
		}
	}
	if lost < 5 {
		t.Errorf("only %d pages differ; the test needs more", lost)
	}
	writeFiles(t, path, after, marker)
	if reason, _ := distrust(path); reason != "" {
		t.Errorf("no page was lost; the reason for distrust is %q", reason)
	}
}

func TestAClosedDatabaseWithAnyByteChangedIsDeleted(t *testing.T) {
	path := closedDatabase(t)
	file, marker := readFiles(t, path)
	for _, at := range positions(len(file)) {
		spoilt := bytes.Clone(file)
		spoilt[at] ^= 1 << (at % 8)
		writeFiles(t, path, spoilt, marker)
		if reason, _ := distrust(path); reason != changedSinceClose {
			t.Fatalf("byte %d was changed; the reason for distrust is %q", at, reason)
		}
	}
	wantDeleted(t, path, changedSinceClose)
}

// positions returns offsets in a file: the headers of the first pages, and random ones.
func positions(size int) (list []int) {
	for page := range 4 {
		for i := range 80 {
			list = append(list, page*os.Getpagesize()+i)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		list = append(list, random.IntN(size))
		// The headers of pages, and the first elements in them.
		list = append(list, random.IntN(size/os.Getpagesize())*os.Getpagesize()+random.IntN(48))
	}
	return list
}
