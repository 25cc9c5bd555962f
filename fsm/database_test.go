package fsm

import (
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

func TestADatabaseOutlivesACrashOfTheProcess(t *testing.T) {
	killed := t.TempDir()
	snapshot := lived(t, t.TempDir(), func(m *Machine) { kill(t, m, killed) })
	wantTrusted(t, killed, snapshot)
}

func TestWhatWasNotCommittedIsReplayedAfterACrashOfTheProcess(t *testing.T) {
	m, killed := newMachine(t), t.TempDir()
	applied(t, m, alert, 1, 1, "one")
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	func() {
		m.applying.Lock() // so that the transaction stays open
		defer m.applying.Unlock()
		b, err := m.begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.entry(Entry{2, entryOf(t, one(decode(t, alert, 2, 2, "two")))}); err != nil {
			t.Fatal(err)
		}
	}()
	kill(t, m, killed)
	again := open(t, killed)
	defer again.Close()
	if again.Applied() != 1 || again.Revision() != 1 {
		t.Errorf("applied is %d, revision %d", again.Applied(), again.Revision())
	}
	applied(t, again, alert, 2, 2, "two")
}

func TestADatabaseInUseDuringACrashOfTheMachineIsThrownAway(t *testing.T) {
	killed := t.TempDir()
	lived(t, t.TempDir(), func(m *Machine) { kill(t, m, killed) })
	mark(t, killed, "open 3f0e9a52-0000-4000-8000-000000000000")
	wantThrownAway(t, killed, "machine was started anew")
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
		"no mark":       {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "state.db.mark")) }, "no mark"},
		"empty mark":    {func(t *testing.T, dir string) { mark(t, dir, "") }, "opening it failed"},
		"opening":       {func(t *testing.T, dir string) { mark(t, dir, "opening "+bootID()) }, "opening it failed"},
		"open, no boot": {func(t *testing.T, dir string) { mark(t, dir, "open") }, "machine was started anew"},
		"nonsense":      {func(t *testing.T, dir string) { mark(t, dir, "\x00\xff") }, "opening it failed"},
		"other sum":     {func(t *testing.T, dir string) { mark(t, dir, "clean 00000000") }, "not as it was"},
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
	for _, state := range []string{"clean", "open"} {
		t.Run(state, func(t *testing.T) {
			dir := t.TempDir()
			lived(t, dir, nil)
			whole, err := os.ReadFile(filepath.Join(dir, "state.db"))
			if err != nil {
				t.Fatal(err)
			}
			sum, err := os.ReadFile(filepath.Join(dir, "state.db.mark"))
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{0, 1, 100, os.Getpagesize(), 3 * os.Getpagesize(), len(whole) / 2, len(whole) - os.Getpagesize() - 1} {
				if err := os.WriteFile(filepath.Join(dir, "state.db"), whole[:size], 0o600); err != nil {
					t.Fatal(err)
				}
				text := strings.TrimSpace(string(sum))
				if state == "open" {
					text = "open " + bootID()
				}
				mark(t, dir, text)
				wantThrownAway(t, dir, "because")
			}
		})
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
	path := filepath.Join(dir, "state.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(path + ".mark")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range positions(len(whole)) {
		spoilt := append([]byte(nil), whole...)
		spoilt[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".mark", sum, 0o600); err != nil {
			t.Fatal(err)
		}
		if because := distrust(path); because != "it is not as it was when it was closed" {
			t.Fatalf("byte %d was changed; the database is distrusted because %q", at, because)
		}
	}
	wantThrownAway(t, dir, "not as it was when it was closed")
}

// A process that crashed leaves no checksum of the file. What is found wrong in it is thrown away; a change that is not found must be one
// that does not matter.
func TestADamagedDatabaseOfACrashedProcessIsThrownAwayOrAsItWas(t *testing.T) {
	killed := t.TempDir()
	snapshot := lived(t, t.TempDir(), func(m *Machine) { kill(t, m, killed) })
	path := filepath.Join(killed, "state.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found, harmless := 0, 0
	for i, at := range positions(len(whole)) {
		spoilt := append([]byte(nil), whole...)
		spoilt[at] ^= 1 << (i % 8)
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		mark(t, killed, "open "+bootID())
		if distrust(path) != "" {
			found++
			continue
		}
		harmless++
		m := open(t, killed)
		if string(snapshotOf(t, m)) != string(snapshot) {
			t.Fatalf("byte %d was changed, and the state is another", at)
		}
		m.Close()
	}
	if found == 0 || harmless == 0 {
		t.Errorf("%d changes were found, %d were harmless; the test should have both", found, harmless)
	}
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
