package fsm

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/fsm/view"
	"laurel/score"
)

// wantSections compares the sections with what the records of all contests make of them.
func wantSections(t tester, m *Machine) {
	t.Helper()
	err := m.View(func(v *view.View) error {
		all, _, err := v.Contests(score.Filter{}, "", 1_000_000)
		if err != nil {
			return err
		}
		o, err := v.Overview(10)
		if err != nil {
			return err
		}
		for _, section := range score.AllSections {
			var want []string
			for _, r := range orderedSection(section, all) {
				want = append(want, r.ContestID)
			}
			if n := *o.Sections.Of(section); n != len(want) {
				t.Fatalf("%s counts %d contests; want %d", section, n, len(want))
			}
			for _, limit := range []int{1, 3, 1000} {
				if got := pagesOf(t, v, section, limit); !slices.Equal(got, want) {
					t.Fatalf("%s in pages of %d is %q; want %q", section, limit, got, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func orderedSection(section score.Section, all []score.Record) (list []score.Record) {
	for _, r := range all {
		if score.SectionOf(r.ScheduleStatus) == section {
			list = append(list, r)
		}
	}
	start := func(r *score.Record) time.Time {
		if r.StartTime.IsZero() {
			return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		}
		return r.StartTime.Truncate(time.Second)
	}
	slices.SortFunc(list, func(a, b score.Record) int {
		if section == score.SectionFinished {
			return cmp.Compare(b.Revision, a.Revision)
		}
		return cmp.Or(start(&a).Compare(start(&b)), cmp.Compare(a.ContestID, b.ContestID))
	})
	return list
}

func pagesOf(t tester, v *view.View, section score.Section, limit int) (ids []string) {
	t.Helper()
	for after := ""; ; {
		list, next, err := v.Contests(score.Filter{Section: section}, after, limit)
		if err != nil || len(list) > limit {
			t.Fatalf("a page of at most %d has %d contests: %v", limit, len(list), err)
		}
		for i := range list {
			ids = append(ids, list[i].ContestID)
		}
		if after = next; after == "" {
			return ids
		}
	}
}

func TestSectionsHaveEveryContestInOrder(t *testing.T) {
	m := newMachine(t)
	random := rand.New(rand.NewPCG(5, 10))
	statuses := []string{"RUNNING", "FINISHED", "POSTPONED", "INTERRUPTED", "CANCELLED", "SCHEDULED_BREAK"}
	starts := []string{"", `,"start_time":"2026-02-09T10:00:00Z"`, `,"start_time":"2026-02-09T10:00:00.5+09:00"`,
		`,"start_time":"1896-04-06T15:00:00Z"`}
	var voidable []string
	for i := range 300 {
		id := fmt.Sprint("G/", random.IntN(40))
		switch n := random.IntN(10); {
		case n < 4:
			name := fmt.Sprint("d", i)
			postEvent(t, m, `{"id":%q,"source":"desk","type":"contest.define","contest_id":%q,`+
				`"data":{"kind":"head_to_head","sport":"chess"%s}}`, name, id, starts[random.IntN(len(starts))])
			voidable = append(voidable, id+" "+name)
		case n < 9 || len(voidable) == 0:
			name := fmt.Sprint("s", i)
			postEvent(t, m, `{"id":%q,"source":"desk","type":"contest.status","contest_id":%q,`+
				`"data":{"schedule_status":%q}}`, name, id, statuses[random.IntN(len(statuses))])
			voidable = append(voidable, id+" "+name)
		default:
			var contest, target string
			fmt.Sscan(voidable[random.IntN(len(voidable))], &contest, &target)
			postEvent(t, m, `{"source":"desk","type":"event.void","contest_id":%q,`+
				`"data":{"voids":%q,"reason":"it was wrong"}}`, contest, target)
		}
		if i%50 == 0 {
			wantSections(t, m)
		}
	}
	wantSections(t, m)
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	wantSections(t, restored)
}

func TestTheLatestMedalTablesHaveMedals(t *testing.T) {
	m := newMachine(t)
	want := func(want ...string) {
		t.Helper()
		err := m.View(func(v *view.View) error {
			o, err := v.Overview(2)
			if !slices.Equal(o.Medals, want) {
				t.Errorf("the latest tables are %q; want %q", o.Medals, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mustPost(t, m, "d", "contest.define", "LEAGUE/1", `{"kind":"head_to_head","sport":"chess"}`)
	want()
	for _, competition := range []string{"A", "B", "C", "A"} {
		mustPost(t, m, fmt.Sprint("m", m.Revision()), "medal.award", competition+"/JUD",
			fmt.Sprintf(`{"award_id":"%d","medal":"GOLD","organisation":"GAU"}`, m.Revision()))
	}
	want("A", "C")
	mustPost(t, m, "r", "medal.revoke", "C/JUD", `{"award_id":"3","reason":"doping"}`)
	want("A", "B")
	mustVoid(t, m, "v", "C/JUD", "r")
	want("C", "A")
}

func TestContestsAreFoundByWords(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d1", "contest.define", "G/1", `{"kind":"head_to_head","sport":"ice-hockey","title":"Final",`+
		`"competitors":[{"code":"GNB","name":"Guinea-Bissau"},{"code":"CIV","name":"Côte d'Ivoire"}]}`)
	mustPost(t, m, "d2", "contest.define", "G/2", `{"kind":"head_to_head","sport":"tennis","competitors":[{"code":"Jokić"}]}`)
	// A race: a competitor of its list has another name now, another is entered late.
	mustPost(t, m, "d3", "contest.define", "G/3", `{"kind":"ranked","sport":"marathon","competitors":[`+
		`{"code":"1","name":"Orgetorix"}]}`)
	mustPost(t, m, "d4", "competitor.define", "G/3", `{"competitor":"1","name":"Divico","organisation":"Swiss"}`)
	mustPost(t, m, "d5", "competitor.define", "G/3", `{"competitor":"late","name":"Verbigenus","organisation":"HEL"}`)
	for find, want := range map[string]string{
		"guinea-bissau": "[G/1]", "bissau guinea": "[G/1]", "cote divoire": "[G/1]", "ICE hockey final": "[G/1]",
		"late divico": "[G/3]", "swiss": "[G/3]", "orgetorix": "[]", "verbigenus": "[G/3]", "HEL": "[G/3]",
		"jokic": "[G/2]", "JOKIĆ": "[G/2]", "g": "[G/1 G/2 G/3]", "tennis final": "[]", "competitors": "[]", `"`: "[G/1 G/2 G/3]",
	} {
		err := m.View(func(v *view.View) error {
			ids := []string{}
			list, next, err := v.Contests(score.Filter{Find: find}, "", 10)
			for i := range list {
				ids = append(ids, list[i].ContestID)
			}
			if fmt.Sprint(ids) != want || next != "" {
				t.Errorf("%q finds %v, next %q; want %s", find, ids, next, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestASearchReadsABoundedNumberOfContests(t *testing.T) {
	const maxScanned = 5000
	m := newMachine(t)
	for i := range maxScanned + 1 {
		mustPost(t, m, fmt.Sprint("d", i), "contest.define", fmt.Sprintf("G/%05d", i), `{"kind":"head_to_head","sport":"chess"}`)
	}
	for _, f := range []score.Filter{{Find: "05000"}, {Find: "05000", Section: score.SectionNext}} {
		err := m.View(func(v *view.View) error {
			first, next, err := v.Contests(f, "", 10)
			if err != nil || len(first) != 0 || next == "" {
				t.Errorf("the first page has %d contests, next %q, %v; want none and a next", len(first), next, err)
			}
			second, next, err := v.Contests(f, next, 10)
			if len(second) != 1 || next != "" {
				t.Errorf("the second page has %d contests, next %q; want the last contest", len(second), next)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestASearchReadsABoundedNumberOfBytes(t *testing.T) {
	m := newMachine(t)
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf(`{"code":"%d","name":%q}`, i, strings.Repeat("é", 60)))
	}
	define := `{"kind":"head_to_head","sport":"chess","competitors":[` + strings.Join(list, ",") + `]}`
	const contests = 70 // of about 150 KB
	for i := range contests {
		mustPost(t, m, fmt.Sprint("d", i), "contest.define", fmt.Sprintf("G/%05d", i), define)
	}
	for _, f := range []score.Filter{{Find: "nobody"}, {Find: "nobody", Section: score.SectionNext}} {
		pages := 0
		for after := ""; pages == 0 || after != ""; pages++ {
			err := m.View(func(v *view.View) error {
				list, next, err := v.Contests(f, after, 10)
				if len(list) != 0 {
					t.Errorf("page %d has %d contests; want none", pages, len(list))
				}
				after = next
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if pages < 2 || pages > contests/10 {
			t.Errorf("the search took %d pages; want a few", pages)
		}
	}
}

func TestASectionOfAPartOfACompetitionIsListed(t *testing.T) {
	m := newMachine(t)
	for _, id := range []string{"G/ATH/1", "G/ATH/2", "G/ATHX/1", "G/1", "H/1"} {
		mustPost(t, m, id, "contest.define", id, `{"kind":"head_to_head","sport":"chess"}`)
	}
	for competition, want := range map[string]int{"": 5, "G": 4, "G/ATH": 2, "G/AT": 0} {
		for _, section := range []score.Section{"", score.SectionNext} {
			err := m.View(func(v *view.View) error {
				list, _, err := v.Contests(score.Filter{Competition: competition, Section: section}, "", 10)
				if len(list) != want {
					t.Errorf("section %q of %q has %d contests; want %d", section, competition, len(list), want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestChangedSinceHasWhatHasChanged(t *testing.T) {
	m := newMachine(t)
	mustPost(t, m, "d1", "contest.define", "G/1", `{"kind":"head_to_head","sport":"chess"}`)
	mustPost(t, m, "d2", "contest.define", "G/2", `{"kind":"head_to_head","sport":"chess"}`)
	mustPost(t, m, "s1", "contest.status", "G/1", `{"schedule_status":"RUNNING"}`)
	mustPost(t, m, "a", "alert", "G/3", `{"text":"hail"}`)
	mustVoid(t, m, "v", "G/2", "d2")
	mustPost(t, m, "m", "medal.award", "H/1", `{"award_id":"1","medal":"GOLD","organisation":"GAU"}`)
	for since, want := range []string{"[G/1 G/2] [G H]", "[G/1 G/2] [H]", "[G/1 G/2] [H]", "[G/2] [H]", "[G/2] [H]", "[] [H]", "[] []"} {
		contests, tables, known := m.ChangedSince(uint64(since))
		slices.Sort(contests)
		slices.Sort(tables)
		if got := fmt.Sprint(contests, " ", tables); got != want || !known {
			t.Errorf("since revision %d: %s, known %v; want %s", since, got, known, want)
		}
	}
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
		t.Fatal(err)
	}
	if _, _, known := restored.ChangedSince(5); known {
		t.Error("a state from a snapshot claims to know what has changed before")
	}
	if _, _, known := restored.ChangedSince(6); !known {
		t.Error("a state from a snapshot does not know that nothing has changed since")
	}
}
