package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"laurel/internal/cli"
	"laurel/internal/textfmt"
)

// numbered returns the lines of alerts of a source with the seqs from first on, one for
// each text, with ids or without.
func numbered(source string, first int, ids bool, texts ...string) string {
	var b strings.Builder
	for i, text := range texts {
		id := ""
		if ids {
			id = fmt.Sprintf(`"id": "f-%d", `, first+i)
		}
		fmt.Fprintf(&b, `{%s"type": "alert", "contest_id": "OG50BC/1", "data": {"text": %q}, "source": %q, "seq": %d}`+"\n",
			id, text, source, first+i)
	}
	return b.String()
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// singFile posts a file of the content, and returns its name, too.
func singFile(
	t *testing.T, sing func(args ...string) (int, string, string), content string, args ...string,
) (file string, code int, out, errs string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "d24.ndjson")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = sing(append([]string{"sing", file}, args...)...)
	return file, code, out, errs
}

func TestNoEventIsPassedOverThatIsNotWhatWasPosted(t *testing.T) {
	t.Parallel()
	const feed, other = "d24/feed", "d24/other"
	for name, c := range map[string]struct {
		second string // posted after first 1, first 2 and first 3
		line   int    // the line that differs
	}{
		"counts from 1 again":            {numbered(feed, 1, false, "second 1", "second 2", "second 3"), 1},
		"and has posted less so far":     {numbered(feed, 1, false, "second 1"), 1},
		"and has posted more so far":     {numbered(feed, 1, false, "second 1", "second 2", "second 3", "second 4"), 1},
		"differs in the last event":      {numbered(feed, 1, false, "first 1", "first 2", "second 3"), 3},
		"differs in the middle":          {numbered(feed, 1, false, "first 1", "second 2", "first 3", "first 4"), 2},
		"begins in the middle":           {numbered(feed, 3, false, "second 3", "second 4"), 1},
		"has ids now":                    {numbered(feed, 1, true, "first 1", "first 2", "first 3"), 1},
		"after events of another source": {numbered(other, 1, false, "a", "b") + numbered(feed, 3, false, "second 3"), 3},
		"compressed":                     {compressed(t, numbered(feed, 1, false, "first 1", "second 2")), 2},
		"in another contest": {strings.Replace(numbered(feed, 1, false, "first 1"),
			"OG50BC/1", "OG50BC/2", 1), 1},
		"at another time": {strings.Replace(numbered(feed, 1, false, "first 1"),
			`"seq"`, `"time": "2026-07-01T10:00:00Z", "seq"`, 1), 1},
	} {
		for _, ids := range []bool{false, true} {
			if ids && name == "has ids now" {
				continue // it has them both times
			}
			t.Run(fmt.Sprintf("%s, ids %v", name, ids), func(t *testing.T) {
				t.Parallel()
				g := group(t, 1)
				sing := func(args ...string) (int, string, string) { return bard(t.Context(), g, nil, args...) }
				second := c.second
				if ids && name != "compressed" {
					// The ids are the same in both files.
					second = strings.NewReplacer(`{"type"`, `{"id": "same", "type"`).Replace(second)
				}
				first := numbered(feed, 1, false, "first 1", "first 2", "first 3")
				if ids && name != "compressed" {
					first = strings.ReplaceAll(first, `{"type"`, `{"id": "same", "type"`)
				}
				if _, code, _, errs := singFile(t, sing, first); code != cli.ExitOK {
					t.Fatalf("exit code %d: %s", code, errs)
				}
				file, code, _, errs := singFile(t, sing, second)
				command := fmt.Sprintf("tail -n +%d %s | bard sing -", c.line+1, textfmt.ShellWord(file))
				if name == "compressed" {
					command = fmt.Sprintf("gunzip -c %s | tail -n +%d | bard sing -", textfmt.ShellWord(file), c.line+1)
				}
				for _, want := range []string{fmt.Sprintf("bard: line %d", c.line), "id_conflict: ", "another event",
					"last seq is 3 (GET /v1/bards/d24/feed)", "number them from 4 on", command} {
					if !strings.Contains(errs, want) {
						t.Errorf("stderr has no %q", want)
					}
				}
				if n := len(g.Events("OG50BC/1")); code != cli.ExitFailed || n != 3+strings.Count(second, other) {
					t.Errorf("exit code %d, %d events were counted; stderr %s", code, n, errs)
				}
			})
		}
	}
}

func TestTheSameEventsAreRecognizedHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	const first = `{"source":"bard/a","seq":1,"id":"x","type":"contest.define","contest_id":"OG50BC/1","time":"2026-07-01T10:00:00Z","data":{"kind":"head_to_head","sport":"football","competitors":[{"code":"A"},{"code":"B"}]}}
{"source":"bard/a","seq":2,"type":"contest.status","contest_id":"OG50BC/1","data":{"schedule_status":"RUNNING"}}
{"source":"bard/a","seq":3,"type":"score.play","contest_id":"OG50BC/1","data":{"competitor":"A","delta":1.5}}
`
	const second = ` {"seq": 1, "source": "bard/a", "data": {"competitors": [ {"code":"A"}, {"code":"B"}], "sport": "f\u006fotball", "kind": "head_to_head"}, "time": "2026-07-01T12:00:00+02:00", "id": "x", "contest_id": "OG50BC/1", "type": "contest.define"}

{"source":"bard/a","seq":2,"type":"contest.status","contest_id":"OG50BC/1","data":{"schedule_status":"RUNNING"}}` + "\r\n" + `
{"source":"bard/a","seq":3,"type":"score.play","contest_id":"OG50BC/1","data":{"delta":1.500,"competitor":"A"}}`
	for _, c := range []struct{ input, want string }{
		{first, "events 3, duplicates 0, skipped (acknowledged before) 0\n"},
		{second, "events 0, duplicates 0, skipped (acknowledged before) 3\n"},
	} {
		code, out, errs := bard(t.Context(), g, strings.NewReader(c.input), "sing", "-")
		if code != cli.ExitOK || !sums(out, c.want) {
			t.Errorf("exit code %d, stderr %q, the summary is %q; want %q", code, errs, out, c.want)
		}
	}
}

func TestALongFileIsComparedPageByPage(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	const n = 2*maxPage + 10
	if code, _, errs := bard(t.Context(), g, strings.NewReader(alerts(n)), "sing", "-"); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	code, out, errs := bard(t.Context(), g, strings.NewReader(alerts(n+1)), "sing", "-")
	if code != cli.ExitOK || !sums(out, "events 1, duplicates 0, skipped (acknowledged before) 2,010\n") {
		t.Errorf("exit code %d, stderr %q, the summary is %q", code, errs, out)
	}
	other := strings.Replace(alerts(n+1), `"line 2005"`, `"another line"`, 1)
	code, _, errs = bard(t.Context(), g, strings.NewReader(other), "sing", "-")
	if code != cli.ExitFailed || !strings.Contains(errs, "line 2005, event c-2005: id_conflict") ||
		!strings.Contains(errs, "FEED | tail -n +2006 | bard sing -") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	wantAccepted(t, g, n+1)
}
