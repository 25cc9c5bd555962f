package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"laurel/fsm/archive"
	"laurel/fsm/incarnation"
)

// answersOf returns what a frontend answers to all questions about the demo's Games.
func answersOf(t *testing.T, f *frontend) map[string]string {
	t.Helper()
	answers := map[string]string{}
	for _, path := range []string{"/v1/scores?limit=1000", "/v1/medals", "/v1/medals/OG50BC", "/v1/bards/bard/cacofonix", "/v1/keys"} {
		answers[path] = eventuallyGet(t, f, path)
	}
	for _, m := range regexp.MustCompile(`"contest_id":"([^"]+)"`).FindAllStringSubmatch(answers["/v1/scores?limit=1000"], -1) {
		for _, kind := range []string{"scores/", "timeline/", "leaderboard/", "startlist/"} {
			path := "/v1/" + kind + m[1]
			answers[path] = eventuallyGet(t, f, path)
		}
	}
	return answers
}

func eventuallyGet(t *testing.T, f *frontend, path string) string {
	t.Helper()
	return settledGet(t, f.url+path).body
}

// settledGet repeats a request, as get does, and returns an answer of any status below 500.
func settledGet(t testing.TB, url string, headers ...string) (a answer) {
	t.Helper()
	eventually(t, url, func() (err error) {
		a, err = ask("GET", url, "", headers...)
		if err == nil && a.status >= 500 {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	return a
}

// ofIncarnation are the members of answers that depend on the incarnation, and ofTime those that
// also depend on when an event was applied, and with which others it was signed.
var (
	ofIncarnation = regexp.MustCompile(`"next":"[^"]*"`)
	ofTime        = regexp.MustCompile(`"(revision|voids|voided_by)":\d+|"(next|signature)":"[^"]*"`)
)

func compareAnswers(t *testing.T, got, want map[string]string, but *regexp.Regexp) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("there are %d answers; want %d", len(got), len(want))
	}
	for path, text := range want {
		if is, was := but.ReplaceAllString(got[path], ""), but.ReplaceAllString(text, ""); is != was {
			t.Errorf("%s:\ngot  %.2000s\nwant %.2000s", path, is, was)
		}
	}
}

// firstOfStream sends a request for a stream and returns its first event.
func firstOfStream(t *testing.T, f *frontend, lastID string) (event, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", f.url+"/v1/watch?scope=all", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	var resp *http.Response
	eventually(t, "a stream", func() (err error) {
		if resp, err = http.DefaultClient.Do(r); err == nil && resp.StatusCode == http.StatusServiceUnavailable {
			resp.Body.Close()
			err = errors.New(resp.Status)
		}
		return err
	})
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = text
		}
		if text, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			id = text
		}
		if lines.Text() == "" && id != "" && event != "" {
			return event, id
		}
	}
	t.Fatalf("the stream ended with %d: %v", resp.StatusCode, lines.Err())
	return "", ""
}

