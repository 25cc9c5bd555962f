package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// everyAnswer returns all answers about scores, by their URLs, without incarnations and the ids
// of tokens, which are those of a store.
func (g *secureGroup) everyAnswer() map[string]string {
	t := g.t
	t.Helper()
	f := g.frontends[0]
	all := map[string]string{}
	read := func(path string) string {
		a := g.must(f, "GET", path, "")
		all[path] = regexp.MustCompile(`"(incarnation|token)":"[^"]*",?`).ReplaceAllString(a.body, "")
		return a.body
	}
	lists := func(path string) (ids []string) {
		for next := ""; ; {
			here := path
			if next != "" {
				here += "&after=" + next
			}
			var page struct {
				Contests     []score.Record `json:"contests"`
				Scores       []score.Record `json:"scores"`
				Competitions []string       `json:"competitions"`
				Next         string         `json:"next"`
			}
			if err := json.Unmarshal([]byte(read(here)), &page); err != nil {
				t.Fatal(err)
			}
			for _, r := range append(page.Contests, page.Scores...) {
				ids = append(ids, r.ContestID)
			}
			if next = page.Next; next == "" {
				return ids
			}
		}
	}
	contests := lists("/v1/scores?limit=100")
	if len(contests) == 0 {
		t.Fatal("there is no contest")
	}
	for _, id := range contests {
		read("/v1/scores/" + id)
		lists("/v1/timeline/" + id + "?limit=500")
	}
	read("/v1/medals/OG50BC")
	return all
}

func TestAnExportedStoreIsMadeAgainFromItsEvents(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	first := newSecureGroup(t, 1)
	dir := t.TempDir()
	key := filepath.Join(dir, "bard.key")
	public := strings.TrimSpace(mustRun(t, "bard", "key", "new", "--out", key))
	with := func(g *secureGroup, name string, args ...string) result {
		t.Helper()
		env := []string{"LAUREL_URL=" + g.frontends[0].url, "LAUREL_TOKEN=" + g.operator, "LAUREL_PATIENCE=2m"}
		return commandEnv(t, env, name, args...)
	}
	must := func(g *secureGroup, name string, args ...string) result {
		t.Helper()
		o := with(g, name, args...)
		if o.code != 0 {
			t.Fatalf("%s %s: %v", name, strings.Join(args, " "), o)
		}
		return o
	}
	must(first, "laurel", "access", "grant", "bard", "--role", "bard", "--key", public)
	games := filepath.Join(repository, "testdata", "games", "og50bc.ndjson")
	must(first, "bard", "sing", "--speed", "max", "--key", key, games)
	// Some events that are not signed, and a void among them.
	first.post(first.frontends[0])
	first.post(first.frontends[0])
	first.must(first.frontends[0], "POST", "/v1/events", `{"id":"v1","source":"test/trust","seq":3,"type":"event.void",`+
		`"contest_id":"OG50BC/rain","time":"2026-07-01T12:00:00Z","data":{"voids_source":"test/trust","voids_seq":2,"reason":"dry"}}`)
	out := must(first, "laurel", "export")
	file := filepath.Join(dir, "games.snap.gz")
	must(first, "laurel", "snapshot", "save", file)
	if o := command(t, "laurel", "export", "--from", file); o != out {
		t.Errorf("the export of a file is %v\nthat of a running group %v", o, out)
	}
	exported := filepath.Join(dir, "exported.ndjson")
	if err := os.WriteFile(exported, []byte(out.out), 0o600); err != nil {
		t.Fatal(err)
	}
	want := first.everyAnswer()
	// Another store refuses them, whatever its operator permits.
	second := newSecureGroup(t, 1)
	if o := with(second, "bard", "sing", exported); o.code != 1 || !strings.Contains(o.err, "--bootstrap --lineage ") {
		t.Errorf("another store: %v", o)
	}
	lineage := regexp.MustCompile(`--lineage (\w+)`).FindStringSubmatch(with(second, "bard", "sing", exported).err)[1]
	again := startSecureGroup(1, &group{t: t, dir: t.TempDir(), logs: logs(t), env: []string{"LAUREL_LINEAGE=" + lineage}})
	if o := with(again, "bard", "sing", exported); o.code != 1 {
		t.Errorf("a store that does not know the key: %v", o)
	}
	grants := regexp.MustCompile(`(?m)^  laurel (access grant .*)$`).FindAllStringSubmatch(out.err, -1)
	if len(grants) != 1 {
		t.Fatalf("the keys of the export: %v", out)
	}
	must(again, "laurel", strings.Fields(grants[0][1])...)
	must(again, "bard", "sing", "--speed", "max", exported)
	got := again.everyAnswer()
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s:\nfirst %s\nagain %s", path, want[path], got[path])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d answers; want %d", len(got), len(want))
	}
	audit := again.must(again.frontends[0], "GET", "/v1/audit?limit=100", "")
	if audit.status != http.StatusOK || !strings.Contains(audit.body, fmt.Sprintf("the setting lineage is %s", lineage)) {
		t.Errorf("the audit trail: %d %s", audit.status, audit.body)
	}
	must(again, "laurel", "verify", "OG50BC/CUR-X-GOLD-01")
}
