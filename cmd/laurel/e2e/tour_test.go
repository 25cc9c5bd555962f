package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/medal"
)

// withID returns an event with an id, so that it counts once however often it is posted.
func withID(id, event string) string { return `{"id":"` + id + `",` + event[1:] }

// applyWithoutID posts an event until it is acknowledged. again is true if it was posted more than
// once, and so may have been applied more than once.
func (f *frontend) applyWithoutID(t testing.TB, body string) (p posted, again bool) {
	t.Helper()
	eventually(t, "an event without an id is acked", func() error {
		a, err := ask("POST", f.url+"/v1/events", body, "Content-Type", "application/json")
		if err != nil || a.status == http.StatusServiceUnavailable {
			again = true
			return errors.Join(err, fmt.Errorf("%d %s", a.status, a.body))
		}
		if a.status != http.StatusOK {
			t.Fatalf("posting to %s: %d %s", f.id, a.status, a.body)
		}
		p = decode[posted](t, a)
		return nil
	})
	return p, again
}

func TestTheTourWorksAtAnyFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	a, b, c := g.frontends[0], g.frontends[1], g.frontends[2]

	// Only the data: source, seq, id and time are left out.
	revision := uint64(0)
	for i, body := range []string{define, running} {
		p, again := g.frontends[i].applyWithoutID(t, body)
		if len(p.Results) != 1 || p.Results[0].Status != score.Applied || p.Results[0].ID == "" ||
			p.Results[0].Revision != p.Revision || p.Revision != revision+1 && !again {
			t.Fatalf("the result is %+v; want it applied as revision %d, with an id", p, revision+1)
		}
		revision = p.Revision
	}
	first := apply(t, c, play("end-1", 2)).Results[0]
	if revision++; first.Revision != revision || first.ID != "end-1" {
		t.Fatalf("the result is %+v; want revision %d", first, revision)
	}
	for _, f := range g.frontends {
		again := apply(t, f, play("end-1", 2)).Results[0]
		if again.Status != score.Duplicate || again.Revision != first.Revision {
			t.Errorf("%s: the same id again is %+v; want a duplicate with revision %d", f.id, again, first.Revision)
		}
	}
	refused(t, b, score.IDConflict, play("end-1", 3))
	g.expectRevision(revision)

	for _, f := range g.frontends {
		r := get(t, f.url+contest)
		rec := decode[score.Record](t, r)
		if rec.ScheduleStatus != "RUNNING" || rec.Period != "END1" || rec.Revision != revision || rec.Winner != "" ||
			rec.Competitors[1].Rank != 2 {
			t.Errorf("%s: %+v", f.id, rec)
		}
		for name, want := range map[string]string{
			"Laurel-Revision": fmt.Sprintf("^%d$", revision), "Laurel-Frontend": "^" + f.id + "$",
			"Laurel-Cache": "^(hit|wait|load|forward)$", "Laurel-Mode": "^[a-z]+$",
			"Cache-Control": "^no-cache$", "Etag": `^"[^"]+"$`, "Content-Type": "^application/json", "Vary": "Accept",
		} {
			if got := r.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%s: %s is %q; want %s", f.id, name, got, want)
			}
		}
		// A tag of one frontend is valid at all.
		for _, other := range g.frontends {
			n := settledGet(t, other.url+contest, "If-None-Match", r.header.Get("ETag"))
			if n.status != http.StatusNotModified || n.body != "" {
				t.Errorf("%s with the ETag of %s: %d %q; want 304 and nothing", other.id, f.id, n.status, n.body)
			}
		}
		table := get(t, f.url+contest, "Accept", "text/plain")
		if !strings.HasPrefix(table.header.Get("Content-Type"), "text/plain") ||
			!regexp.MustCompile(`(?m)GAU.*\b2\b`).MatchString(table.body) {
			t.Errorf("%s: as text/plain: %s\n%s", f.id, table.header.Get("Content-Type"), table.body)
		}
	}
	apply(t, b, play("end-2", 1))
	tag := get(t, b.url+contest).header.Get("ETag")
	if n := settledGet(t, a.url+contest, "If-None-Match", tag); n.status != http.StatusNotModified {
		t.Errorf("%d; want 304", n.status)
	}
	g.expectGaul(3)
}

