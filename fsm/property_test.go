package fsm

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"laurel/fsm/database"
	"laurel/fsm/view"
	"laurel/score"
)

// Whatever is posted, refused, repeated, voided, crashed, restored and replayed: the
// state is the one that the accepted events that are not voided give in the reference
// store.
func TestAnyHistoryMatchesTheReferenceStore(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt, root)
		defer h.end()
		rt.Repeat(map[string]func(*rapid.T){
			"post 1":  h.post,
			"post 2":  h.post,
			"post 3":  h.post,
			"post 4":  h.post,
			"post 5":  h.post,
			"post 6":  h.post,
			"look":    h.check,
			"ask":     h.askBoards,
			"bound":   h.boundBoards,
			"restart": h.restart,
			"kill":    h.kill,
			"die":     h.die,
			"restore": h.restore,
			"rebuild": h.rebuild,
			"replay":  h.replay,
		})
		h.check(rt)
	})
}

// randomHistory is a machine, the log that it has applied, and the reference store.
type randomHistory struct {
	root, dir string
	m         *Machine
	log       []Entry
	plain     referenceStore
	posted    []score.Event // all events that were ever posted, accepted or not
}

func newHistory(t *rapid.T, root string) *randomHistory {
	h := &randomHistory{root: root}
	h.dir = h.newDir(t)
	h.m = openMachine(t, h.dir)
	if rapid.Bool().Draw(t, "begins with contests that run") {
		for _, id := range []string{"G/m1", "G/m2", "G/r1", "G/r2"} {
			h.commit(t, singlePost(h.envelope(t, "s1", "", drawDefine(t, id, "A", "B", "C", "D", "E", "F", "G", "H"))))
			h.commit(t, singlePost(h.envelope(t, "s1", "",
				fmt.Sprintf(`"type":"contest.status","contest_id":%q,"data":{"schedule_status":"RUNNING"}`, id))))
		}
	}
	return h
}

