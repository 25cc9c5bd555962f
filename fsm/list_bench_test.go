package fsm

import (
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/view"
	"laurel/score"
)

// BenchmarkList measures pages of 100 out of 100,000 contests in 100 competitions. They
// are matches between 2,000 teams in 40 sports, one in a hundred of them RUNNING. One in
// ten is a race without a list of competitors, with marks of 10 of 5,000 runners.
func BenchmarkList(b *testing.B) {
	m := openMachine(b, b.TempDir())
	defer m.Close()
	manyContests(b, m, 100_000)
	for _, q := range []struct {
		name string
		f    score.Filter
	}{
		{"all", score.Filter{}},
		{"competition", score.Filter{Competition: "C042"}},
		{"sport", score.Filter{Sport: "sport-07"}},
		{"running", score.Filter{Status: score.Running}},
		{"team", score.Filter{Competitor: "T0042"}},
		{"runner", score.Filter{Competitor: "R0042"}},
		{"running in a sport", score.Filter{Sport: "sport-11", Status: score.Running}},
		{"running in a competition", score.Filter{Competition: "C042", Status: score.Running}},
		{"finished of a team", score.Filter{Status: score.Finished, Competitor: "T0042"}},
		{"nobody", score.Filter{Competitor: "nobody"}},
	} {
		middle := "C050/0500"
		if q.f.Competition != "" {
			middle = q.f.Competition + "/0500"
		}
		for page, after := range map[string]string{"first": "", "middle": middle} {
			for how, find := range map[string]findFunc{"scan": scan, "index": findByIndex} {
				b.Run(q.name+"/"+page+"/"+how, func(b *testing.B) { benchmarkList(b, m, q.f, after, find) })
			}
		}
	}
}

type findFunc func(tx *bolt.Tx, f score.Filter, after string, limit int) ([]score.Record, string, error)

func findByIndex(tx *bolt.Tx, f score.Filter, after string, limit int) ([]score.Record, string, error) {
	return view.New(tx, 0, "").Contests(f, after, limit)
}

func benchmarkList(b *testing.B, m *Machine, f score.Filter, after string, find findFunc) {
	rows := 0
	for b.Loop() {
		tx, _, err := m.beginRead()
		if err != nil {
			b.Fatal(err)
		}
		list, _, err := find(tx, f, after, 100)
		if err != nil {
			b.Fatal(err)
		}
		rows = len(list)
		tx.Rollback()
	}
	b.ReportMetric(float64(rows), "rows")
}

func manyContests(t tester, m *Machine, n int) {
	var events []score.Event
	add := func(text string, args ...any) {
		e, p := score.Decode(fmt.Appendf(nil, text, args...))
		if p != nil {
			t.Fatal(p)
		}
		e.Source, e.Seq, e.Time = "bard", uint64(m.Revision())+uint64(len(events))+1, noon
		e.ID = fmt.Sprint(e.Seq)
		if events = append(events, e); len(events) == 1000 {
			applyPosts(t, m, score.Post{Events: events, Mode: score.UntilRefused})
			events = events[:0]
		}
	}
	for i := range n {
		id := fmt.Sprintf("C%03d/%04d", i/1000, i%1000)
		status := `"schedule_status":"RUNNING"`
		race := i%10 == 7
		if race {
			add(`{"type":"contest.define","contest_id":%q,`+
				`"data":{"kind":"ranked","sport":"sport-%02d","title":"A race of many","splits":["half","finish"]}}`,
				id, i*7%40)
		} else {
			a := i * 31 % 2000
			b := (a + 1 + i%1999) % 2000
			add(`{"type":"contest.define","contest_id":%q,`+
				`"data":{"kind":"head_to_head","sport":"sport-%02d","title":"A match of two",`+
				`"competitors":[{"code":"T%04d","name":"The first team"},{"code":"T%04d","name":"The second team"}]}}`,
				id, i*7%40, a, b)
		}
		add(`{"type":"contest.status","contest_id":%q,"data":{%s}}`, id, status)
		if race {
			for k := range 10 {
				add(`{"type":"result.set","contest_id":%q,"data":{"competitor":"R%04d","split":"half","mark":%d}}`,
					id, (i+k*499)%5000, k)
			}
		}
		if i%100 != 13 {
			add(`{"type":"contest.status","contest_id":%q,`+
				`"data":{"schedule_status":"FINISHED","result_status":"OFFICIAL"}}`, id)
		}
	}
	if len(events) > 0 {
		applyPosts(t, m, score.Post{Events: events, Mode: score.UntilRefused})
	}
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
}
