package fsm

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/ranking"
)

// cost is what an event costs: the bytes that are pushed to the caches of the frontends, the
// bytes of pages that are written and the bytes that are allocated.
type cost struct{ pushed, written, allocated int64 }

func (c cost) String() string {
	return fmt.Sprintf("%d bytes pushed, %d bytes of pages written, %d bytes allocated",
		c.pushed, c.written, c.allocated)
}

// costOf applies each post alone and returns the mean of their costs.
func costOf(t testing.TB, m *Machine, posts []score.Post) (c cost) {
	t.Helper()
	if err := m.Commit(); err != nil {
		t.Fatal(err)
	}
	m.Track()
	var before, after runtime.MemStats
	pages := m.db.Stats().TxStats.PageAlloc
	for _, p := range posts {
		entry := Entry{Index: m.Applied() + 1, Data: encodeEntry(t, p)}
		runtime.ReadMemStats(&before)
		outcome, err := m.Apply([]Entry{entry}, entry.Index)
		if err == nil {
			err = m.Commit()
		}
		if err != nil || outcome[0][0][0].Problem != nil {
			t.Fatal(err, outcome)
		}
		runtime.ReadMemStats(&after)
		c.allocated += int64(after.TotalAlloc - before.TotalAlloc)
		changes := m.Changes(wantAll, wantAll)
		for _, record := range changes.Records {
			c.pushed += sizeOf(t, record.Record())
		}
		for _, table := range changes.MedalTables {
			c.pushed += sizeOf(t, table.Standings())
		}
		for _, ids := range [][]string{changes.Contests, changes.Timelines, changes.Tables, changes.Boards} {
			c.pushed += sizeOf(t, ids)
		}
	}
	c.written = m.db.Stats().TxStats.PageAlloc - pages
	n := int64(len(posts))
	return cost{c.pushed / n, c.written / n, c.allocated / n}
}

func sizeOf(t testing.TB, v any) int64 {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(b))
}

// A start list has up to 1,000,000 competitors, with an event for each, and is changed during
// the race. Only the paths in the trees of the database may become longer, by a page or two each.
func TestAnEventCostsTheSameHoweverLongTheStartList(t *testing.T) {
	long := 10_000
	if fullRun() {
		long = 100_000
	}
	short := startListCosts(t, 10)
	for kind, c := range startListCosts(t, long) {
		of := short[kind]
		t.Logf("%s: of 10 competitors %v; of %d %v", kind, of, long, c)
		const pages = 24 << 12
		const nodes = pages * 3 / 2 // bbolt allocates what describes the pages, too
		if c.pushed > of.pushed+200 || c.written > of.written+pages || c.allocated > of.allocated+nodes {
			t.Errorf("%s costs %v with %d competitors, and %v with 10", kind, c, long, of)
		}
	}
}

// startListCosts returns what events of each kind cost in a race with n entrants. They must
// do the same after a snapshot.
func startListCosts(t *testing.T, n int) map[string]cost {
	t.Helper()
	m := newMachine(t)
	race(t, m, `,"sort":"asc","splits":["half","finish"]`)
	postMany(t, m, "G/r", n, func(i int) (string, string) {
		return "competitor.define", fmt.Sprintf(
			`{"competitor":"c%06d","name":"Runner %06d","organisation":"O%02d","order":%d}`, i, i, i%10, i)
	})
	boardOf(t, m, "G/r", &ranking.Query{Limit: 1})
	restored := restoredFrom(t, m)
	costs := map[string]cost{}
	for i, kind := range []struct{ name, typ, data string }{
		{"a first mark", "result.set", `{"competitor":"c%06d","split":"half","mark":1}`},
		{"another name", "competitor.define", `{"competitor":"c%06d","name":"Renamed","categories":["F"]}`},
		{"another place on the list", "competitor.define", `{"competitor":"c%06d","order":-1}`},
		{"a late entry", "competitor.define", `{"competitor":"d%06d","name":"Late","organisation":"O01"}`},
		{"a mark at the finish", "result.set", `{"competitor":"c%06d","split":"finish","mark":2,"category":"M"}`},
		{"a disqualification", "result.set", `{"competitor":"c%06d","split":"finish","irm":"DSQ"}`},
		{"a clock", "contest.status", `{"clock":"%06d"}`},
		{"a venue", "contest.define", `{"venue":"Venue %06d"}`},
		{"a decision", "contest.decide", `{"decision":"ABANDONED","reason":"%06d"}`},
		{"a medal", "medal.award", `{"award_id":"%06d","medal":"GOLD","organisation":"O01"}`},
		{"an alert", "alert", `{"text":"%06d"}`},
	} {
		var posts []score.Post
		for j := range 10 {
			data := fmt.Sprintf(kind.data, 1+j*n/10)
			posts = append(posts, singlePost(decodeEvent(t,
				`{"id":"%d-%d","source":"desk","type":%q,"contest_id":"G/r","data":%s}`, i, j, kind.typ, data)))
		}
		costs[kind.name] = costOf(t, m, posts)
		costOf(t, restored, posts)
	}
	if !bytes.Equal(snapshotOf(t, m), snapshotOf(t, restored)) {
		t.Errorf("with %d competitors: the state after a snapshot is different", n)
	}
	return costs
}