func (h *randomHistory) newDir(t tester) string {
	dir, err := os.MkdirTemp(h.root, "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (h *randomHistory) end() {
	h.m.Close()
	os.RemoveAll(h.dir)
}

// envelope returns an event with the next seq of its source.
func (h *randomHistory) envelope(t tester, source, id, body string) score.Event {
	seq := len(h.plain.of(source)) + 1
	if id == "" {
		id = fmt.Sprintf("%s-%d", source, seq)
	}
	return decodeEvent(t, `{"id":%q,"source":%q,"seq":%d,%s}`, id, source, seq, body)
}

func drawDefine(t tester, id string, codes ...string) string {
	var list []string
	for _, c := range codes {
		list = append(list, fmt.Sprintf(`{"code":%q,"organisation":"O%s"}`, c, c))
	}
	kind := `"kind":"head_to_head","tiebreak_periods":["SO"]`
	if strings.HasPrefix(id, "G/r") {
		kind = `"kind":"ranked","sort":"asc","splits":["a","b"]`
	}
	return fmt.Sprintf(`"type":"contest.define","contest_id":%q,"data":{%s,"sport":"stones","competitors":[%s]}`, id,
		kind, strings.Join(list, ","))
}

// body draws the type, the contest and the data of an event.
func (h *randomHistory) body(t *rapid.T) string {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	number := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(t, label) }
	maybe := func(text string) string { return pick("with", "", text) }
	body := func(typ score.Type, contest string, members ...string) string {
		return fmt.Sprintf(`"type":%q,"contest_id":%q,"data":{%s}`, typ, contest, strings.Join(members, ""))
	}
	match, race := pick("match", "G/m1", "G/m2"), pick("race", "G/r1", "G/r2")
	any := pick("contest", "G/m1", "G/m2", "G/r1", "G/r2", "G", "G/none")
	code := pick("competitor", "A", "B", "C", "D")
	switch pick("type", "play", "play", "play", "set", "mark", "mark", "mark", "status", "status", "define", "define", "part", "part", "competitor",
		"decide", "reset", "competition", "award", "award", "revoke", "void", "void", "void", "void", "alert") {
	case "play":
		return body(score.TypeScorePlay, match,
			fmt.Sprintf(`"competitor":%q,"delta":%d`, code, number("delta", -1, 3)),
			pick("period", "", `,"period":"P1"`, `,"period":"SO"`),
			maybe(`,"stats_delta":{"fouls":0.5}`),
			maybe(`,"clock":"3:00"`),
			pick("result", "", "", "", fmt.Sprintf(`,"result":{%q:%d}`, code, number("total", 0, 4))),
		)
	case "set":
		return body(score.TypeScoreSet, match,
			fmt.Sprintf(`"result":{%q:%d}`, code, number("total", 0, 9)),
			maybe(`,"reason":"jury"`),
			pick("where", "", `,"period":"P2"`, `,"adjustment":true`),
		)
	case "mark":
		runner := pick("runner", "A", "B", "C", "D", "E", "F", "G", "H")
		value := fmt.Sprintf(pick("form", `,"mark":%d.5`, `,"mark":%d.5`, `,"mark":"0:01:0%d.5"`), number("mark", 1, 6))
		if number("irm", 0, 5) == 0 {
			value = fmt.Sprintf(`,"irm":%q`, pick("code", score.IRMs...))
		} else {
			value += pick("more", "", "", `,"place":1`, `,"mark2":1`, `,"mark2":2,"place":2`, `,"mark2":"0:01"`)
		}
		return body(score.TypeResultSet, race,
			fmt.Sprintf(`"competitor":%q,"split":%q`, runner, pick("split", "a", "b", "b", "finish")),
			value,
			maybe(`,"organisation":"OX"`),
			pick("category", "", `,"category":"F"`, `,"category":"M"`),
			pick("reason", "", "", "", `,"reason":"jury"`),
		)
	case "status":
		return body(score.TypeContestStatus, any, pick("status",
			`"schedule_status":"RUNNING"`,
			`"schedule_status":"RUNNING","period":"P1"`,
			`"schedule_status":"FINISHED"`,
			`"schedule_status":"CANCELLED"`,
			`"schedule_status":"RUNNING","reason":"jury"`,
			`"schedule_status":"POSTPONED"`,
			`"schedule_status":"RESCHEDULED"`,
			`"schedule_status":"INTERRUPTED"`,
			`"schedule_status":"SCHEDULED"`,
			`"result_status":"OFFICIAL"`,
			`"result_status":"LIVE","clock":"3:00"`,
		))
	case "decide":
		return body(score.TypeContestDecide, any, pick("decision",
			`"decision":"DRAWN"`,
			`"winner":"A","decision":"RETIRED"`,
			`"winner":"C","decision":"WALKOVER"`,
			`"decision":"ABANDONED","reason":"jury"`,
			`"winner":"B","decision":"RULE"`,
			`"winner":"B","decision":"EXTRA_TIME"`,
			`"reason":"jury"`,
		))
	case "reset":
		return body(score.TypeContestReset, any, `"reason":"replay"`)
	case "competitor":
		return body(score.TypeCompetitorDefine, pick("entered", match, race), fmt.Sprintf(`"competitor":%q`, code),
			pick("name", "", `,"name":"Obelix"`, `,"name":null`),
			pick("sort of competitor", "", `,"type":"T"`, `,"type":null`),
			pick("team", "", `,"organisation":"OE"`, `,"organisation":null`),
			pick("order", "", `,"order":2`, `,"order":-3`),
			pick("categories", "", `,"categories":["F","O"]`, `,"categories":null`))
	case "part":
		contest := pick("contest to change", match, race)
		change := pick("change", `"venue":"Rome"`, `"venue":null`, `"sort":"desc"`, `"sort":null`,
			`"competition_name":"Part Games"`, `"competition_name":null`, `"competitors":[{"code":"A","categories":["F"]},{"code":"B"}]`,
			`"competitors":[{"code":"B","name":"Bellix"}]`, `"competitors":null`, `"unit":"pt"`, `"kind":"ranked"`,
			`"result_type":"TIME"`, `"result_type":"TIME","unit":"min"`, `"unit":"h"`, `"unit":null`, `"unit2":"s"`, `"unit2":"min"`,
			`"sort2":"desc"`, `"sort2":null`, `"precision":2`, `"precision":null`, `"start_time":"2026-02-09T12:00:00Z"`,
			`"start_time":null`, `"medal_event":1`, `"splits":["a","b"]`, `"splits":["b"]`, `"tiebreak_periods":["SO"]`, `"tiebreak_periods":null`)
		return body(score.TypeContestDefine, contest, change, pick("why", "", `,"reason":"jury"`, `,"reason":"jury"`))
	case "define":
		if pick("defined", match, race) == match {
			return body(score.TypeContestDefine, match,
				fmt.Sprintf(`"kind":"head_to_head","sport":%q`, pick("sport", "stones", "race")),
				maybe(`,"competition_name":"Stone Games"`),
				maybe(`,"tiebreak_periods":["SO"]`),
				fmt.Sprintf(`,"competitors":[{"code":"A","organisation":%q},{"code":"B"}%s]`,
					pick("organisation", "OA", "OB", "OY"), maybe(`,{"code":"C"}`)),
			)
		}
		return body(score.TypeContestDefine, race,
			`"kind":"ranked","sport":"race"`,
			pick("sort", `,"sort":"asc"`, `,"sort":"asc"`, `,"sort":"desc"`),
			pick("splits", `,"splits":["a","b"]`, `,"splits":["a","b"]`, ""),
			pick("unit", "", `,"result_type":"TIME","unit":"min"`, `,"result_type":"TIME","unit":"s","unit2":"min","sort2":"desc"`),
			maybe(`,"competition_name":"Menhir Games"`),
			pick("list", "",
				`,"competitors":[{"code":"A"},{"code":"B"},{"code":"C","name":"Obelix","organisation":"OZ"},`+
					`{"code":"D"},{"code":"E"},{"code":"F"},{"code":"G"},{"code":"H"}]`,
				`,"competitors":[{"code":"A","organisation":"OX"},{"code":"B"}]`),
		)
	case "competition":
		return body(score.TypeCompetitionDefine, "G",
			pick("names", `"name":"The Games"`, `"name":"Games","neutral":["ON"]`, `"neutral":["OA"]`, `"neutral":null`,
				`"organisations":[{"code":"OA","name":"Team A"},{"code":"OB"}]`, `"name":null,"organisations":null`))
	case "award":
		return body(score.TypeMedalAward, any, fmt.Sprintf(`"award_id":%q,"medal":%q,"organisation":%q`,
			pick("award", "x", "y", "z"), pick("medal", "GOLD", "SILVER"), pick("organisation", "OA", "OB", "OW")))
	case "revoke":
		return body(score.TypeMedalRevoke, any,
			fmt.Sprintf(`"award_id":%q,"reason":"dope"`, pick("award", "x", "y", "z")))
	case "void":
		if len(h.plain.events) == 0 {
			return body(score.TypeEventVoid, any, `"voids":"nothing","reason":"wrong"`)
		}
		a := h.plain.events[len(h.plain.events)-1-number("back", 0, len(h.plain.events)-1)]
		target := map[string]string{
			"id":       fmt.Sprintf(`"voids":%q`, a.ID),
			"revision": fmt.Sprintf(`"voids_revision":%d`, a.revision),
			"seq":      fmt.Sprintf(`"voids_source":%q,"voids_seq":%d`, a.Source, a.Seq),
			"all": fmt.Sprintf(`"voids":%q,"voids_revision":%d,"voids_source":%q,"voids_seq":%d`,
				a.ID, a.revision, a.Source, a.Seq),
		}[pick("void by", "id", "revision", "seq", "all")]
		return body(score.TypeEventVoid, a.ContestID,
			fmt.Sprintf(`%s,"reason":%q`, target, pick("reason", "wrong", "jury")))
	}
	return body(score.TypeAlert, any, `"text":"hello"`)
}

