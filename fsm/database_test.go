package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"laurel/score"
)

// lived makes a database with a bit of everything, of several pages, and calls leave with its machine before it is closed.
func lived(t testing.TB, dir string, leave func(m *Machine)) (snapshot []byte) {
	t.Helper()
	m := open(t, dir)
	for i := range 40 {
		contest := fmt.Sprintf("G/%d", i)
		var events []score.Event
		for _, body := range []string{
			`"type":"contest.define","contest_id":%q,"data":{"kind":"ranked","sport":"race","sort":"asc"}`,
			`"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}`,
			`"type":"result.set","contest_id":%q,"data":{"competitor":"X","split":"finish","mark":9.58,"organisation":"OX"}`,
			`"type":"result.set","contest_id":%q,"data":{"competitor":"Y","split":"finish","mark":9.69}`,
			`"type":"alert","contest_id":%q,"data":{"text":"a long jump of a text that fills the pages"}`,
		} {
			events = append(events, decode(t, `{"id":"e-%d-%d","source":"bard/a",`+body+`}`, i, len(events), contest))
		}
		award := `{"id":"a-%d","source":"bard/a","type":"medal.award","contest_id":%q,"data":{"award_id":"x%d","medal":"GOLD","organisation":"OX"}}`
		events = append(events, decode(t, award, i, contest, i))
		apply(t, m, score.Post{Events: events})
	}
	snapshot = snapshotOf(t, m)
	if leave != nil {
		leave(m)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// wantThrownAway opens a database that must not be trusted, and checks that the log says so, once, with the words.
func wantThrownAway(t testing.TB, dir, words string) {
	t.Helper()
	var d diary
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatalf("a database that cannot be trusted must not keep a frontend from starting: %v", err)
	}
	defer m.Close()
	if m.Applied() != 0 || m.Revision() != 0 {
		t.Errorf("applied is %d, revision %d; want a new database", m.Applied(), m.Revision())
	}
	if text := d.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "thrown away") || !strings.Contains(text, words) {
		t.Errorf("the log should say once that the database is thrown away because %q; it says\n%s", words, text)
	}
	applied(t, m, alert, 1, 1, "it works")
}

func wantTrusted(t testing.TB, dir string, snapshot []byte) {
	t.Helper()
	var d diary
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if d.Len() > 0 {
		t.Errorf("a good database was not trusted: %s", d.String())
	}
	if string(snapshotOf(t, m)) != string(snapshot) {
		t.Error("the state is another than before")
	}
}

func TestADatabaseThatWasClosedIsTrustedEvenAfterACrashOfTheMachine(t *testing.T) {
	dir := t.TempDir()
	snapshot := lived(t, dir, nil)
	wantTrusted(t, dir, snapshot)
	wantTrusted(t, dir, snapshot)
}

// A database in use has no mark: what a crash leaves of it, of the process as of the machine, is not
// trusted, whatever came before.
func TestADatabaseThatWasNotClosedIsThrownAway(t *testing.T) {
	one := func(t *testing.T, m *Machine) {
		applied(t, m, `{"source":"bard/n","type":"alert","contest_id":"G/1","data":{"text":"n"}}`)
	}
	for name, use := range map[string]func(t *testing.T, m *Machine){
		"opened":    func(*testing.T, *Machine) {},
		"written":   func(t *testing.T, m *Machine) { one(t, m); snapshotOf(t, m) },
		"discarded": func(t *testing.T, m *Machine) { m.Discard("the test says so"); one(t, m) },
		"restored": func(t *testing.T, m *Machine) {
			if err := m.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, killed := t.TempDir(), t.TempDir()
			lived(t, dir, nil)
			m := open(t, dir) // which was closed, and has been trusted
			defer m.Close()
			use(t, m)
			kill(t, m, killed)
			wantThrownAway(t, killed, "was not closed")
		})
	}
}

// mark writes what the mark beside a database says.
func mark(t testing.TB, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "state.db.mark"), []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseWithoutAGoodMarkIsThrownAway(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		words string
	}{
		"no mark":       {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "state.db.mark")) }, "was not closed"},
		"empty mark":    {func(t *testing.T, dir string) { mark(t, dir, "") }, "does not say that it was closed"},
		"older, in use": {func(t *testing.T, dir string) { mark(t, dir, "open 3f0e9a52-0000-4000-8000-000000000000") }, "does not say that it was closed"},
		"nonsense":      {func(t *testing.T, dir string) { mark(t, dir, "\x00\xff") }, "does not say that it was closed"},
		"no sum":        {func(t *testing.T, dir string) { mark(t, dir, "clean ") }, "does not say that it was closed"},
		"other sum":     {func(t *testing.T, dir string) { mark(t, dir, "clean 00000000") }, "not as it was"},
		"a directory": {func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "state.db.mark"))
			os.Mkdir(filepath.Join(dir, "state.db.mark"), 0o700)
		}, "its mark cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lived(t, dir, nil)
			c.spoil(t, dir)
			wantThrownAway(t, dir, c.words)
		})
	}
}