// Everything is lost but a snapshot of the first half of the Games. What is missing comes from
// the bard, which still has it.
func TestARestoredStoreAnswersAsBeforeAndTheBardBringsWhatIsMissing(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 1)
	first := g.frontends[0]
	games, err := os.ReadFile(filepath.Join(repository, "testdata", "games", "og50bc.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	all, half := filepath.Join(g.dir, "all.ndjson"), filepath.Join(g.dir, "half.ndjson")
	lines := bytes.SplitAfter(games, []byte("\n"))
	if err := errors.Join(os.WriteFile(all, games, 0o600), os.WriteFile(half, bytes.Join(lines[:len(lines)/2], nil), 0o600)); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(g.dir, "bard.key")
	mustRun(t, "bard", "key", "new", "--out", key)
	env := func(f *frontend) []string { return []string{"LAUREL_URL=" + f.url, "LAUREL_TOKEN=" + g.operator} }
	run := func(f *frontend, name string, args ...string) string {
		t.Helper()
		var r result
		eventually(t, "a frontend answers", func() error {
			if r = commandEnv(t, env(f), name, args...); r.noAnswer() {
				return errors.New(r.String())
			}
			return nil
		})
		if r.code != 0 {
			t.Fatalf("%s %s: %v", name, strings.Join(args, " "), r)
		}
		return r.out
	}
	run(first, "laurel", "access", "grant", "bard", "--role", "bard", "--key", key)
	sing := func(f *frontend, file string) {
		t.Helper()
		eventually(t, "the bard sings "+file, func() error {
			if r := commandEnv(t, []string{"LAUREL_URL=" + f.url}, "bard", "sing", "--speed", "max", "--key", key, file); r.code != 0 {
				return errors.New(r.String())
			}
			return nil
		})
	}
	sing(first, half)
	backups := filepath.Join(g.dir, "backups")
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	run(first, "laurel", "snapshot", "save", backups)
	saved, _ := filepath.Glob(filepath.Join(backups, "laurel-*-*-*.snap.gz"))
	if list, _ := os.ReadDir(backups); len(saved) != 1 || len(list) != 1 {
		t.Fatalf("saved %v", list)
	}
	before := answersOf(t, first)
	sing(first, all)
	truth := answersOf(t, first)
	_, oldID := firstOfStream(t, first, "")
	first.Kill()
	if err := os.RemoveAll(first.data); err != nil {
		t.Fatal(err)
	}

	f := g.addSecure()
	f.entry = nil
	mustRun(t, "laurel", "snapshot", "restore", saved[0], "--data", f.data, "--id", f.id, "--peer", f.peer)
	f.start().waitReady()
	token, err := os.ReadFile(filepath.Join(f.data, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	compareAnswers(t, answersOf(t, f), before, ofIncarnation)
	event, id := firstOfStream(t, f, oldID)
	if oldIncarnation, _, _ := strings.Cut(oldID, "-"); event != "snapshot" || strings.HasPrefix(id, oldIncarnation) {
		t.Errorf("a watcher with the id %s of the store before it was restored gets %s, %s", oldID, event, id)
	}
	if a, err := g.ask(f, "GET", "/v1/access", ""); err != nil || a.status != http.StatusOK {
		t.Errorf("the operator of before: %d, %v", a.status, err)
	}
	g.operator = strings.TrimSpace(string(token))
	g.secret(g.operator)
	if trail := g.must(f, "GET", "/v1/audit?limit=1000", "").body; !strings.Contains(trail, `"laurel snapshot restore"`) {
		t.Errorf("the trail does not have the restore: %s", trail)
	}
	sing(f, all)
	compareAnswers(t, answersOf(t, f), truth, ofTime)
	s, err := f.status()
	if err != nil || len(s.Frontends) != 1 || s.Frontends[0].Revision < incarnation.Jump {
		t.Errorf("the group is %+v, %v", s, err)
	}
	g.joinToken(1)
	joiner := g.addSecure()
	joiner.entry = []string{"--join", f.url}
	joiner.start().waitReady()
	compareAnswers(t, answersOf(t, joiner), truth, ofTime)
}

// Under the name of a file there is a whole snapshot or what was there before, whenever the
// command dies.
func TestAFileIsWholeOrNotThereWheneverASaveIsKilled(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	f := g.frontends[0]
	var body bytes.Buffer
	text := make([]byte, 300)
	random := rand.NewChaCha8([32]byte{1})
	for i := range byForm(3000, 3000, 10_000) {
		random.Read(text)
		fmt.Fprintf(&body, `{"id":"e%d","source":"bard/a","seq":%d,"type":"alert","time":"2026-02-09T10:00:00Z","contest_id":"G/%d","data":{"text":"%x"}}`+"\n",
			i, i+1, i%50, text)
	}
	eventually(t, "the events are there", func() error {
		a, err := ask("POST", f.url+"/v1/events", body.String(), "Content-Type", "application/x-ndjson")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	dir := t.TempDir()
	// save begins to save a file and returns when it is being written, or the process has ended.
	save := func(name string) *process {
		p := start(t, g.logs, "save-"+name, nil, program(t, "laurel"), "snapshot", "save", filepath.Join(dir, name), "--to", f.url)
		eventually(t, "the file is written", func() error {
			list, _ := filepath.Glob(filepath.Join(dir, ".laurel-snapshot-*"))
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil && len(list) == 0 && !p.Ended() {
				return errors.New("it is not there yet")
			}
			return nil
		})
		return p
	}
	whole := save("whole")
	begun := time.Now()
	<-whole.Done()
	writing := time.Since(begun)
	kills, saved := byForm(5, 20, 100), 0
	for i := range kills {
		p := save(fmt.Sprint(i))
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(2 * writing)))):
		case <-p.Done():
		}
		p.Kill()
		left, _ := filepath.Glob(filepath.Join(dir, ".laurel-snapshot-*"))
		for _, name := range left {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, fmt.Sprint(i))
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			continue
		}
		saved++
		if r := command(t, "laurel", "snapshot", "inspect", file); r.code != 0 {
			t.Errorf("killed while it was saved, the file is there: %v", r)
		}
	}
	t.Logf("a file is written in %v; of %d saves that were killed %d had made theirs", writing, kills, saved)
}