// event draws an event: new, without a seq, repeated, leaving a gap, or another one under
// a used seq.
func (h *randomHistory) event(t *rapid.T, ahead map[string]int) score.Event {
	kinds := []string{"new", "new", "new", "new", "without seq", "without seq", "repeated", "other", "gap"}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	if len(h.posted) > 0 && kind == "repeated" {
		return rapid.SampledFrom(h.posted).Draw(t, "repeated")
	}
	source := rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "source")
	seq := len(h.plain.of(source)) + 1 + ahead[source]
	id := fmt.Sprintf("%s-%d", source, seq)
	switch kind {
	case "without seq":
		id := rapid.SampledFrom([]string{"", `"id":"mine",`, `"id":"yours",`}).Draw(t, "id")
		e := decodeEvent(t, `{%s"source":%q,%s}`, id, source, h.body(t))
		ahead[source]++
		return e
	case "other":
		seq = rapid.IntRange(1, seq).Draw(t, "seq")
	case "gap":
		seq += rapid.IntRange(1, 3).Draw(t, "gap")
	default:
		ahead[source]++
	}
	if rapid.IntRange(0, 9).Draw(t, "shared id") == 0 {
		id = "shared"
	}
	at := rapid.SampledFrom([]string{"", `"time":"2026-02-09T12:00:01+01:00",`}).Draw(t, "time")
	return decodeEvent(t, `{"id":%q,"source":%q,"seq":%d,%s%s}`, id, source, seq, at, h.body(t))
}

