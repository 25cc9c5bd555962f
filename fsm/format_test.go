package fsm

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/fsm/entry"
	"laurel/fsm/view"
	"laurel/score"
)

// Logs and snapshots outlive the program that wrote them. The golden files were written
// by the version in their names. They may be updated only before that version is
// released.
var update = flag.Bool("update", false, "update the golden files in testdata/format")

// golden returns the content of a golden file, which must be what this version writes.
func golden(t *testing.T, name string, today []byte) []byte {
	t.Helper()
	path := filepath.Join("..", "testdata", "format", name)
	if *update {
		var text strings.Builder
		for line := range slices.Chunk(today, 32) {
			text.WriteString(hex.EncodeToString(line) + "\n")
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content := old(t, name)
	if !bytes.Equal(content, today) {
		t.Errorf("this version does not write %s; a new format needs a new version byte and a reader for both", path)
	}
	return content
}

// old returns the content of a golden file, which may be in a format that is no longer
// written.
func old(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join("..", "testdata", "format", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with go test -update", err)
	}
	content, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return content
}

func goldenPosts(t *testing.T) []score.Post {
	return []score.Post{
		{Mode: score.AllOrNone, Events: []score.Event{
			decodeEvent(t, `{"id":"b1-000001","source":"bard/cacofonix","seq":1,
				"type":"contest.define","time":"2026-02-09T10:00:00Z","contest_id":"OG50BC/CUR-M-GPA-01",
				"data":{"kind":"head_to_head","sport":"stone-curling","competition":"OG50BC",
				"competition_name":"Stone-age Games","title":"GAU vs ROM","start_time":"2026-02-09T11:00:00+01:00",
				"medal_event":1,"result_type":"POINTS","sort":"desc","tiebreak_periods":["SO"],
				"competitors":[{"code":"GAU","name":"Gaul","organisation":"GAU","type":"T","order":1},
				{"code":"ROM","name":"Rome","organisation":"ROM","type":"T","order":2}]}}`),
			decodeEvent(t, `{"id":"b1-000002","source":"bard/cacofonix","seq":2,`+
				`"type":"contest.status","time":"2026-02-09T11:16:40.125+01:00",`+
				`"contest_id":"OG50BC/CUR-M-GPA-01",`+
				`"data":{"schedule_status":"RUNNING","result_status":"LIVE","period":"END1"}}`),
			decodeEvent(t, `{"id":"b1-000003","source":"bard/cacofonix","seq":3,
				"type":"score.play","time":"2026-02-09T10:16:40Z","contest_id":"OG50BC/CUR-M-GPA-01",
				"data":{"period":"END1","action":"END","competitor":"GAU","delta":2.5,"result":{"ROM":0,"GAU":2.5},
				"stats_delta":{"stones":8},"comment":"by Toutatis"}}`),
		}},
		{Mode: score.UntilRefused, Events: []score.Event{
			decodeEvent(t, `{"id":"hand-1","type":"alert","contest_id":"OG50BC","data":{"text":"the sky is falling"}}`),
		}},
	}
}

func TestLogEntriesKeepTheFormatOfVersion3(t *testing.T) {
	posts := goldenPosts(t)
	data := golden(t, "entry-v3.hex", encodeEntry(t, posts...))
	e, err := entry.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	decoded := e.Posts
	if len(decoded) != len(posts) {
		t.Fatalf("%d posts, want %d", len(decoded), len(posts))
	}
	for i, p := range decoded {
		if p.Mode != posts[i].Mode || len(p.Events) != len(posts[i].Events) {
			t.Fatalf("post %d is %+v", i, p)
		}
		for j, e := range p.Events {
			want := posts[i].Events[j]
			_, offset := e.Time.Zone()
			_, wantOffset := want.Time.Zone()
			if e.ID != want.ID || e.Source != want.Source || e.Seq != want.Seq || e.Type != want.Type ||
				e.ContestID != want.ContestID || !e.Time.Equal(want.Time) ||
				offset != wantOffset || e.IDGiven != want.IDGiven || e.TimeGiven != want.TimeGiven {
				t.Errorf("event %d.%d is %+v, want %+v", i, j, e.Event, want)
			}
		}
	}
	const play = `{"competitor":"GAU","delta":2.5,"period":"END1","action":"END",` +
		`"result":{"GAU":2.5,"ROM":0},"stats_delta":{"stones":8},"comment":"by Toutatis"}`
	if got := string(decoded[0].Events[2].JSON); got != play {
		t.Errorf("the play's data is\n%s, want\n%s", got, play)
	}
	if at := decoded[0].Events[1].Time.Format(time.RFC3339Nano); at != "2026-02-09T11:16:40.125+01:00" {
		t.Errorf("the time is %s", at)
	}
}

func TestSnapshotsKeepTheFormatOfVersion3(t *testing.T) {
	m := newMachine(t)
	applyPosts(t, m, goldenPosts(t)...)
	for _, text := range []string{
		`{"id":"b1-000004","source":"bard/cacofonix","seq":4,"type":"event.void","contest_id":"OG50BC",` +
			`"data":{"voids":"hand-1","reason":"it is not"}}`,
		`{"id":"b1-000005","source":"bard/cacofonix","seq":5,"type":"competition.define","contest_id":"OG50BC",` +
			`"data":{"name":"Games of 50 BC","neutral":["EGY"]}}`,
		`{"id":"b1-000006","source":"bard/cacofonix","seq":6,"type":"medal.award","contest_id":"OG50BC/MEN",` +
			`"data":{"award_id":"men-1","medal":"GOLD","organisation":"GAU","competitor":"Obelix"}}`,
		`{"id":"b1-000007","source":"bard/cacofonix","seq":7,"type":"medal.award","contest_id":"OG50BC/MEN",` +
			`"data":{"award_id":"men-2","medal":"SILVER","organisation":"ROM"}}`,
		`{"id":"b1-000008","source":"bard/cacofonix","seq":8,"type":"medal.revoke","contest_id":"OG50BC/MEN",` +
			`"data":{"award_id":"men-2","reason":"potion"}}`,
		`{"id":"b1-000009","source":"bard/cacofonix","seq":9,"type":"contest.define","contest_id":"OG50BC/RUN",` +
			`"data":{"kind":"ranked","sport":"marathon","result_type":"TIME","splits":["half","finish"]}}`,
		`{"id":"b1-000010","source":"bard/cacofonix","seq":10,"type":"contest.status","contest_id":"OG50BC/RUN",` +
			`"data":{"schedule_status":"RUNNING"}}`,
		`{"id":"b1-000011","source":"bard/cacofonix","seq":11,"type":"result.set","contest_id":"OG50BC/RUN",` +
			`"data":{"competitor":"Asterix","split":"half","mark":59.125,"category":"M","organisation":"GAU"}}`,
		`{"id":"b1-000012","source":"bard/cacofonix","seq":12,"type":"result.set","contest_id":"OG50BC/RUN",` +
			`"data":{"competitor":"Marathonus","split":"half","irm":"DNF"}}`,
	} {
		mustApply(t, m, "%s", text)
	}
	snapshot := golden(t, "snapshot-v3.hex", snapshotOf(t, m))
	restored := newMachine(t)
	if err := restored.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if restored.Applied() != 10 || restored.Revision() != 13 {
		t.Errorf("applied is %d, revision %d", restored.Applied(), restored.Revision())
	}
	wantResult(t, restored, "OG50BC/CUR-M-GPA-01", "GAU", "2.5")
	wantResult(t, restored, "OG50BC/RUN", "Asterix", "59.125")
	wantResult(t, restored, "OG50BC/RUN", "Marathonus", "DNF")
	err := restored.View(func(v *view.View) error {
		table, _, err := v.Medals("OG50BC")
		if err != nil {
			return err
		}
		if row, _ := table.Row("GAU"); row.Gold != 1 || table.Standings().Name != "Games of 50 BC" ||
			len(table.Standings().Rows) != 1 {
			t.Errorf("the medal table is %+v", table)
		}
		list, _, err := v.Timeline("OG50BC", 0, 10)
		if err != nil {
			return err
		}
		if len(list) != 3 || list[0].ID != "hand-1" || list[0].VoidedBy != list[1].Revision ||
			string(list[0].Data) != `{"text":"the sky is falling"}` || list[0].Source != "anonymous" {
			t.Errorf("the timeline is %+v", list)
		}
		b, _, err := v.Bard("bard/cacofonix")
		if b.LastSeq != 12 || b.LastID != "b1-000012" {
			t.Errorf("the bard is %+v", b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The first event is recognized as a duplicate.
	wantDuplicate(t, applyPosts(t, restored, goldenPosts(t)[0])[0][0],
		score.Result{ID: "b1-000001", Seq: 1, Revision: 1})
	wantVoidRefused(t, restored, score.StatusConflict, `already, by the event at revision 5`, "OG50BC", "hand-1")
}