func TestATruncatedDatabaseIsThrownAway(t *testing.T) {
	dir := t.TempDir()
	lived(t, dir, nil)
	whole, sum := closedFile(t, dir)
	for _, size := range []int{0, 1, 100, os.Getpagesize(), 3 * os.Getpagesize(), len(whole) / 2, len(whole) - os.Getpagesize() - 1} {
		leaveFile(t, dir, whole[:size], sum)
		wantThrownAway(t, dir, "not as it was when it was closed")
	}
}

// closedFile returns a closed database and its mark.
func closedFile(t *testing.T, dir string) (whole, sum []byte) {
	t.Helper()
	path := filepath.Join(dir, "state.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err = os.ReadFile(markPath(path)); err != nil {
		t.Fatal(err)
	}
	return whole, sum
}

func leaveFile(t *testing.T, dir string, whole, sum []byte) {
	t.Helper()
	path := filepath.Join(dir, "state.db")
	if err := errors.Join(os.WriteFile(path, whole, 0o600), os.WriteFile(markPath(path), sum, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A page whose write was lost is as it was before. All pages of the file can be sound then, and yet it
// has another state.
func TestAClosedDatabaseThatLostAPageIsThrownAway(t *testing.T) {
	dir := t.TempDir()
	lived(t, dir, nil)
	before, _ := closedFile(t, dir)
	m := open(t, dir)
	for i := range 30 {
		applied(t, m, `{"id":"n-%d","source":"bard/b","type":"result.set","contest_id":"G/%d","data":{"competitor":"Y","split":"finish","mark":%d}}`, i, i%7, 9-i%3)
		if err := m.Commit(); err != nil { // each into other pages
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	after, sum := closedFile(t, dir)
	lost, size := 0, os.Getpagesize()
	for at := 0; at+size <= min(len(before), len(after)); at += size {
		old := before[at : at+size]
		if bytes.Equal(old, after[at:at+size]) {
			continue
		}
		lost++
		torn := bytes.Clone(after)
		copy(torn[at:], old)
		leaveFile(t, dir, torn, sum)
		if because := distrust(filepath.Join(dir, "state.db")); because != "it is not as it was when it was closed" {
			t.Errorf("page %d was lost; the database is distrusted because %q", at/size, because)
		}
	}
	if lost < 5 {
		t.Errorf("only %d pages differ; the test should have more", lost)
	}
	leaveFile(t, dir, after, sum)
	if because := distrust(filepath.Join(dir, "state.db")); because != "" {
		t.Errorf("without a loss the database is distrusted because %q", because)
	}
}

// positions are bytes of a file to be spoilt: those of the first pages' headers, and many others.
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

func TestAClosedDatabaseWithAnyByteChangedIsThrownAway(t *testing.T) {
	dir := t.TempDir()
	lived(t, dir, nil)
	whole, sum := closedFile(t, dir)
	for _, at := range positions(len(whole)) {
		spoilt := append([]byte(nil), whole...)
		spoilt[at] ^= 1 << (at % 8)
		leaveFile(t, dir, spoilt, sum)
		if because := distrust(filepath.Join(dir, "state.db")); because != "it is not as it was when it was closed" {
			t.Fatalf("byte %d was changed; the database is distrusted because %q", at, because)
		}
	}
	wantThrownAway(t, dir, "not as it was when it was closed")
}

func TestDiscardBeginsAnewAndSaysWhy(t *testing.T) {
	dir := t.TempDir()
	var d diary
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatal(err)
	}
	applied(t, m, alert, 1, 1, "one")
	if err := m.Discard("it is ahead of the log"); err != nil {
		t.Fatal(err)
	}
	if m.Applied() != 0 || m.Revision() != 0 || !strings.Contains(d.String(), "it is ahead of the log") {
		t.Errorf("applied is %d, revision %d, the log says %s", m.Applied(), m.Revision(), d.String())
	}
	applied(t, m, alert, 1, 1, "one")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	wantTrusted(t, dir, func() []byte { n := newMachine(t); applied(t, n, alert, 1, 1, "one"); return snapshotOf(t, n) }())
}

func TestAMachineThatIsClosedSaysSo(t *testing.T) {
	m := open(t, t.TempDir())
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply([]Entry{{1, entryOf(t, one(decode(t, alert, 1, 1, "one")))}}, 1); err == nil {
		t.Error("a closed machine applied an entry")
	}
	if err := m.View(func(*View) error { return nil }); err == nil {
		t.Error("a closed machine gave a view")
	}
	if _, err := m.Snapshot(); err == nil {
		t.Error("a closed machine gave a snapshot")
	}
}
