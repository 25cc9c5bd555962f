package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"laurel/internal/cli"
	"laurel/trust/access"
	"laurel/trust/pki"
)

func TestGrantSendsTheRequestOfItsFlags(t *testing.T) {
	const public = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for line, want := range map[string]string{
		"access grant bard/cacofonix --role bard --competition OG50BC --type alert --type score.play --rate 100": `{"name":"bard/cacofonix","role":"bard","competitions":["OG50BC"],"types":["alert","score.play"],"rate":100}`,
		"access grant obelix --role operator --expires 2030-01-01T00:00:00Z":                                     `{"name":"obelix","role":"operator","expires":"2030-01-01T00:00:00Z"}`,
		"access grant obelix --role operator --expires 2029-12-31t23:59:60z":                                     `{"name":"obelix","role":"operator","expires":"2030-01-01T00:00:00Z"}`,
		"access grant bard/a --role bard --key " + public:                                                        `{"name":"bard/a","role":"bard","public":"` + public + `"}`,
	} {
		code, out, errs, asked := run(t, answers(`{"id":"1f0c","token":"laurel-token-1.x"}`), strings.Fields(line)...)
		asked = slices.DeleteFunc(asked, func(a string) bool { return strings.HasPrefix(a, "GET ") }) // what it had before
		if want := "POST /v1/access/grants application/json " + want; code != cli.ExitOK || len(asked) != 1 ||
			asked[0] != want {
			t.Errorf("%s: exit code %d (%s), asked %q; want %q", line, code, errs, asked, want)
		}
		if out != "laurel-token-1.x\n" {
			t.Errorf("%s: said %q; want the token alone, so that a script can take it", line, out)
		}
	}
	for _, line := range []string{"access grant x", "access grant --role bard",
		"access grant x --role bard --expires yesterday", "access grant x --role bard --key nonsense"} {
		if code, _, errs, asked := run(t, answers(`{"id":"1"}`), strings.Fields(line)...); code != cli.ExitUsage ||
			len(asked) > 0 {
			t.Errorf("%s: exit code %d (%s), asked %q", line, code, errs, asked)
		}
	}
}

// A script whose variable is not set must not grant more than was meant.
func TestARestrictionWithoutAValueIsWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"access", "grant", "b", "--role", "bard", "--competition", ""},
		{"access", "grant", "b", "--role", "bard", "--type="},
		{"access", "grant", "b", "--role", "operator", "--expires", ""},
		{"access", "grant", "b", "--role", "bard", "--key", ""},
		{"cluster", "token", "--host", ""},
	} {
		code, out, errs, asked := run(t, answers(`{"id":"1f0c","token":"laurel-token-1.x"}`), args...)
		if code != cli.ExitUsage || out != "" || len(asked) > 0 || !strings.Contains(errs, "is empty") {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, asked %q", args, code, out, errs, asked)
		}
	}
}

func TestRevokeSendsNoSecret(t *testing.T) {
	bearer, join := access.NewBearerToken(), pki.NewJoinToken(strings.Repeat("0f", 32))
	for text, id := range map[string]string{
		bearer.Text(): bearer.ID, join.Text(): join.ID, "1f0c2a9b66d3e481": "1f0c2a9b66d3e481",
	} {
		code, out, errs, asked := run(t, answers(`{}`), "access", "revoke", text)
		if code != cli.ExitOK || len(asked) != 1 || !strings.HasPrefix(asked[0], "DELETE /v1/access/grants/"+id+" ") ||
			out != id+" is revoked\n" {
			t.Errorf("%s: exit code %d (%s), printed %q, asked %q", id, code, errs, out, asked)
		}
	}
}

func TestTheTokenComesFromAFlagAFileOrTheEnvironment(t *testing.T) {
	token := access.NewBearerToken()
	file := filepath.Join(t.TempDir(), "operator.token")
	if err := os.WriteFile(file, []byte(token.Text()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var heard atomic.Value // a string; a request that is answered late is sent a second time
	listen := func(w http.ResponseWriter, r *http.Request) {
		heard.Store(r.Header.Get("Authorization"))
		fmt.Fprint(w, "{}")
	}
	for _, args := range [][]string{{"access", "--token", token.Text()}, {"access", "--token", "@" + file},
		{"access"}} {
		t.Setenv("LAUREL_TOKEN", token.Text())
		heard.Store("")
		if code, _, errs, _ := run(t, listen, args...); code != cli.ExitOK || heard.Load() != "Bearer "+token.Text() {
			t.Errorf("%q: exit code %d (%s), told %q", args, code, errs, heard.Load())
		}
	}
	t.Setenv("LAUREL_TOKEN", "")
	wrong := token.Text()[:30]
	if code, _, errs, asked := run(t, listen, "access", "--token", wrong); code != cli.ExitUsage || len(asked) > 0 ||
		strings.Contains(errs, wrong) {
		t.Errorf("exit code %d, %q, asked %q", code, errs, asked)
	}
	if code, _, errs, _ := run(t, listen, "access", "--ca", file); code != cli.ExitUsage ||
		!strings.Contains(errs, "no certificate") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}
