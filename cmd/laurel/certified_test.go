package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"laurel/internal/cli"
	"laurel/internal/testwitness"
	"laurel/witness"
)

// certifiedGames returns a group that certifies a contest and a medal table, and sets the policy
// and the cache directory of the user.
func certifiedGames(t *testing.T) *testwitness.Group {
	t.Helper()
	g := testwitness.New(t, "games")
	g.Certify(map[string]string{
		"scores/A/1": `{"contest_id":"A/1","revision":7,"title":"Stones"}` + "\n",
		"medals/A":   `{"competition":"A","revision":8,"rows":[]}` + "\n",
	})
	file := filepath.Join(t.TempDir(), "policy")
	text, err := g.Policy.Sign(witnessKey(t, "getafix", 9))
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAUREL_POLICY", file)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return g
}

func TestACertifiedAnswerIsPrintedWithWhoHasSignedIt(t *testing.T) {
	g := certifiedGames(t)
	who := regexp.MustCompile(`^certified by f1, f2, f3, f4, round 1, as of \d\d:\d\d:\d\d\n$`)
	for line, want := range map[string]string{
		"scores A/1 --verify":                    "Stones",
		"scores A/1 --verify=certificate --json": `{"contest_id":"A/1","revision":7,"title":"Stones"}` + "\n",
		"medals A --verify --json":               `{"competition":"A","revision":8,"rows":[]}` + "\n",
	} {
		code, out, errs, _ := run(t, g.ServeHTTP, strings.Fields(line)...)
		if code != cli.ExitOK || !strings.Contains(out, want) || !who.MatchString(errs) {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "laurel", "games.seen")); err != nil {
		t.Error(err)
	}
}

func TestWhatIsProvenToBeMissingIsRefused(t *testing.T) {
	g := certifiedGames(t)
	code, out, errs, _ := run(t, g.ServeHTTP, "scores", "A/2", "--verify")
	if code != cli.ExitFailed || out != "" || !strings.Contains(errs, "certified by f1") || !strings.Contains(errs, "not_found") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestWithoutACertificateNothingIsPrinted(t *testing.T) {
	g := certifiedGames(t)
	liar := testwitness.New(t, "rome")
	liar.Certify(map[string]string{"scores/A/1": `{"contest_id":"A/1","revision":9}`})
	for what, c := range map[string]struct {
		answer http.HandlerFunc
		line   string
		code   int
		told   string
	}{
		"another group": {liar.ServeHTTP, "scores A/1 --verify", cli.ExitUnreachable, "nothing that can be verified"},
		"no proof":      {answers(`{"answer":"{}","proof":""}`), "scores A/1 --verify", cli.ExitUnreachable, "malformed"},
		"a refusal": {answersProblem(404, "not_found", "not sworn"), "medals A --verify",
			cli.ExitUnreachable, "not sworn"},
		"a list":        {g.ServeHTTP, "scores --verify", cli.ExitUsage, "--verify=now"},
		"ranks":         {g.ServeHTTP, "leaderboard A/1 --verify", cli.ExitUsage, "--verify=now"},
		"a row":         {g.ServeHTTP, "medals A GAU --verify", cli.ExitUsage, "--verify=now"},
		"a misspelling": {g.ServeHTTP, "scores A/1 --verify=not", cli.ExitUsage, "--verify"},
	} {
		code, out, errs, _ := runUntilAskedAgain(t, c.answer, strings.Fields(c.line)...)
		if code != c.code || out != "" || !strings.Contains(errs, c.told) {
			t.Errorf("%s: exit code %d\n%s%s", what, code, out, errs)
		}
	}
	t.Setenv("LAUREL_POLICY", "")
	if code, out, errs, asked := run(t, g.ServeHTTP, "scores", "A/1", "--verify"); code != cli.ExitUsage || out != "" || len(asked) > 0 {
		t.Errorf("without a policy: exit code %d, asked %q\n%s%s", code, asked, out, errs)
	}
}

func TestAForkEndsWithBothNotesAndTheyConvict(t *testing.T) {
	g := certifiedGames(t)
	if code, _, errs, _ := run(t, g.ServeHTTP, "scores", "A/1", "--verify"); code != cli.ExitOK {
		t.Fatal(errs)
	}
	other := testwitness.New(t, "games")
	other.Certify(map[string]string{"scores/A/1": `{"contest_id":"A/1","revision":9}`})
	code, out, errs, _ := run(t, other.ServeHTTP, "scores", "A/1", "--verify")
	if code != cli.ExitFork || out != "" || strings.Count(errs, "laurel/games\n  1\n") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	files, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "laurel", "fork-*.txt"))
	if err != nil || len(files) != 1 || !strings.Contains(errs, files[0]) {
		t.Fatalf("the evidence is in %q, %v\n%s", files, err, errs)
	}
	code, out, errs, asked := run(t, g.ServeHTTP, "verify", "--evidence", files[0])
	for _, f := range g.Policy.Frontends {
		if !strings.Contains(out, f.Name+" is convicted: it has signed two roots of round 1 of the store games\n") {
			t.Errorf("%s is not convicted:\n%s", f.Name, out)
		}
	}
	if code != cli.ExitOK || len(asked) > 0 {
		t.Errorf("exit code %d, asked %q\n%s", code, asked, errs)
	}
}

func TestWhatIsNoEvidenceConvictsNobody(t *testing.T) {
	g := certifiedGames(t)
	note, _, err := g.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	stranger := testwitness.New(t, "rome")
	stranger.Certify(nil)
	foreign, _, err := stranger.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for what, notes := range map[string][]byte{
		"one note":           note,
		"the same note":      witness.JoinNotes(note, note),
		"of another store":   witness.JoinNotes(note, foreign),
		"three notes":        witness.JoinNotes(note, note, note),
		"nothing":            nil,
		"no notes":           []byte("f2 did it\n\nreally\n\nf2 did\n\nit\n"),
		"a note that is cut": witness.JoinNotes(note, note[:len(note)/2]),
	} {
		file := filepath.Join(t.TempDir(), "evidence")
		if err := os.WriteFile(file, notes, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, _, _ := run(t, g.ServeHTTP, "verify", "--evidence", file); code != cli.ExitFailed || out != "" {
			t.Errorf("%s: exit code %d\n%s", what, code, out)
		}
	}
}

func TestAWatchThatIsVerifiedIsOfWhatIsNamed(t *testing.T) {
	g := certifiedGames(t)
	for _, line := range []string{
		"", "--all", "--competition A", "A/1 --timeline A/1", "A/1 --leaderboard A/1", "--leaderboard A/1",
	} {
		code, out, errs, asked := run(t, g.ServeHTTP, append(strings.Fields("watch --verify "+line), "--patience", "1s")...)
		if code != cli.ExitUsage || out != "" || len(asked) > 0 {
			t.Errorf("watch %s: exit code %d, asked %q\n%s%s", line, code, asked, out, errs)
		}
	}
	if code, _, errs, _ := run(t, g.ServeHTTP, "watch", "A/1", "--verify=now"); code != cli.ExitUsage {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}
