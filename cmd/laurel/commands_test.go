package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/go-json-experiment/json"

	"laurel/internal/cli"
	"laurel/score"
)

// aGroup is the group of a frontend with a URL, as it is listed.
const aGroup = `{"master":"f1","frontends":[{"id":"f1","url":%q,"peer":"p:1","voter":true,"state":"serving"}]}`

// run runs laurel against a frontend that answers with answer, and returns the requests
// that it got. {url} in args stands for its URL.
func run(t *testing.T, answer http.HandlerFunc, args ...string) (code int, out, errs string, asked []string) {
	t.Helper()
	return runIn(t.Context(), t, answer, args...)
}

// runUntilAskedAgain is run, until the frontend is asked a second time: what it has answered was
// refused, or lost. The command ends as if its patience had passed.
func runUntilAskedAgain(
	t *testing.T, answer http.HandlerFunc, args ...string,
) (code int, out, errs string, asked []string) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var times atomic.Int32
	return runIn(ctx, t, func(w http.ResponseWriter, r *http.Request) {
		if times.Add(1) > 1 {
			cancel(context.DeadlineExceeded)
		}
		answer(w, r)
	}, args...)
}

func runIn(
	ctx context.Context, t *testing.T, answer http.HandlerFunc, args ...string,
) (code int, out, errs string, asked []string) {
	t.Helper()
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/frontends" { // the client reads the list of frontends by itself
			fmt.Fprintf(w, aGroup, "http://"+r.Host)
			return
		}
		body := new(bytes.Buffer)
		_, _ = body.ReadFrom(r.Body)
		mu.Lock()
		asked = append(asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(),
			r.Header.Get("Accept"), body)))
		mu.Unlock()
		answer(w, r)
	}))
	defer s.Close()
	t.Setenv("LAUREL_URL", s.URL)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{url}", s.URL)
	}
	var o, e bytes.Buffer
	c := newLaurelCommand()
	c.SetArgs(args)
	c.SetOut(&o)
	c.SetErr(&e)
	code = cli.Run(ctx, c)
	s.Close() // a request that the command has given up may only come now
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
		"cluster leave f3":           "DELETE /v1/cluster/members/f3 application/json",
		"cluster leave f3 --force":   "DELETE /v1/cluster/members/f3?force=true application/json",
		"cluster transfer":           `POST /v1/cluster/transfer application/json {"to":""}`,
		"cluster settings":           "GET /v1/cluster/settings text/plain",
		"cluster drain f2":           `POST /v1/cluster/drain application/json {"id":"f2","undo":false}`,
		"cluster drain f2 --undo":    `POST /v1/cluster/drain application/json {"id":"f2","undo":true}`,
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

func TestStatusOfAGroupWithoutAMasterIsAFailure(t *testing.T) {
	const table = "mode push, epoch 3, there is no master"
	answer := func(master string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") == "text/plain" {
				fmt.Fprintln(w, table)
				return
			}
			fmt.Fprintf(w, `{"mode":"push","master":%q}`, master)
		}
	}
	for _, args := range [][]string{{"cluster", "status"}, {"cluster", "status", "--json"}} {
		for master, want := range map[string]int{"f1": cli.ExitOK, "": cli.ExitFailed} {
			code, out, errs, _ := run(t, answer(master), args...)
			if code != want || (want == cli.ExitFailed) != strings.Contains(errs, "the group has no master") {
				t.Errorf("%q, master %q: exit code %d, stderr %q; want %d", args, master, code, errs, want)
			}
			if shown := fmt.Sprintf(`{"mode":"push","master":%q}`, master); len(args) == 3 && out != shown+"\n" ||
				len(args) == 2 && !strings.HasPrefix(out, table+"\n\nReaders see") {
				t.Errorf("%q, master %q: stdout %q", args, master, out)
			}
		}
	}
	if code, _, errs, _ := run(t, answers("<html>"), "cluster", "status"); code != cli.ExitFailed {
		t.Errorf("exit code %d, stderr %q for an answer that is none", code, errs)
	}
}

func TestChangesThatChangeNothingSayThat(t *testing.T) {
	const public = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	id := score.KeyID(make([]byte, 32))
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/cluster/settings":
			fmt.Fprint(w, `{"settings":[{"name":"cache_mode","value":"push"},{"name":"private","value":"true"}]}`)
		case "GET /v1/access":
			fmt.Fprintf(w, `{"grants":[{"id":%q,"name":"bard/a","role":"bard","public":%q,"competitions":["A"]}]}`,
				id, public)
		case "POST /v1/access/grants":
			fmt.Fprintf(w, `{"id":%q}`, id)
		default:
			fmt.Fprint(w, "{}")
		}
	}
	for line, want := range map[string]string{
		"cluster set private=true cache_mode=pull":                 "private is true already\ncache_mode is pull\n",
		"cluster transfer f1":                                      "f1 is the master already\n",
		"cluster drain f2":                                         "f2 is draining; stop it when it has no watchers in laurel cluster status\n",
		"cluster drain f2 --undo":                                  "f2 is not draining any more\n",
		"cluster transfer f2":                                      "leadership was transferred to f2\n",
		"cluster join --id f1 --peer p:1 --url {url}":              "f1 was in the group already, ",
		"cluster join --id f1 --peer p:1 --url {url}/":             "f1 was in the group already, ",
		"cluster join --id f1 --peer p:2 --url {url}":              "f1 is in the group\n",
		"cluster join --id f1 --peer p:1 --url http://h:2":         "f1 is in the group; clients are told its own ",
		"cluster join --id f2 --peer p:1 --url {url}":              "f2 is in the group\n",
		"access grant bard/a --role bard --competition A":          "bard/a has the role bard by the key " + id + " already\n",
		"access grant bard/a --role bard":                          "bard/a has the role bard by the key " + id + "\n",
		"access grant bard/b --role bard --competition A":          "bard/b has the role bard by the key " + id + "\n",
		"access grant bard/a --role reader --competition A":        "bard/a has the role reader by the key " + id + "\n",
		"access grant bard/a --role bard --competition A,B":        "bard/a has the role bard by the key " + id + "\n",
		"access grant bard/a --role bard --competition A --rate 1": "bard/a has the role bard by the key " + id + "\n",
	} {
		args := strings.Fields(line)
		if args[1] == "grant" {
			args = append(args, "--key", public)
		}
		if code, out, errs, _ := run(t, answer, args...); code != cli.ExitOK || !strings.HasPrefix(out, want) {
			t.Errorf("laurel %s: exit code %d, stdout %q, stderr %q; want %q", line, code, out, errs, want)
		}
	}
}

