package e2e

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/ranking"
)

// athleticsOf returns the events that define a race, more being members of its definition, and
// begin it.
func athleticsOf(contest, more string) []string {
	return []string{
		fmt.Sprintf(`{"type":"contest.define","contest_id":%q,"data":{"kind":"ranked","sport":"athletics",%s}}`, contest, more),
		statusOf(contest, goesOn),
	}
}

// resultOf returns a result.set at a split; what are further members of its data.
func resultOf(contest, competitor, split, what string) string {
	return fmt.Sprintf(`{"type":"result.set","contest_id":%q,"data":{"competitor":%q,"split":%q,%s}}`, contest, competitor,
		split, what)
}

// boardCase is a race and what every frontend shows of one of its leaderboards.
type boardCase struct {
	id, query string
	events    []string
	rows      []string // rank, competitor and what follows
}

var dropouts = append(athleticsOf("D19/A", `"result_type":"TIME","unit":"s","splits":["10km","half","finish"]`),
	resultOf("D19/A", "5", "10km", `"mark":1800`), resultOf("D19/A", "1", "10km", `"mark":1700`),
	resultOf("D19/A", "6", "10km", `"mark":1750`),
	resultOf("D19/A", "5", "finish", `"mark":7400`), resultOf("D19/A", "1", "finish", `"irm":"DSQ"`),
	resultOf("D19/A", "2", "finish", `"irm":"DNF"`), resultOf("D19/A", "3", "finish", `"irm":"DNS"`),
	resultOf("D19/A", "4", "finish", `"irm":"DNF"`), resultOf("D19/A", "0", "finish", `"irm":"DSQ"`),
	resultOf("D19/A", "6", "finish", `"irm":"RET"`))

var runners = append(athleticsOf("D20/A", `"result_type":"TIME","unit":"s","splits":["10km","30km","finish"]`),
	resultOf("D20/A", "1", "10km", `"mark":1801,"category":"M"`), resultOf("D20/A", "2", "10km", `"mark":1802,"category":"M"`),
	resultOf("D20/A", "1", "30km", `"mark":6001`), resultOf("D20/A", "2", "30km", `"mark":6002`),
	resultOf("D20/A", "1", "finish", `"mark":9001,"category":"M40-49"`),
	resultOf("D20/A", "2", "finish", `"mark":9002,"category":"M40-49"`),
	resultOf("D20/A", "9", "finish", `"mark":8999,"category":"M"`), resultOf("D20/A", "2", "finish", `"irm":"DSQ"`))

var boardCases = []boardCase{
	{"D01/MAR", "", append(athleticsOf("D01/MAR", `"result_type":"TIME","unit":"min"`),
		resultOf("D01/MAR", "2888", "finish", `"mark":131.52`), resultOf("D01/MAR", "31", "finish", `"mark":130.983`),
		resultOf("D01/MAR", "7", "finish", `"mark":"2:10:59"`)),
		[]string{"1 31 2:10:58.98 0", "2 7 2:10:59 0.02", "3 2888 2:11:31.2 32.22"}},
	{"D01/SPR", "", append(athleticsOf("D01/SPR", `"result_type":"TIME","unit":"s","precision":2`),
		resultOf("D01/SPR", "1", "finish", `"mark":9.79,"place":2`), resultOf("D01/SPR", "2", "finish", `"mark":9.8`),
		resultOf("D01/SPR", "3", "finish", `"mark":9.79,"place":1`)),
		[]string{"1 3 9.79 0.00", "2 1 9.79 0.00", "3 2 9.80 0.01"}},
	{"D01/ACM", "", append(athleticsOf("D01/ACM", `"result_type":"POINTS","unit2":"minutes"`),
		resultOf("D01/ACM", "a", "finish", `"mark":9,"mark2":1021`), resultOf("D01/ACM", "b", "finish", `"mark":9,"mark2":899`)),
		[]string{"1 b 9 / 899 0", "2 a 9 / 1021 0"}},
	{"D19/A", "", dropouts, []string{"1 5 2:03:20 0", "- 6 RET", "- 2 DNF", "- 4 DNF", "- 3 DNS", "- 0 DSQ", "- 1 DSQ"}},
	{"D19/A", "split=10km", nil, []string{"1 6 29:10 RET 0", "2 5 30:00 50", "- 1 DSQ"}},
	{"D20/A", "split=30km&category=M", runners, []string{"1 1 M, M40-49 1:40:01 0", "- 2 M, M40-49 DSQ"}},
	{"D20/A", "category=M", nil, []string{"1 9 M 2:29:59 0", "2 1 M, M40-49 2:30:01 2", "- 2 M, M40-49 DSQ"}},
	{"D20/A", "category=M40-49", nil, []string{"1 1 M, M40-49 2:30:01 0", "- 2 M, M40-49 DSQ"}},
}