// Only the contest of a void is written before the transaction is committed.
func TestAVoidCostsTheSameHoweverManyContestsHaveChanged(t *testing.T) {
	const voids = 20
	costs := map[int]int64{}
	for _, contests := range []int{voids, 2000} {
		seq := 0
		event := func(typ string, contest int, data string) score.Event {
			seq++
			return decodeEvent(t, `{"id":"e%d","source":"s","seq":%d,"type":%q,"contest_id":"G/%d","data":%s}`,
				seq, seq, typ, contest, data)
		}
		post := score.Post{Mode: score.UntilRefused}
		for i := range contests {
			post.Events = append(post.Events, event("alert", i, `{"text":"hello"}`))
		}
		entries := []Entry{{1, encodeEntry(t, post)}}
		post.Events = nil
		for i := range voids {
			post.Events = append(post.Events, event("event.void", i, fmt.Sprintf(`{"voids":"e%d","reason":"wrong"}`, i+1)))
		}
		entries = append(entries, Entry{2, encodeEntry(t, post)})
		costs[contests] = (allocatedBy(t, entries) - allocatedBy(t, entries[:1])) / voids
	}
	if few, many := costs[voids], costs[2000]; many > few+100<<10 {
		t.Errorf("a void allocates %d bytes when 2,000 contests have changed, and %d bytes when %d have", many, few, voids)
	}
}

// What is held back before a post is written once, also if the post is undone.
func TestAnUndonePostCostsTheSameHoweverMuchIsHeldBack(t *testing.T) {
	const undone = 50
	costs := map[int]int64{}
	for _, before := range []int{10, 5000} {
		hello := `{"id":"%s","source":"%[1]s","type":"alert","contest_id":"G/2","data":{"text":"hello"}}`
		fill := score.Post{Mode: score.UntilRefused, Events: []score.Event{decodeEvent(t, hello, "first")}}
		for i := range before {
			fill.Events = append(fill.Events, decodeEvent(t,
				`{"id":"e%d","source":"s","type":"alert","contest_id":"G/1","data":{"text":"%0200d"}}`, i+1, i))
		}
		posts := []score.Post{singlePost(decodeEvent(t, hello, "second"))}
		for i := range undone {
			posts = append(posts, score.Post{Mode: score.AllOrNone, Events: []score.Event{
				decodeEvent(t, `{"id":"v%d","source":"t","seq":1,"type":"event.void","contest_id":"G/2","data":{"voids":"first","reason":"x"}}`, i),
				decodeEvent(t, `{"id":"w%d","source":"t","seq":2,"type":"event.void","contest_id":"G/2","data":{"voids":"none","reason":"x"}}`, i),
			}})
		}
		entries := []Entry{{1, encodeEntry(t, fill)}, {2, encodeEntry(t, posts...)}}
		costs[before] = (allocatedBy(t, entries) - allocatedBy(t, entries[:1])) / undone
	}
	if few, many := costs[10], costs[5000]; many > few+50<<10 {
		t.Errorf("an undone post allocates %d bytes after 5,000 events, and %d bytes after 10", many, few)
	}
}

// allocatedBy returns the bytes that a new machine allocates to apply entries at once, and to commit
// them: if it takes more than commitDelay, they are committed before the count is read.
func allocatedBy(t *testing.T, entries []Entry) int64 {
	m := newMachine(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	outcome, err := m.Apply(entries, uint64(len(entries)))
	if err == nil {
		err = m.Commit()
	}
	runtime.ReadMemStats(&after)
	for _, posts := range outcome {
		if last := posts[0][len(posts[0])-1]; last.Problem != nil {
			err = last.Problem
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A medal table has up to 10,000 organisations. Marks of those that it knows leave it alone.
func TestAMarkCostsTheSameHoweverManyOrganisationsThereAre(t *testing.T) {
	costs := map[int]cost{}
	for _, n := range []int{10, 9000} {
		m := newMachine(t)
		race(t, m, "")
		postMany(t, m, "G/r", n, func(i int) (string, string) {
			return "result.set", fmt.Sprintf(
				`{"competitor":"c%06d","split":"finish","mark":%d,"organisation":"O%05d"}`, i, i, i)
		})
		var posts []score.Post
		for i := range 10 {
			var p score.Post
			for j := range 2 {
				p.Events = append(p.Events, decodeEvent(t,
					`{"id":"%d-%d","source":"desk","type":"result.set","contest_id":"G/r","data":{"competitor":"d%d",`+
						`"split":"finish","mark":100000,"organisation":"O00001"}}`, i, j, i))
			}
			posts = append(posts, p)
		}
		costs[n] = costOf(t, m, posts)
	}
	few, many := costs[10], costs[9000]
	const pages = 40 << 12
	if many.written > few.written+pages || many.allocated > few.allocated+pages || many.pushed > few.pushed+200 {
		t.Errorf("two marks cost %v with 9,000 organisations, and %v with 10", many, few)
	}
}
