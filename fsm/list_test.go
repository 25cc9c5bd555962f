package fsm

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/fold"
)

// scan finds contests without the index, by reading every contest of the competition.
func scan(tx *bolt.Tx, f score.Filter, after string, limit int) (list []score.Record, next string, err error) {
	return scanContests(tx, storedContests(tx), f, after, limit)
}

// contestsFrom yields contests in the order of their ids, from an id on.
type contestsFrom func(from string) iter.Seq2[*fold.Contest, error]

// storedContests reads contests from the database.
func storedContests(tx *bolt.Tx) contestsFrom {
	return func(from string) iter.Seq2[*fold.Contest, error] {
		return func(yield func(*fold.Contest, error) bool) {
			c := tx.Bucket(database.Contests).Cursor()
			for k, sealed := c.Seek([]byte(from)); k != nil; k, sealed = c.Next() {
				contest := new(fold.Contest)
				value, err := database.Unseal(k, sealed)
				if err == nil {
					err = json.Unmarshal(value, contest)
				}
				if !yield(contest, err) || err != nil {
					return
				}
			}
		}
	}
}

// decodedContests reads all contests once.
func decodedContests(t tester, tx *bolt.Tx) contestsFrom {
	t.Helper()
	var all []*fold.Contest
	for c, err := range storedContests(tx)("") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return func(from string) iter.Seq2[*fold.Contest, error] {
		return func(yield func(*fold.Contest, error) bool) {
			for _, c := range all {
				if c.ID >= from && !yield(c, nil) {
					return
				}
			}
		}
	}
}

// scanContests returns a page of those contests that match a filter.
func scanContests(
	tx *bolt.Tx, contests contestsFrom, f score.Filter, after string, limit int,
) (list []score.Record, next string, err error) {
	within := ""
	if f.Competition != "" {
		within = f.Competition + "/"
	}
	others := f
	others.Competitor = ""
	for c, err := range contests(max(within, after+"\x00")) {
		if err != nil {
			return nil, "", err
		}
		if !strings.HasPrefix(c.ID, within) {
			break
		}
		marked := tx.Bucket(database.Marks).Get(database.Key(c.ID, f.Competitor)) != nil
		entered := tx.Bucket(database.Entrants).Get(database.Key(c.ID, entrantByCode, f.Competitor)) != nil
		if !c.Matches(f) && !((marked || entered) && c.Matches(others)) {
			continue
		}
		if n := len(list); n > 0 && n >= limit {
			return list, list[n-1].ContestID, nil
		}
		list = append(list, c.Record())
	}
	return list, "", nil
}

// wantLists compares the contests of every combination of filters, page by page, and the
// content of the index.
func wantLists(t tester, m *Machine) {
	t.Helper()
	tx, _, err := m.beginRead()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	contests := decodedContests(t, tx)
	for _, f := range filters(
		[]string{"", "G", "H"},
		[]string{"", "stones", "race", "none"},
		[]string{"", "RUNNING", "SCHEDULED", "FINISHED", "OFFICIAL", "LIVE"},
		[]string{"", "A", "B", "C", "D", "OA", "OX", "OZ", "none"},
	) {
		for _, limit := range []int{1, 2, 100} {
			wantPages(t, tx, contests, f, limit)
		}
	}
	if got, want := postings(t, tx), expectedPostings(t, tx); !slices.Equal(got, want) {
		t.Fatalf("the index is\n%q\nand should be\n%q", got, want)
	}
}

func filters(competitions, sports, statuses, competitors []string) (list []score.Filter) {
	for _, competition := range competitions {
		for _, sport := range sports {
			for _, status := range statuses {
				for _, competitor := range competitors {
					list = append(list, score.Filter{Competition: competition, Sport: sport, Status: status,
						Competitor: competitor})
				}
			}
		}
	}
	return list
}