func TestAFileThatIsNoSnapshotIsNotSavedInspectedOrRestored(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	f := g.frontends[0]
	apply(t, f, alert("rain"))
	r := command(t, "laurel", "snapshot", "save", "-", "--to", f.url)
	info, err := archive.Inspect(strings.NewReader(r.out))
	if r.code != 0 || err != nil || info.Events != 1 {
		t.Fatalf("%v %v %+v", r, err, info)
	}
	dir := t.TempDir()
	file, data := filepath.Join(dir, "file"), filepath.Join(dir, "data")
	for what, content := range map[string]string{
		"truncated":         r.out[:len(r.out)-5],
		"something follows": r.out + "x",
		"not compressed":    "a text that is long enough to be anything but a snapshot",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"snapshot", "inspect", file},
			{"snapshot", "restore", file, "--data", data, "--id", "f1", "--peer", "127.0.0.1:9001"},
		} {
			if r := command(t, "laurel", args...); r.code != 1 || !strings.Contains(r.err, what) {
				t.Errorf("%s: laurel %s: %v", what, args[1], r)
			}
		}
	}
	if _, err := os.Lstat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was restored: %v", err)
	}
	if r := command(t, "laurel", "snapshot", "save", filepath.Join(dir, "none", "file"), "--to", f.url); r.code != 1 {
		t.Errorf("into a directory that is missing: %v", r)
	}
}

// A snapshot proves nothing of what frontends have certified. So nobody trusts what was made of
// it before an operator has signed that.
func TestARestoredSwornGroupIsItsOperatorsAndNobodyElses(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := &swornGroup{group: &group{t: t, dir: t.TempDir(), logs: logs(t)}}
	g.key = filepath.Join(g.dir, "getafix.key")
	public := g.cli(0, "", "operator", "key", "new", g.key)
	first := g.add()
	first.secure, first.more = true, []string{"--sworn", "--operator-key", public, "--operator-name", "getafix"}
	first.start().waitReady()
	token := g.cli(0, g.key, "access", "grant", "desk", "--role", "operator")
	file := filepath.Join(g.dir, "sworn.snap.gz")
	g.cli(0, "", "snapshot", "save", file, "--token", token)
	if told := g.cli(0, "", "snapshot", "inspect", file); !strings.Contains(told, "sworn") {
		t.Errorf("the snapshot is %s", told)
	}
	first.Kill()

	f := g.add()
	f.secure, f.entry = true, nil
	if told := g.cli(0, "", "snapshot", "restore", file, "--data", f.data, "--id", f.id, "--peer", f.peer); strings.Contains(told, "token") {
		t.Errorf("the restore of a sworn group has made a token: %s", told)
	}
	f.start().waitReady()
	own := g.cli(0, "", "roster", "key", "--data", f.data)
	roster := eventuallyGet(t, f, "/v1/roster")
	if !strings.Contains(roster, `"sworn":true`) || !strings.Contains(roster, own) || strings.Contains(roster, `"name":"f1"`) {
		t.Errorf("the roster is %s; want the restored frontend alone, with the key %s", roster, own)
	}
	if told := g.cli(1, "", "cluster", "token", "--token", token); !strings.Contains(told, "unsigned: ") {
		t.Errorf("a change by token: %s", told)
	}
	g.env = append(g.env, "LAUREL_JOIN_TOKEN="+g.cli(0, g.key, "cluster", "token"))
	next := g.add()
	next.secure, next.entry = true, []string{"--join", f.url}
	g.cli(0, g.key, "roster", "set", next.id, g.cli(0, "", "roster", "key", "--data", next.data))
	next.start().waitReady()
	eventually(t, "the new group certifies its answers", func() error {
		a, err := ask("GET", f.url+"/v1/checkpoint", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}
