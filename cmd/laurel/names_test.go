package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"laurel/internal/cli"
	"laurel/internal/testgroup"
	"laurel/internal/textfmt"
)

func TestNamesOfAnyScriptNeitherShiftColumnsNorTurnTextRound(t *testing.T) {
	t.Parallel()
	f := testgroup.Start(t, 1).Frontends[0]
	post(t, f,
		`{"type":"contest.define","contest_id":"D17/A","data":{"kind":"head_to_head","sport":"football",`+
			`"title":"\u202eevil vs Rome","competitors":[{"code":"EVI","name":"\u202eevil\u2066","order":1},`+
			`{"code":"ROM","name":"Rome","order":2}]}}`,
		`{"type":"contest.define","contest_id":"D17/R","data":{"kind":"ranked","sport":"athletics","title":"Na\u2028mes",`+
			`"result_type":"TIME","unit":"s","competitors":[{"code":"1","name":"\u202eevil runner"},`+
			`{"code":"2","name":"日本太郎"},{"code":"3","name":"Rome"},{"code":"4","name":"👩‍👩‍👧 Jose\u0301"}]}}`,
		`{"type":"contest.status","contest_id":"D17/R","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		`{"type":"result.set","contest_id":"D17/R","data":{"competitor":"1","split":"finish","mark":51}}`,
		`{"type":"result.set","contest_id":"D17/R","data":{"competitor":"2","split":"finish","mark":52}}`,
		`{"type":"result.set","contest_id":"D17/R","data":{"competitor":"3","split":"finish","mark":53}}`,
		`{"type":"result.set","contest_id":"D17/R","data":{"competitor":"4","split":"finish","mark":54}}`)
	for _, line := range []string{"scores", "scores D17/A", "scores D17/R", "leaderboard D17/R"} {
		var out bytes.Buffer
		c := newLaurelCommand()
		c.SetArgs(append(strings.Fields(line), "--to", f.URL))
		c.SetOut(&out)
		if code := cli.Run(t.Context(), c); code != cli.ExitOK {
			t.Fatalf("%s: exit code %d", line, code)
		}
		text := out.String()
		for _, r := range text {
			if unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' {
				t.Errorf("%s passes on %U:\n%s", line, r, text)
			}
		}
		at := map[int]bool{}
		for l := range strings.Lines(text) {
			for _, mark := range []string{" 51 ", " 52 ", " 53 ", " 54 "} {
				if before, _, found := strings.Cut(strings.TrimRight(l, "\n")+" ", mark); found && line == "leaderboard D17/R" {
					at[textfmt.Width(before)] = true
				}
			}
		}
		if line == "leaderboard D17/R" && len(at) != 1 {
			t.Errorf("the marks begin at the cells %v of their lines; want one column:\n%s", at, text)
		}
	}
}