func wantPages(t tester, tx *bolt.Tx, contests contestsFrom, f score.Filter, limit int) {
	t.Helper()
	for after := ""; ; {
		got, next, err := view.New(tx, 0, "").Contests(f, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		want, wantNext, err := scanContests(tx, contests, f, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := idsOf(got), idsOf(want); !slices.Equal(a, b) || next != wantNext {
			t.Fatalf("%+v after %q, at most %d: got %q, next %q; a scan finds %q, next %q", f, after, limit, a, next,
				b, wantNext)
		}
		if after = next; after == "" {
			return
		}
	}
}

func idsOf(list []score.Record) (ids []string) {
	for _, r := range list {
		ids = append(ids, r.ContestID)
	}
	return ids
}

func postings(t tester, tx *bolt.Tx) (list []string) {
	err := tx.Bucket(database.Index).ForEach(func(k, v []byte) error {
		if _, err := database.Unseal(k, v); err != nil {
			return err
		}
		if k[0] != 'c' { // those of medal tables are not about contests
			list = append(list, string(k))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// entrantByCode is the kind of the keys by which the Entrants bucket has competitors.
const entrantByCode = "c"

// expectedPostings returns the postings of all contests and marks.
func expectedPostings(t tester, tx *bolt.Tx) (list []string) {
	err := tx.Bucket(database.Contests).ForEach(func(k, sealed []byte) error {
		c := new(fold.Contest)
		value, err := database.Unseal(k, sealed)
		if err == nil {
			err = json.Unmarshal(value, c)
		}
		for _, p := range index.Terms(nil, c) {
			list = append(list, string(p.Posting(string(k))))
		}
		return err
	})
	if err == nil {
		err = tx.Bucket(database.Marks).ForEach(func(k, _ []byte) error {
			parts := strings.Split(string(k), "\x00")
			list = append(list, string(index.MarkTerm(parts[1]).Posting(parts[0])))
			return nil
		})
	}
	if err == nil {
		err = tx.Bucket(database.Entrants).ForEach(func(k, _ []byte) error {
			if parts := strings.Split(string(k), "\x00"); parts[1] == entrantByCode {
				list = append(list, string(index.EntryTerm(parts[2]).Posting(parts[0])))
			}
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestACompetitorIsFoundUntilItsLastMarkIsVoided(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d", "contest.define", "G/r", `{"kind":"ranked","sport":"race","splits":["5k","finish"]}`)
	mustPost(t, m, "run", "contest.status", "G/r", `{"schedule_status":"RUNNING"}`)
	found := func(want int) {
		t.Helper()
		wantLists(t, m)
		err := m.View(func(v *view.View) error {
			list, _, err := v.Contests(score.Filter{Competitor: "A"}, "", 10)
			if len(list) != want {
				t.Errorf("A is in %d contests, want %d", len(list), want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mustPost(t, m, "m1", "result.set", "G/r", `{"competitor":"A","split":"5k","mark":10}`)
	mustPost(t, m, "m2", "result.set", "G/r", `{"competitor":"A","split":"finish","mark":20}`)
	mustVoid(t, m, "v1", "G/r", "m1")
	found(1)
	mustVoid(t, m, "v2", "G/r", "m2")
	found(0)
	mustVoid(t, m, "w1", "G/r", "v1")
	found(1)
}

func TestARestoredContestIsFoundAgain(t *testing.T) {
	m := newMachine(t)
	const about = `{"kind":"head_to_head","sport":"stones","competitors":[{"code":"A"},{"code":"B"}]}`
	for _, id := range []string{"G/1", "G/2"} {
		mustPost(t, m, "d"+id, "contest.define", id, about)
	}
	wantLists(t, m)
	mustVoid(t, m, "v", "G/1", "dG/1")
	wantLists(t, m)
	mustVoid(t, m, "w", "G/1", "v")
	wantLists(t, m)
	// Deleted and defined again in one transaction.
	applyPosts(t, m, score.Post{Events: []score.Event{
		decodeEvent(t, `{"id":"v2","source":"desk","type":"event.void","contest_id":"G/2",`+
			`"data":{"voids":"dG/2","reason":"wrong"}}`),
		decodeEvent(t, `{"id":"d2","source":"desk","type":"contest.define","contest_id":"G/2","data":%s}`,
			strings.ReplaceAll(about, "stones", "race")),
	}})
	wantLists(t, m)
}

func TestTheNextPageStartsAfterTheLastContestDespiteChanges(t *testing.T) {
	m := newMachine(t)
	for i := range 9 {
		mustPost(t, m, fmt.Sprint("d", i), "contest.define", fmt.Sprint("G/", i),
			`{"kind":"head_to_head","sport":"stones","competitors":[{"code":"A"},{"code":"B"}]}`)
	}
	f := score.Filter{Sport: "stones", Competitor: "A"}
	page := func(after string) (ids []string, next string) {
		t.Helper()
		err := m.View(func(v *view.View) error {
			list, n, err := v.Contests(f, after, 3)
			ids, next = idsOf(list), n
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids, next
	}
	_, next := page("")
	// The contest of the cursor is deleted, one before it is added, and one after it no
	// longer matches.
	mustVoid(t, m, "v", "G/2", "d2")
	mustPost(t, m, "new", "contest.define", "G/0a",
		`{"kind":"head_to_head","sport":"stones","competitors":[{"code":"A"},{"code":"B"}]}`)
	mustPost(t, m, "other", "contest.define", "G/4",
		`{"kind":"head_to_head","sport":"hurling","competitors":[{"code":"A"},{"code":"B"}]}`)
	if ids, next := page(next); fmt.Sprint(ids) != "[G/3 G/5 G/6]" || next != "G/6" {
		t.Errorf("got %v, next %q", ids, next)
	}
}
