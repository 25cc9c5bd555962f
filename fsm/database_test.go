package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/view"
	"laurel/score"
)

// populate creates a database of several pages with all kinds of records and closes it.
// It calls leave with the machine before.
func populate(t testing.TB, dir string, leave func(m *Machine)) (snapshot []byte) {
	t.Helper()
	m := openMachine(t, dir)
	for i := range 40 {
		contest := fmt.Sprintf("G/%d", i)
		var events []score.Event
		for _, body := range []string{
			`"type":"contest.define","contest_id":%q,"data":{"kind":"ranked","sport":"race","sort":"asc"}`,
			`"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}`,
			`"type":"result.set","contest_id":%q,` +
				`"data":{"competitor":"X","split":"finish","mark":9.58,"organisation":"OX"}`,
			`"type":"result.set","contest_id":%q,"data":{"competitor":"Y","split":"finish","mark":9.69}`,
			`"type":"alert","contest_id":%q,"data":{"text":"a long jump of a text that fills the pages"}`,
		} {
			events = append(events, decodeEvent(t, `{"id":"e-%d-%d","source":"bard/a",`+body+`}`, i, len(events),
				contest))
		}
		award := `{"id":"a-%d","source":"bard/a","type":"medal.award","contest_id":%q,` +
			`"data":{"award_id":"x%d","medal":"GOLD","organisation":"OX"}}`
		events = append(events, decodeEvent(t, award, i, contest, i))
		applyPosts(t, m, score.Post{Events: events})
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

// wantDeleted opens a database that must not be trusted, and checks that the reason is
// logged once.
func wantDeleted(t testing.TB, dir, words string) {
	t.Helper()
	var d logBuffer
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatalf("a database that is not trusted must not keep a frontend from starting: %v", err)
	}
	defer m.Close()
	if m.Applied() != 0 || m.Revision() != 0 {
		t.Errorf("applied is %d, revision %d; want a new database", m.Applied(), m.Revision())
	}
	if text := d.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "deleting the database") ||
		!strings.Contains(text, words) {
		t.Errorf("want the reason %q logged once; the log is\n%s", words, text)
	}
	mustApply(t, m, alert, 1, 1, "the machine works")
}

func wantTrusted(t testing.TB, dir string, snapshot []byte) {
	t.Helper()
	var d logBuffer
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if d.Len() > 0 {
		t.Errorf("a closed database was not trusted: %s", d.String())
	}
	if string(snapshotOf(t, m)) != string(snapshot) {
		t.Error("the state has changed")
	}
}

func TestAClosedDatabaseIsTrusted(t *testing.T) {
	dir := t.TempDir()
	snapshot := populate(t, dir, nil)
	wantTrusted(t, dir, snapshot)
	wantTrusted(t, dir, snapshot)
}

// A database in use has no marker. It is not trusted after a crash of the process or of
// the machine.
func TestADatabaseThatWasNotClosedIsDeleted(t *testing.T) {
	single := func(t *testing.T, m *Machine) {
		mustApply(t, m, `{"source":"bard/n","type":"alert","contest_id":"G/1","data":{"text":"n"}}`)
	}
	for name, use := range map[string]func(t *testing.T, m *Machine){
		"opened":    func(*testing.T, *Machine) {},
		"written":   func(t *testing.T, m *Machine) { single(t, m); snapshotOf(t, m) },
		"discarded": func(t *testing.T, m *Machine) { m.Discard("test"); single(t, m) },
		"restored": func(t *testing.T, m *Machine) {
			if err := m.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, killed := t.TempDir(), t.TempDir()
			populate(t, dir, nil)
			m := openMachine(t, dir) // closed before, and therefore trusted
			defer m.Close()
			use(t, m)
			copyFiles(t, m, killed)
			wantDeleted(t, killed, "was not closed cleanly")
		})
	}
}

func TestDiscardDeletesTheDatabaseAndLogsTheReason(t *testing.T) {
	dir := t.TempDir()
	var d logBuffer
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, m, alert, 1, 1, "one")
	if err := m.Discard("it is ahead of the log"); err != nil {
		t.Fatal(err)
	}
	if m.Applied() != 0 || m.Revision() != 0 || !strings.Contains(d.String(), "it is ahead of the log") {
		t.Errorf("applied is %d, revision %d, the log is %s", m.Applied(), m.Revision(), d.String())
	}
	mustApply(t, m, alert, 1, 1, "one")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	n := newMachine(t)
	mustApply(t, n, alert, 1, 1, "one")
	wantTrusted(t, dir, snapshotOf(t, n))
}

func TestAClosedMachineReturnsErrors(t *testing.T) {
	m := openMachine(t, t.TempDir())
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply([]Entry{{1, encodeEntry(t, singlePost(decodeEvent(t, alert, 1, 1, "one")))}}, 1); err == nil {
		t.Error("a closed machine applied an entry")
	}
	if err := m.View(func(*view.View) error { return nil }); err == nil {
		t.Error("a closed machine returned a view")
	}
	if _, err := m.Snapshot(); err == nil {
		t.Error("a closed machine returned a snapshot")
	}
}

// A transaction keeps its first error, so an entry that met a damaged record must not be
// answered as applied or refused.
func TestADamagedRecordStopsTheMachine(t *testing.T) {
	for name, key := range map[string][2][]byte{
		"contest": {database.Contests, []byte("G/1")},
		"source":  {database.Sources, []byte("bard/a")},
		"event":   {database.Timeline, database.NumberedKey(7, "G/1")},
		"mark":    {database.Marks, database.Key("G/1", "X")},
		"total":   {database.Splits, database.Key("G/1", "finish")},
		"award":   {database.Awards, database.Key("G", "x1")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			populate(t, dir, nil)
			m := openMachine(t, dir)
			defer m.Close()
			err := m.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(key[0]).Put(key[1], []byte("damaged")) })
			if err != nil {
				t.Fatal(err)
			}
			before, index := m.Revision(), m.Applied()+1
			body := `"result.set","data":{"competitor":"X","split":"finish","mark":9.5}`
			switch name {
			case "award":
				body = `"medal.award","data":{"award_id":"x1","medal":"GOLD","organisation":"OX"}`
			case "event":
				body = `"event.void","data":{"voids":"e-1-2","reason":"test"}`
			}
			e := decodeEvent(t, `{"id":"new","source":"bard/a","contest_id":"G/1","type":%s}`, body)
			outcome, err := m.Apply([]Entry{{index, encodeEntry(t, singlePost(e))}}, index)
			if !errors.Is(err, database.ErrDamaged) || outcome != nil || m.Revision() != before {
				t.Errorf("the entry had the outcome %v, %v at revision %d", outcome, err, m.Revision())
			}
		})
	}
}
