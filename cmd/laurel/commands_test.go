package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"laurel/internal/cli"
)

// run runs laurel against a frontend that answers with answer, and returns the requests
// that it got.
func run(t *testing.T, answer http.HandlerFunc, args ...string) (code int, out, errs string, asked []string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/frontends" {
			http.NotFound(w, r) // the client reads the list of frontends by itself
			return
		}
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		asked = append(asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(),
			r.Header.Get("Accept"), body)))
		answer(w, r)
	}))
	defer s.Close()
	t.Setenv("LAUREL_URL", s.URL)
	var o, e bytes.Buffer
	c := newLaurelCommand()
	c.SetArgs(args)
	c.SetOut(&o)
	c.SetErr(&e)
	code = cli.Run(t.Context(), c)
	return code, o.String(), e.String(), asked
}

func answers(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func answersProblem(status int, code, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":%q}`, status, code, detail)
	}
}

func TestCommandsSendTheRequestOfTheirArguments(t *testing.T) {
	for line, want := range map[string]string{
		"scores":                                      "GET /v1/scores text/plain",
		"scores OG50BC/CUR-M-GPA-01":                  "GET /v1/scores/OG50BC/CUR-M-GPA-01 text/plain",
		"scores OG50BC/CUR-M-GPA-01 --json":           "GET /v1/scores/OG50BC/CUR-M-GPA-01 application/json",
		"scores --competition A --limit 5":            "GET /v1/scores?competition=A&limit=5 text/plain",
		"scores --sport s --status RUNNING":           "GET /v1/scores?sport=s&status=RUNNING text/plain",
		"scores --competitor GAU --after x":           "GET /v1/scores?after=x&competitor=GAU text/plain",
		"medals OG50BC":                               "GET /v1/medals/OG50BC text/plain",
		"medals OG50BC Britain/of?old":                "GET /v1/medals/OG50BC/Britain%2Fof%3Fold text/plain",
		"leaderboard OG50BC/MAR":                      "GET /v1/leaderboard/OG50BC/MAR text/plain",
		"leaderboard OG50BC/MAR --json --around 2888": "GET /v1/leaderboard/OG50BC/MAR?around=2888 application/json",
		"leaderboard A/1 --split 10km --category W --limit 5 --after 1.5,7": "GET /v1/leaderboard/A/1?after=1.5%2C7&category=W&limit=5&split=10km text/plain",
		"access":                     "GET /v1/access text/plain",
		"access --json":              "GET /v1/access application/json",
		"audit --after 12 --limit 5": "GET /v1/audit?after=12&limit=5 text/plain",
		"access revoke 1f0c":         "DELETE /v1/access/grants/1f0c application/json",
		"cluster status":             "GET /v1/cluster text/plain",
		"cluster leave f3":           "DELETE /v1/cluster/members/f3 application/json",
		"cluster leave f3 --force":   "DELETE /v1/cluster/members/f3?force=true application/json",
		"cluster transfer":           `POST /v1/cluster/transfer application/json {"to":""}`,
		"cluster settings":           "GET /v1/cluster/settings text/plain",
		"cluster set private=true":   `PUT /v1/cluster/settings/private application/json {"value":"true"}`,
		"cluster set a/b=c=d":        `PUT /v1/cluster/settings/a/b application/json {"value":"c=d"}`,
		"cluster transfer f2":        `POST /v1/cluster/transfer application/json {"to":"f2"}`,
		"cluster join --id f4 --peer p:1 --url http://h:2":               `POST /v1/cluster/members application/json {"id":"f4","peer":"p:1","url":"http://h:2","voter":true,"instance":""}`,
		"cluster join --id f4 --peer p:1 --url http://h:2 --voter=false": `POST /v1/cluster/members application/json {"id":"f4","peer":"p:1","url":"http://h:2","voter":false,"instance":""}`,
	} {
		t.Run(line, func(t *testing.T) {
			code, out, errs, asked := run(t, answers("{}"), strings.Fields(line)...)
			if code != cli.ExitOK || len(asked) != 1 || asked[0] != want {
				t.Errorf("exit code %d, asked %q, stderr %q; want %q", code, asked, errs, want)
			}
			if out == "" || out[len(out)-1] != '\n' {
				t.Errorf("stdout is %q; want a whole line", out)
			}
		})
	}
}