// posts draws a few posts.
func (h *randomHistory) posts(t *rapid.T) []score.Post {
	ahead := map[string]int{}
	posts := make([]score.Post, rapid.IntRange(1, 2).Draw(t, "posts"))
	for i := range posts {
		posts[i].Mode = rapid.SampledFrom([]score.PostMode{score.AllOrNone, score.UntilRefused}).Draw(t, "mode")
		for range rapid.SampledFrom([]int{1, 1, 2, 3, 4}).Draw(t, "events") {
			posts[i].Events = append(posts[i].Events, h.event(t, ahead))
		}
	}
	return posts
}

// post commits an entry of a few posts.
func (h *randomHistory) post(t *rapid.T) {
	posts := h.posts(t)
	// Reading the state commits the open transaction, so it must not be done every time.
	if rapid.IntRange(0, 2).Draw(t, "look") > 0 {
		h.commit(t, posts...)
		return
	}
	before, revisions, accepted := stateOf(t, h.m), h.revisions(t), len(h.plain.events)
	h.commit(t, posts...)
	if len(h.plain.events) == accepted && stateOf(t, h.m) != before {
		t.Fatal("nothing was accepted, but the state changed")
	}
	for k, now := range h.revisions(t) {
		if was := revisions[k]; now.content != was.content && now.revision <= was.revision {
			t.Fatalf("%s changed, but its revision is still %d", k, now.revision)
		}
	}
}

func (h *randomHistory) commit(t tester, posts ...score.Post) {
	index := h.m.Applied() + 1
	next := Entry{index, encodeEntry(t, posts...)}
	h.log = append(h.log, next)
	outcome, err := h.m.Apply([]Entry{next}, index)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range posts {
		h.posted = append(h.posted, p.Events...)
		h.checkResults(t, p, outcome[0][i])
	}
}

type versioned struct {
	revision uint64
	content  string
}