func TestARefusedEventIsExplainedAndChangesNothing(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	apply(t, g.frontends[0], define)
	for _, f := range g.frontends {
		refused(t, f, score.StatusConflict, play("too-early", 1))
	}
	apply(t, g.frontends[0], running)

	with := func(old, new string) string { return strings.Replace(play("bad", 1), old, new, 1) }
	for _, f := range g.frontends {
		for _, bad := range []struct {
			body, field string
			code        score.Code
		}{
			{with(`"GAU"`, `"EGY"`), "data.competitor", score.InvalidEvent},
			{with(`"delta":1`, `"delta":1,"result":{"GAU":7}`), "data.result", score.TotalMismatch},
			{with(`"delta":1`, `"delta":1.0005`), "data.delta", score.InvalidEvent},
			{with(`"delta":1`, `"delta":NaN`), "", score.InvalidEvent},
			{with(`"delta":1`, `"delta":1,"colour":"red"`), "data", score.InvalidEvent},
			{with(`"delta":1}}`, ``), "", score.InvalidEvent},
			{with(`"score.play"`, `"score.whisper"`), "type", score.InvalidEvent},
			{with(`OG50BC/CUR-M-GPA-01`, `OG50BC/CUR-M-GPA-02`), "", score.NotFound},
			{with(`OG50BC/CUR-M-GPA-01`, `OG50BC//`), "contest_id", score.InvalidEvent},
			{strings.Repeat(`[`, 100_000), "", score.InvalidEvent},
		} {
			p := refused(t, f, bad.code, bad.body)
			if !strings.HasPrefix(p.Field, bad.field) {
				t.Errorf("%s: the fault is in %q (%s); want %q", f.id, p.Field, p.Detail, bad.field)
			}
		}
		gap := refused(t, f, score.SeqGap, strings.Replace(play("bard-3", 1), `{`,
			`{"source":"bard/cacofonix","seq":3,`, 1))
		if gap.ExpectedSeq != 1 {
			t.Errorf("%s: expected_seq is %d; want 1", f.id, gap.ExpectedSeq)
		}
		// Either all events are applied or none.
		p := refused(t, f, score.InvalidEvent, "["+play("good", 1)+","+with(`"GAU"`, `"EGY"`)+"]")
		if p.Index == nil || *p.Index != 1 || p.ID != "bad" {
			t.Errorf("%s: the problem of an array does not name its second event: %+v", f.id, p)
		}
	}
	g.expectRevision(2)
	g.expectGaul(0)

	for path, code := range map[string]score.Code{"/v1/scores/OG50BC/NONE": score.NotFound,
		"/v1/medals/NONE": score.NotFound, "/v1/nothing": score.NotFound} {
		problem(t, settledGet(t, g.frontends[1].url+path), code)
	}
}

func TestAStreamStopsAtTheFirstRefusedEvent(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	one := strings.NewReplacer("\n", "")
	for i, f := range g.frontends {
		id := string(rune('a' + i))
		lines := []string{one.Replace(withID(id+"define", define)), one.Replace(withID(id+"running", running))}
		lines = append(lines, play(id+"1", 1), play(id+"2", 1), strings.Replace(play(id+"3", 1), "GAU", "EGY", 1),
			play(id+"4", 1))
		got, again := f.streamAgain(t, strings.Join(lines, "\n")+"\n")
		if len(got) != 5 || got[3].Status != score.Applied && !again || got[4].Problem == nil ||
			got[4].Problem.Code != score.InvalidEvent || got[4].ID != id+"3" {
			t.Fatalf("%s: the results are %+v; want four applied and the fifth refused as the last", f.id, got)
		}
		g.expectGaul(int64(i+1) * 2)
	}
	g.expectRevision(12)
}