func TestWrongUsageSendsNoRequest(t *testing.T) {
	t.Setenv("LAUREL_ID", "f1")
	for _, line := range []string{"scores A/1 --sport s", "scores A/1 B/1", "medals", "leaderboard",
		"leaderboard A/1 --after 1,a --around b", "cluster leave", "cluster join --peer p:1 --url http://h:2",
		"cluster join --id f4", "cluster join --id f4 --peer p:1 --url h:2", "cluster join --id f4 --peer p:1 --url h",
		"cluster join --id f4 --peer p:1 --url ftp://h", "cluster transfer a b", "cluster set", "cluster set private", "cluster set =x"} {
		if code, _, errs, asked := run(t, answers("{}"), strings.Fields(line)...); code != cli.ExitUsage ||
			len(asked) > 0 {
			t.Errorf("laurel %s: exit code %d, asked %q, stderr %q; want wrong usage", line, code, asked, errs)
		}
	}
}

func TestARefusedLeaveSaysWhyAndEndsThere(t *testing.T) {
	answer := answersProblem(409, "status_conflict", "without f2 a single loss stops the group; use force")
	code, _, errs, asked := run(t, answer, "cluster", "leave", "f2", "f3")
	if code != cli.ExitFailed ||
		!strings.Contains(errs, "f2 was not removed: status_conflict: without f2 a single loss stops the group; use force") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	if len(asked) != 1 {
		t.Errorf("asked %q; want no request about f3", asked)
	}
}

func TestAVoteThatCannotBeTakenAwayIsWrongUsage(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"status":409,"code":"status_conflict","detail":"\"f3\" has a vote","field":"voter"}`)
	}
	args := strings.Fields("cluster join --id f3 --peer p:1 --url http://h:2 --voter=false")
	code, out, errs, _ := run(t, answer, args...)
	if code != cli.ExitUsage || out != "" || !strings.Contains(errs, `--voter=false: status_conflict: voter: "f3" has a vote`) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	code, out, _, _ = run(t, answersProblem(409, "status_conflict", "no"), args...)
	if code != cli.ExitFailed || out != "" {
		t.Errorf("another refusal: exit code %d, stdout %q", code, out)
	}
}

func TestAProblemIsPrintedAsTheFrontendDescribesIt(t *testing.T) {
	code, _, errs, _ := run(t, answersProblem(404, "not_found", `there is no contest "A/1"`), "scores", "A/1")
	if code != cli.ExitFailed || errs != "laurel: not_found: there is no contest \"A/1\"\n" {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

func TestNoReachableFrontendHasItsOwnExitCode(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	if code, _, errs, _ := run(t, answers(""), "scores", "--to", s.URL,
		"--patience", "100ms"); code != cli.ExitUnreachable || !strings.Contains(errs, s.URL) {
		t.Errorf("exit code %d, stderr %q; want %d and the URL", code, errs, cli.ExitUnreachable)
	}
}

func TestSettingsAreChangedOneAfterTheOther(t *testing.T) {
	code, out, errs, asked := run(t, answers("{}"), "cluster", "set", "cache_mode=push", "private=true")
	if code != cli.ExitOK || out != "cache_mode is push\nprivate is true\n" || len(asked) != 2 {
		t.Errorf("exit code %d, stdout %q, stderr %q, asked %q", code, out, errs, asked)
	}
	refused := answersProblem(400, "invalid_event", "there is no setting crown")
	code, out, errs, asked = run(t, refused, "cluster", "set", "crown=1", "private=true")
	if code != cli.ExitFailed || out != "" || len(asked) != 1 ||
		!strings.Contains(errs, "crown was not changed: invalid_event: there is no setting crown") {
		t.Errorf("exit code %d, stdout %q, stderr %q, asked %q", code, out, errs, asked)
	}
}