// revisions returns the records that readers see, with their revisions apart.
func (h *randomHistory) revisions(t tester) map[string]versioned {
	all := map[string]versioned{}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	err := h.m.View(func(v *view.View) error {
		list, _, err := v.Contests(score.Filter{}, "", 100)
		for _, r := range list {
			revision := r.Revision
			r.Revision = 0
			all[r.ContestID] = versioned{revision, text(r)}
		}
		if err != nil {
			return err
		}
		table, ok, err := v.Medals("G")
		if ok {
			medals := table.Standings()
			medals.Revision = 0
			all["medals"] = versioned{table.Revision, text(medals)}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// restart closes the machine and opens it again.
func (h *randomHistory) restart(t *rapid.T) {
	before := snapshotOf(t, h.m)
	if err := h.m.Close(); err != nil {
		t.Fatal(err)
	}
	h.m = h.reopen(t, h.dir)
	h.wantState(t, before)
}

// reopen opens a machine whose database must be trusted.
func (h *randomHistory) reopen(t *rapid.T, dir string) *Machine {
	var d logBuffer
	m, err := Open(dir, d.logger())
	if err != nil {
		t.Fatal(err)
	}
	if d.Len() > 0 {
		t.Fatalf("a closed database was not trusted: %s", d.String())
	}
	return m
}

// kill continues with a copy of the files of the running machine, which must not be
// trusted, and replays the log.
func (h *randomHistory) kill(t *rapid.T) {
	dir := h.newDir(t)
	copyFiles(t, h.m, dir)
	before := snapshotOf(t, h.m)
	h.end()
	h.dir, h.m = dir, openMachine(t, dir)
	if h.m.Applied() != 0 {
		t.Fatalf("a database that was not closed was trusted, up to the entry %d", h.m.Applied())
	}
	h.feed(t, h.m, h.log)
	h.wantState(t, before)
}

// die continues with the file as the last commit left it, as if it had been synced, and
// replays the log: the state of the file is that of the entry that it names.
func (h *randomHistory) die(t *rapid.T) {
	dir := h.newDir(t)
	copyFiles(t, h.m, dir)
	before := snapshotOf(t, h.m)
	h.end()
	db, err := bolt.Open(filepath.Join(dir, File), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Close(db.Path(), db, nil); err != nil {
		t.Fatal(err)
	}
	h.dir, h.m = dir, h.reopen(t, dir)
	then, n := h.m.Applied(), 0
	for n < len(h.log) && h.log[n].Index <= then {
		n++
	}
	past := openMachine(t, h.newDir(t))
	defer past.Close()
	h.feed(t, past, h.log[:n])
	h.wantState(t, snapshotOf(t, past))
	h.feed(t, h.m, h.log)
	h.wantState(t, before)
}

// restore continues with another machine that restored a snapshot, and applies entries
// that the snapshot includes.
func (h *randomHistory) restore(t *rapid.T) {
	before := snapshotOf(t, h.m)
	dir := h.newDir(t)
	m := openMachine(t, dir)
	if rapid.Bool().Draw(t, "onto another state") && len(h.log) > 0 {
		h.feed(t, m, h.log[:len(h.log)/2])
	}
	if err := m.Restore(bytes.NewReader(before)); err != nil {
		t.Fatal(err)
	}
	h.end()
	h.dir, h.m = dir, m
	h.feed(t, m, h.log[len(h.log)/2:])
	h.wantState(t, before)
}

// rebuild discards the database, restores an earlier snapshot and replays the log.
func (h *randomHistory) rebuild(t *rapid.T) {
	before := snapshotOf(t, h.m)
	if err := h.m.Discard("test"); err != nil {
		t.Fatal(err)
	}
	if h.m.Applied() != 0 || h.m.Revision() != 0 {
		t.Fatalf("a new database has applied entry %d, revision %d", h.m.Applied(), h.m.Revision())
	}
	n := rapid.IntRange(0, len(h.log)).Draw(t, "snapshot at")
	past := openMachine(t, h.newDir(t))
	h.feed(t, past, h.log[:n])
	if err := h.m.Restore(bytes.NewReader(snapshotOf(t, past))); err != nil {
		t.Fatal(err)
	}
	past.Close()
	h.feed(t, h.m, h.log)
	h.wantState(t, before)
}

// replay applies all entries again.
func (h *randomHistory) replay(t *rapid.T) {
	before := snapshotOf(t, h.m)
	h.feed(t, h.m, h.log)
	h.wantState(t, before)
}

// feed applies entries in transactions of drawn sizes.
func (h *randomHistory) feed(t *rapid.T, m *Machine, entries []Entry) {
	for len(entries) > 0 {
		n := rapid.IntRange(1, len(entries)).Draw(t, "entries at once")
		applied := m.Applied()
		outcome, err := m.Apply(entries[:n], entries[n-1].Index)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entries[:n] {
			if skipped := outcome[i] == nil; skipped != (e.Index <= applied) {
				t.Fatalf("entry %d, applied up to %d: skipped is %t", e.Index, applied, skipped)
			}
		}
		entries = entries[n:]
	}
}

func (h *randomHistory) wantState(t *rapid.T, before []byte) {
	if !bytes.Equal(snapshotOf(t, h.m), before) {
		t.Fatal("the state is different")
	}
}

// textMembers are members that no rule reads: they are stored and shown.
var textMembers = []string{
	"comment", "text", "title", "discipline", "event", "phase", "group", "gender", "competition", "action", "athlete",
}

func TestHistoriesHaveEveryMemberOfEveryType(t *testing.T) {
	h := &randomHistory{}
	h.plain.events = []*acceptedEvent{{
		Event:    decodeEvent(t, `{"id":"a","source":"s1","seq":1,"type":"alert","contest_id":"G","data":{"text":"hello"}}`),
		revision: 1,
	}}
	missing := map[string]bool{}
	for typ, example := range eventExamples {
		members := membersOf(t, example.data)
		maps.Copy(members, exclusiveMembers[typ])
		for name := range members {
			if !slices.Contains(textMembers, name) {
				missing[string(typ)+" "+name] = true
			}
		}
	}
	// The awards of a history differ in what the table counts only.
	for _, name := range []string{"competitor", "sport"} {
		delete(missing, string(score.TypeMedalAward)+" "+name)
	}
	bodies := rapid.Custom(h.body)
	const draws = 20_000
	for i := 0; i < draws && len(missing) > 0; i++ {
		e := decodeEvent(t, `{"id":"a","source":"s1","seq":1,%s}`, bodies.Example(i))
		data, err := score.MarshalData(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		for name := range membersOf(t, string(data)) {
			delete(missing, string(e.Type)+" "+name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no history has %q", slices.Sorted(maps.Keys(missing)))
	}
}

func membersOf(t *testing.T, data string) map[string]string {
	t.Helper()
	var values map[string]jsontext.Value
	if err := json.Unmarshal([]byte(data), &values); err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for name, value := range values {
		members[name] = string(value)
	}
	return members
}