// streamAgain posts a stream of events, which must have an identity, until no master is missed.
// again is true if it was posted more than once, and so may have duplicates.
func (f *frontend) streamAgain(t testing.TB, lines string) (list []score.Result, again bool) {
	t.Helper()
	eventually(t, "a stream is answered", func() error {
		a, err := ask("POST", f.url+"/v1/events", lines, "Content-Type", "application/x-ndjson")
		if err == nil && a.status == http.StatusServiceUnavailable {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		if err != nil {
			again = true
			return err
		}
		list = slices.Collect(results(t, a))
		if n := len(list); n > 0 && list[n-1].Problem != nil &&
			list[n-1].Problem.Code.HTTPStatus() == http.StatusServiceUnavailable {
			again = true
			return list[n-1].Problem
		}
		return nil
	})
	return list, again
}

func TestMedalsTimelineAndTheRestOfTheTour(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	a, b, c := g.frontends[0], g.frontends[1], g.frontends[2]
	award := func(id, medal, organisation string) string {
		return `{"id":"` + id + `","type":"medal.award","contest_id":"OG50BC/MENHIR","data":{"award_id":"` + id +
			`","medal":"` + medal + `","organisation":"` + organisation + `"}}`
	}
	three := []string{award("m1", "GOLD", "GAU"), award("m2", "SILVER", "ROM"), award("m3", "SILVER", "EGY")}
	apply(t, a, "["+strings.Join(three, ",")+"]")
	apply(t, b, award("m4", "BRONZE", "BRI"))
	apply(t, c, `{"id":"revoke","type":"medal.revoke","contest_id":"OG50BC/MENHIR",
 "data":{"award_id":"m4","reason":"magic potion"}}`)
	for _, f := range g.frontends {
		table := decode[medal.Standings](t, get(t, f.url+"/v1/medals/OG50BC"))
		want := []medal.Row{{Organisation: "GAU", Gold: 1, Total: 1, Rank: 1},
			{Organisation: "EGY", Silver: 1, Total: 1, Rank: 2, RankEqual: true},
			{Organisation: "ROM", Silver: 1, Total: 1, Rank: 2, RankEqual: true}}
		if len(table.Rows) != len(want) {
			t.Fatalf("%s: the medal table is %+v", f.id, table)
		}
		for i, row := range table.Rows {
			if row != want[i] {
				t.Errorf("%s: row %d is %+v; want %+v", f.id, i, row, want[i])
			}
		}
		if row := decode[medal.Row](t, get(t, f.url+"/v1/medals/OG50BC/BRI")); row.Total != 0 ||
			row.Organisation != "BRI" {
			t.Errorf("%s: the row of BRI is %+v; want zeros", f.id, row)
		}
		if text := get(t, f.url+"/v1/medals/OG50BC", "Accept",
			"text/plain").body; !regexp.MustCompile(`(?m)^\s*1\s+GAU\s+1\s+0\s+0\s+1`).MatchString(text) {
			t.Errorf("%s: the medals as text/plain are\n%s", f.id, text)
		}
	}

	apply(t, a, define)
	apply(t, b, running)
	apply(t, c, play("wrong", 9))
	apply(t, c, `{"id":"undo","type":"event.void","contest_id":"OG50BC/CUR-M-GPA-01",
 "data":{"voids":"wrong","reason":"the stone was moved by a dog"}}`)
	g.expectRevision(9)
	for _, f := range g.frontends {
		line := decode[struct {
			Events []score.TimelineEvent `json:"events"`
		}](t, get(t, f.url+"/v1/timeline/OG50BC/CUR-M-GPA-01")).Events
		if len(line) != 4 || line[2].ID != "wrong" || line[2].VoidedBy != line[3].Revision || line[3].Revision != 9 {
			t.Errorf("%s: the timeline is %+v", f.id, line)
		}
		if r := decode[score.Record](t, get(t, f.url+contest)); *r.Competitors[0].Result != 0 || r.Revision != 9 {
			t.Errorf("%s: after the void: %+v", f.id, r)
		}
		if bard := decode[score.Bard](t, get(t, f.url+"/v1/bards/anonymous")); bard.LastID != "undo" ||
			bard.LastSeq != 9 {
			t.Errorf("%s: who posts without a source is %+v", f.id, bard)
		}
		for _, path := range []string{"/", "/livez", "/readyz", "/metrics", "/v1/cluster", "/v1/frontends"} {
			if get(t, f.url+path).body == "" {
				t.Errorf("%s: %s has an empty answer", f.id, path)
			}
		}
	}

	text := mustRun(t, "laurel", "scores", "OG50BC/CUR-M-GPA-01", "--to", urls(g.frontends))
	if !strings.Contains(text, "GAU") || !strings.Contains(text, "ROM") {
		t.Errorf("laurel scores prints\n%s", text)
	}
	if text := mustRun(t, "laurel", "medals", "OG50BC", "--to", b.url); !strings.Contains(text, "GAU") {
		t.Errorf("laurel medals prints\n%s", text)
	}
	eventually(t, "laurel cluster status names all", func() error { // it fails while there is no master
		if o := command(t, "laurel", "cluster", "status", "--to", c.url); o.code != 0 || !strings.Contains(o.out, "f1") ||
			!strings.Contains(o.out, "f3") {
			return errors.New(o.String())
		}
		return nil
	})
}

func TestCommandsEndWithTheExitCodeOfTheirOutcome(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	to := g.frontends[0].url
	nobody := "http://" + freePort(t)
	for _, c := range []struct {
		code    int
		command string
	}{
		{0, "laurel scores --to " + to},
		{0, "laurel help"},
		{0, "bard sing --help"},
		{1, "laurel scores OG50BC/NONE --to " + to},
		{1, "bard sing --to " + to + " no-such-file.ndjson"},
		{2, "laurel dance"},
		{2, "laurel scores --colour red"},
		{2, "laurel frontend --id f9"},
		{2, "bard sing"},
		{3, "laurel scores --patience 1s --to " + nobody},
		{3, "laurel cluster status --patience 1s --to " + nobody},
	} {
		words := strings.Fields(c.command)
		if o := command(t, words[0], words[1:]...); o.code != c.code {
			t.Errorf("%s: %v; want exit code %d", c.command, o, c.code)
		} else if c.code != 0 && o.err == "" {
			t.Errorf("%s: nothing on stderr", c.command)
		}
	}
}

func TestCurlIsAnswered(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		skipOrFail(t, "there is no curl: %v", err)
	}
	g := newGroup(t, 1)
	run := func(args ...string) string {
		out, err := exec.Command(curl, append([]string{"-sS"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	url := g.frontends[0].url
	// Without a Content-Type curl sends that of a form.
	if out := run("-d", define, url+"/v1/events"); !strings.Contains(out, "application/json") {
		t.Errorf("the answer to curl without a Content-Type does not name one: %s", out)
	}
	if out := run("--json", define, url+"/v1/events"); !strings.Contains(out, `"applied"`) {
		t.Errorf("curl --json: %s", out)
	}
	eventually(t, "curl for text/plain", func() error { // 503 while a busy machine lets the lease lapse
		if out := run("-H", "Accept: text/plain", url+contest); !strings.Contains(out, "GAU") {
			return errors.New(out)
		}
		return nil
	})
}
