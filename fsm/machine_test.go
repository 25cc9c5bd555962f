package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/view"
	"laurel/score"
)

// tester is implemented by testing.TB and *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// logBuffer holds the log of a machine.
type logBuffer struct{ bytes.Buffer }

func (d *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(d, nil)) }

func discardLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func openMachine(t tester, dir string) *Machine {
	t.Helper()
	m, err := Open(dir, discardLog())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newMachine returns a machine in a temporary directory, closed at the end of the test.
func newMachine(t testing.TB) *Machine {
	t.Helper()
	m := openMachine(t, t.TempDir())
	t.Cleanup(func() { m.Close() })
	return m
}

func encodePost(t tester, p score.Post) entry.EncodedPost {
	t.Helper()
	encoded, err := entry.EncodePost(p)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// encodeEvent encodes an event with any bytes as its data.
func encodeEvent(e *score.Event, data []byte) []byte {
	b := entry.AppendStored(nil, &entry.Event{Event: *e, JSON: data})
	if len(e.Signature) > 0 {
		b = protowire.AppendTag(b, 14, protowire.BytesType)
		b = protowire.AppendBytes(b, append([]byte{0, 0}, e.Signature...))
	}
	return b
}

// encodeEntry encodes posts as one log entry.
func encodeEntry(t tester, posts ...score.Post) []byte {
	t.Helper()
	encoded := make([]entry.EncodedPost, len(posts))
	for i, p := range posts {
		encoded[i] = encodePost(t, p)
	}
	return entry.Encode(encoded)
}

// applyPosts applies posts as the next log entry and returns the results of each.
func applyPosts(t tester, m *Machine, posts ...score.Post) [][]score.Result {
	t.Helper()
	index := m.Applied() + 1
	outcome, err := m.Apply([]Entry{{index, encodeEntry(t, posts...)}}, index)
	if err != nil {
		t.Fatal(err)
	}
	return outcome[0]
}

// decodeEvent decodes an event and completes it, as a frontend does.
func decodeEvent(t tester, text string, args ...any) score.Event {
	t.Helper()
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	e, p := score.Decode([]byte(text))
	if p != nil {
		t.Fatalf("%s\n%v", text, p)
	}
	if e.Source == "" {
		e.Source = "anonymous"
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("made-%d", generatedIDs.Add(1))
	}
	if e.Time.IsZero() {
		e.Time = noon
	}
	return e
}

// generatedIDs counts the ids that decodeEvent generated.
var generatedIDs atomic.Uint64

var noon = mustTime("2026-02-09T12:00:00Z")

func singlePost(e score.Event) score.Post { return score.Post{Events: []score.Event{e}} }

// postEvent applies one event, given as JSON, as an entry of its own.
func postEvent(t tester, m *Machine, text string, args ...any) score.Result {
	t.Helper()
	return applyPosts(t, m, singlePost(decodeEvent(t, text, args...)))[0][0]
}

// mustApply is postEvent for an event that must be applied.
func mustApply(t tester, m *Machine, text string, args ...any) score.Result {
	t.Helper()
	r := postEvent(t, m, text, args...)
	if r.Status != score.Applied {
		t.Fatalf("%s\nwas not applied: %+v %v", fmt.Sprintf(text, args...), r, r.Problem)
	}
	return r
}

// mustRefuse is postEvent for an event that must be refused with a code and a detail that
// contains words, and that must change nothing.
func mustRefuse(t tester, m *Machine, code score.Code, words, text string, args ...any) *score.Problem {
	t.Helper()
	before := stateOf(t, m)
	r := postEvent(t, m, text, args...)
	if r.Problem == nil || r.Problem.Code != code || r.Revision != 0 || r.Status != "" {
		t.Fatalf("%s\nwant it refused with %s; got %+v %v", fmt.Sprintf(text, args...), code, r, r.Problem)
	}
	if !strings.Contains(r.Problem.Detail, words) {
		t.Fatalf("%s\nthe detail should contain %q: %s", fmt.Sprintf(text, args...), words, r.Problem.Detail)
	}
	if stateOf(t, m) != before {
		t.Fatalf("%s\nwas refused, but changed the state", fmt.Sprintf(text, args...))
	}
	return r.Problem
}

func snapshotOf(t tester, m *Machine) []byte {
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

// fixChecksum sets the checksum at the end of a snapshot.
func fixChecksum(snapshot []byte) {
	body := snapshot[:len(snapshot)-4]
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(snapshot[len(body):], sum)
}

// stateOf returns everything in the database except the index of the last entry.
func stateOf(t tester, m *Machine) string {
	t.Helper()
	var b strings.Builder
	for _, r := range records(t, snapshotOf(t, m)) {
		value := r.value
		if r.key == "head" {
			value = regexp.MustCompile(`"applied":\d+,`).ReplaceAllString(value, "")
			if value == `{"revision":0}` { // as in a new database
				continue
			}
		}
		fmt.Fprintf(&b, "%s %q %q\n", r.bucket, r.key, value)
	}
	return b.String()
}

type record struct{ bucket, key, value string }

// records returns the records of a snapshot, which must be valid.
func records(t tester, snapshot []byte) (list []record) {
	t.Helper()
	err := database.ReadSnapshot(bytes.NewReader(snapshot), func(r database.Record) error {
		list = append(list, record{string(r.Bucket), string(r.Key), string(r.Value)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// contestJSON returns the record of a contest as JSON; "" if there is none.
func contestJSON(t tester, m *Machine, id string) string {
	t.Helper()
	var text string
	err := m.View(func(v *view.View) error {
		r, ok, err := v.Contest(id)
		if !ok || err != nil {
			return err
		}
		b, err := json.Marshal(r)
		text = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// copyFiles copies the files of a running machine to another directory, as a crash of the
// process would leave them.
func copyFiles(t tester, m *Machine, to string) {
	t.Helper()
	m.applying.Lock()
	defer m.applying.Unlock()
	files, err := os.ReadDir(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(m.dir, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestViewsAreConsistentWhileEntriesAreAppliedAndSnapshotsRestored(t *testing.T) {
	m := newMachine(t)
	events := longAlerts(t, 600)
	applyAll(t, m, events[:200], 10)
	early := snapshotOf(t, m)
	done := make(chan struct{})
	var viewers errgroup.Group
	for range 3 {
		viewers.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				err := m.View(func(v *view.View) error {
					list, _, err := v.Timeline("G", 0, 1000)
					if err != nil {
						return err
					}
					b, _, err := v.Bard("bard/a")
					if n := v.Revision(); uint64(len(list)) != n || b.LastSeq != n {
						return fmt.Errorf("the view of revision %d has %d events, and %d of the bard", n, len(list),
							b.LastSeq)
					}
					return err
				})
				if err != nil {
					return err
				}
			}
		})
	}
	for range 3 {
		applyAll(t, m, events[200:], 10)
		if err := m.Restore(bytes.NewReader(early)); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	if err := viewers.Wait(); err != nil {
		t.Error(err)
	}
}

func TestPagesOfContestsContinueAfterTheLastOne(t *testing.T) {
	m := newMachine(t)
	for _, id := range []string{"G/a", "G/a/1", "G/b", "G-2/a", "H/a"} {
		mustPost(t, m, id, "contest.define", id, `{"kind":"ranked","sport":"race"}`)
	}
	for _, c := range []struct {
		competition string
		limit       int
		want        string
	}{
		{"", 2, "G-2/a G/a|G/a/1 G/b|H/a|"},
		{"G", 1, "G/a|G/a/1|G/b|"},
		{"G", 3, "G/a G/a/1 G/b|"},
		{"none", 3, "|"},
		{"", 0, "G-2/a|G/a|G/a/1|G/b|H/a|"},
	} {
		got, after := "", ""
		for {
			var ids []string
			err := m.View(func(v *view.View) error {
				list, next, err := v.Contests(score.Filter{Competition: c.competition}, after, c.limit)
				for _, r := range list {
					ids = append(ids, r.ContestID)
				}
				after = next
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			got += strings.Join(ids, " ") + "|"
			if after == "" {
				break
			}
		}
		if got != c.want {
			t.Errorf("%q by %d: got %s, want %s", c.competition, c.limit, got, c.want)
		}
	}
}

func TestPagesOfATimelineContinueAfterTheLastEvent(t *testing.T) {
	m := newMachine(t)
	for i := range 5 {
		mustApply(t, m, alert, i+1, i+1, "hello")
		mustPost(t, m, fmt.Sprint("other", i), "alert", "G/1", `{"text":"elsewhere"}`)
	}
	for _, limit := range []int{0, 1, 2, 4, 5, 6} {
		var seen []uint64
		after := uint64(0)
		for {
			err := m.View(func(v *view.View) error {
				list, next, err := v.Timeline("G", after, limit)
				for _, e := range list {
					seen = append(seen, e.Revision)
				}
				after = next
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if after == 0 {
				break
			}
		}
		if fmt.Sprint(seen) != "[1 3 5 7 9]" {
			t.Errorf("by %d: got %v", limit, seen)
		}
	}
	if err := m.View(func(v *view.View) error {
		list, next, err := v.Timeline("G", math.MaxUint64, 10)
		if len(list) > 0 || next != 0 {
			t.Errorf("after the end: got %v, %d", list, next)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAFilterFindsACompetitorByAnyOfItsMarks(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d", "contest.define", "G/r", `{"kind":"ranked","sport":"race","splits":["5k","finish"]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	for i := range 15 {
		mustPost(t, m, fmt.Sprint("m", i), "result.set", "G/r",
			fmt.Sprintf(`{"competitor":"X%d","split":"5k","mark":%d}`, i, i))
	}
	for code, want := range map[string]int{"X1": 1, "X14": 1, "X15": 0} {
		if err := m.View(func(v *view.View) error {
			list, _, err := v.Contests(score.Filter{Competitor: code}, "", 10)
			if len(list) != want {
				t.Errorf("%s is in %d contests, want %d", code, len(list), want)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// After a start Raft passes on the whole log at once.
func TestManyEntriesAtOnceAreCommittedInSeveralTransactions(t *testing.T) {
	for name, c := range map[string]struct{ entries, textBytes int }{
		"events": {3 * commitEvents / 500, 4},
		"bytes":  {6, 4096},
	} {
		t.Run(name, func(t *testing.T) { testSeveralTransactions(t, c.entries, strings.Repeat("x", c.textBytes)) })
	}
}

func testSeveralTransactions(t *testing.T, n int, text string) {
	m, oneByOne := newMachine(t), newMachine(t)
	var entries []Entry
	for i := range n {
		var events []score.Event
		for j := range 500 {
			events = append(events, decodeEvent(t, alert, i*500+j+1, i*500+j+1, text))
		}
		data := encodeEntry(t, score.Post{Events: events, Mode: score.UntilRefused})
		entries = append(entries, Entry{uint64(i) + 1, data})
	}
	last := uint64(len(entries))
	transactions := func() (n int) {
		m.db.View(func(tx *bolt.Tx) error { n = tx.ID(); return nil })
		return n
	}
	before := transactions()
	outcome, err := m.Apply(entries, last)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcome {
		if len(o) != 1 || len(o[0]) != 500 || o[0][499].Revision != uint64(i+1)*500 {
			t.Fatalf("entry %d has %d results", i+1, len(o))
		}
	}
	if n := transactions() - before; n < 2 {
		t.Errorf("there were %d transactions for %d events", n, 500*len(entries))
	}
	for _, e := range entries {
		if _, err := oneByOne.Apply([]Entry{e}, e.Index); err != nil {
			t.Fatal(err)
		}
	}
	if m.Applied() != last || !bytes.Equal(snapshotOf(t, m), snapshotOf(t, oneByOne)) {
		t.Errorf("applied is %d, or the state is different", m.Applied())
	}
}

// Events of ever more contests and sources are applied at once after a start.
func TestATransactionHasABoundedNumberOfDecodedRecords(t *testing.T) {
	const events, perEntry = 6000, 500
	for name, form := range map[string]string{
		"contests":     `{"id":"e%d","source":"s","type":"contest.define","contest_id":"G/%d","data":{"kind":"ranked","sport":"x"}}`,
		"competitions": `{"id":"e%d","source":"s","type":"competition.define","contest_id":"G%d","data":{"name":"x"}}`,
		"sources":      `{"id":"e%d","source":"s%d","type":"alert","contest_id":"G","data":{"text":"x"}}`,
	} {
		m := newMachine(t)
		var entries []Entry
		for n := 0; n < events; {
			post := score.Post{Mode: score.UntilRefused}
			for range perEntry {
				n++
				post.Events = append(post.Events, decodeEvent(t, form, n, n))
			}
			entries = append(entries, Entry{uint64(len(entries)) + 1, encodeEntry(t, post)})
		}
		if _, err := m.Apply(entries, uint64(len(entries))); err != nil {
			t.Fatal(err)
		}
		if m.Revision() != events {
			t.Errorf("%s: %d events are applied", name, m.Revision())
		}
		m.applying.Lock() // the timer may commit
		c := &m.cache
		n := max(len(c.contests), len(c.tables), len(c.sources))
		m.applying.Unlock()
		if n >= 2*maxCached+perEntry {
			t.Errorf("%s: %d records are decoded", name, n)
		}
	}
}