func TestWhatAFrontendAnswersDoesNotDriveTheTerminal(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e"
	quoted := `"` + `\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e` + "\u202e\u009b" + `"`
	body := `{"master":"f1","token":` + quoted + `,"id":` + quoted + `,"key_holders":["f3"],"next":"",` +
		`"settings":[{"name":"lineage","value":"gaul"}],"keys":[],"events":[{"revision":1,"contest_id":` + quoted +
		`,"source":` + quoted + `,"id":` + quoted + `,"token":` + quoted + `,"type":` + quoted + `,"data":{}}]}`
	for name, answer := range map[string]http.HandlerFunc{
		"text": answers(evil + "\n"), "JSON": answers(body),
		"problem": answersProblem(409, "conflict\u202e", "no\x1b[2J\u009b\u202e"),
		"page":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); fmt.Fprint(w, evil) },
	} {
		for _, line := range []string{"scores", "scores --json", "medals A", "leaderboard A/1", "access", "audit --json",
			"cluster status", "cluster status --json", "cluster settings", "cluster token", "cluster ca", "cluster leave f3",
			"cluster transfer f2", "cluster set a=b", "access grant a --role bard", "access revoke x", "verify A/1",
			"watch A/1", "client --duration 1s --count 1"} {
			args := append(strings.Fields(line), "--patience", "200ms")
			code, out, errs, _ := run(t, answer, args...)
			if i := strings.IndexFunc(out+errs, drives); i >= 0 {
				t.Errorf("%s: laurel %s: exit code %d, stdout %q, stderr %q", name, line, code, out, errs)
			}
		}
	}
	_, out, _, _ := run(t, answers(body), "scores", "--json")
	var sent, got any
	if err := errors.Join(json.Unmarshal([]byte(body), &sent), json.Unmarshal([]byte(out), &got)); err != nil ||
		!reflect.DeepEqual(sent, got) {
		t.Errorf("the JSON became %q (%v)", out, err)
	}
}

// drives reports whether a terminal does something else at r than to show it.
func drives(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

func TestWrongUsageSendsNoRequest(t *testing.T) {
	t.Setenv("LAUREL_ID", "f1")
	for _, line := range []string{"scores A/1 --sport s", "scores A/1 B/1", "medals", "leaderboard",
		"leaderboard A/1 --after 1,a --around b", "cluster leave", "cluster join --peer p:1 --url http://h:2",
		"cluster join --id f4", "cluster join --id f4 --peer p:1 --url h:2", "cluster join --id f4 --peer p:1 --url h",
		"cluster join --id f4 --peer p:1 --url ftp://h", "cluster transfer a b", "cluster set", "cluster set private", "cluster set =x",
		"scores A/1 --verify=now", "scores A/1 --verify=soon --policy x", "scores A/1 --verify=now --policy /no/such/file"} {
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
		!strings.Contains(errs, "remove f2: status_conflict: without f2 a single loss stops the group; use force") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	if len(asked) != 1 {
		t.Errorf("asked %q; want no request about f3", asked)
	}
}

func TestAChangeWhoseAnswerIsLostIsNotReportedAsNotDone(t *testing.T) {
	lost := func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			panic(http.ErrAbortHandler)
		}
	}
	for _, line := range []string{"cluster leave f2", "access revoke 1f0c"} {
		code, out, errs, _ := runUntilAskedAgain(t, lost, strings.Fields(line)...)
		if code != cli.ExitFailed || out != "" || strings.Contains(errs, "was not") ||
			!strings.Contains(errs, "outcome_unknown") {
			t.Errorf("laurel %s: exit code %d, stdout %q, stderr %q", line, code, out, errs)
		}
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
	code, out, errs, asked := run(t, answers("{}"), "cluster", "set", "cache_mode=push", "a/b=c=d")
	want := []string{"GET /v1/cluster/settings application/json",
		`PUT /v1/cluster/settings/cache_mode application/json {"value":"push"}`,
		`PUT /v1/cluster/settings/a/b application/json {"value":"c=d"}`}
	if code != cli.ExitOK || out != "cache_mode is push\na/b is c=d\n" || !slices.Equal(asked, want) {
		t.Errorf("exit code %d, stdout %q, stderr %q, asked %q", code, out, errs, asked)
	}
	refused := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, "{}")
			return
		}
		answersProblem(400, "invalid_event", "there is no setting crown")(w, r)
	}
	code, out, errs, asked = run(t, refused, "cluster", "set", "crown=1", "private=true")
	if code != cli.ExitFailed || out != "" || len(asked) != 2 ||
		!strings.Contains(errs, "change crown: invalid_event: there is no setting crown") {
		t.Errorf("exit code %d, stdout %q, stderr %q, asked %q", code, out, errs, asked)
	}
}