// textRows returns the rows of a table in text, below its headings.
func textRows(text string) (rows []string) {
	_, table, _ := strings.Cut(text, "\n\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if i > 0 {
			rows = append(rows, strings.Join(strings.Fields(line), " "))
		}
	}
	return rows
}

func TestMarksRanksAndCategoriesAreShownAlikeAtEveryFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	for i, c := range boardCases {
		for j, e := range c.events {
			apply(t, g.frontends[(i+j)%3], e)
		}
	}
	for _, f := range g.frontends {
		for _, c := range boardCases {
			address := f.url + "/v1/leaderboard/" + c.id + "?" + c.query
			if got := textRows(get(t, address, "Accept", "text/plain").body); strings.Join(got, "; ") != strings.Join(c.rows, "; ") {
				t.Errorf("%s: the board of %s %s is %q; want %q", f.id, c.id, c.query, got, c.rows)
			}
			if c.query != "" {
				continue
			}
			printed := mustRun(t, "laurel", "leaderboard", c.id, "--to", f.url)
			if got := textRows(printed); strings.Join(got, "; ") != strings.Join(c.rows, "; ") {
				t.Errorf("%s: laurel leaderboard %s prints %q; want %q", f.id, c.id, got, c.rows)
			}
		}
		page := decode[ranking.Leaderboard](t, get(t, f.url+"/v1/leaderboard/D01/MAR"))
		if page.Unit != "s" || page.Rows[2].Mark.String() != "7891.2" {
			t.Errorf("%s: the board is in %q, its last mark %s; want seconds", f.id, page.Unit, page.Rows[2].Mark)
		}
		for _, contest := range []string{"scores", "scores/D01/MAR"} {
			if text := get(t, f.url+"/v1/"+contest, "Accept", "text/plain").body; !strings.Contains(text, "2:11:31.2") {
				t.Errorf("%s: /v1/%s does not show 2:11:31.2:\n%s", f.id, contest, text)
			}
		}
	}
}

func TestIdentifiersThatPrintAlikeAreRefused(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	for _, e := range athleticsOf("D16/BIB", `"result_type":"TIME","unit":"s"`) {
		apply(t, g.frontends[0], e)
	}
	apply(t, g.frontends[0], resultOf("D16/BIB", "42", "finish", `"mark":100`))
	for competitor, why := range map[string]string{
		" 42": "a blank at an end", "42 ": "a blank at an end", "42\u200b": `U+200B, which cannot be seen: "42\u200b"`,
	} {
		p := refused(t, g.frontends[0], score.InvalidEvent, resultOf("D16/BIB", competitor, "finish", `"mark":101`))
		if p.Field != "data.competitor" || !strings.Contains(p.Detail, why) {
			t.Errorf("%q is refused with %+v; want %q", competitor, p, why)
		}
	}
	// A name that is typed or pasted in another form finds the competitor.
	apply(t, g.frontends[0], resultOf("D16/BIB", "Jos\u00e9", "finish", `"mark":102`))
	typed := g.frontends[0].url + "/v1/leaderboard/D16/BIB?around=" + url.QueryEscape("Jose\u0301")
	if l := decode[ranking.Leaderboard](t, get(t, typed)); len(l.Rows) != 2 {
		t.Errorf("around José typed with a combining accent are %+v", l.Rows)
	}
}
