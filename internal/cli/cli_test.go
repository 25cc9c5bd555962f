package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/score"
)

// program returns a command with a subcommand sing, which has flags of each kind and ends
// with err, and a subcommand cluster status.
func program(err error) (root *cobra.Command, got *Target, id *string) {
	root = &cobra.Command{Use: "laurel"}
	run := func(*cobra.Command, []string) error { return err }
	sing := &cobra.Command{Use: "sing FILE", Args: cobra.ExactArgs(1), RunE: run}
	sing.Flags().String("typed", "", "typed")
	NoEnvironment(sing.Flags())
	got = AddRequestTarget(sing)
	id = sing.Flags().String("event-id", "", "id")
	if err := sing.MarkFlagRequired("event-id"); err != nil {
		panic(err)
	}
	cluster := &cobra.Command{Use: "cluster"}
	cluster.AddCommand(&cobra.Command{Use: "status", RunE: run})
	root.AddCommand(sing, cluster)
	return root, got, id
}

func run(root *cobra.Command, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&o)
	root.SetErr(&e)
	code = Run(context.Background(), root)
	return code, o.String(), e.String()
}

func TestEachKindOfErrorHasItsExitCode(t *testing.T) {
	complete := []string{"sing", "f", "--event-id", "x"}
	gap := score.Problemf(score.SeqGap, "got 7")
	unreachable := &client.UnreachableError{Err: errors.New("refused")}
	for name, c := range map[string]struct {
		err  error
		args []string
		want int
		says string
	}{
		"done":                         {nil, complete, ExitOK, ""},
		"refused":                      {gap, complete, ExitFailed, "laurel: seq_gap: got 7\n"},
		"usage found by the command":   {Usagef("no such speed"), complete, ExitUsage, "Run 'laurel sing --help'"},
		"unreachable":                  {unreachable, complete, ExitUnreachable, ""},
		"a code of its own":            {&ExitError{ExitRemoved, errors.New("removed")}, complete, ExitRemoved, ""},
		"missing argument":             {nil, []string{"sing", "--event-id", "x"}, ExitUsage, "accepts 1 arg(s)"},
		"missing flag":                 {nil, []string{"sing", "f"}, ExitUsage, "event-id"},
		"unknown flag":                 {nil, []string{"sing", "f", "--loud"}, ExitUsage, "--loud"},
		"unknown command":              {nil, []string{"dance"}, ExitUsage, `unknown command "dance"`},
		"unknown command of a command": {nil, []string{"cluster", "dance"}, ExitUsage, `unknown command "dance"`},
		"no command":                   {nil, nil, ExitOK, ""},
		"help":                         {nil, []string{"cluster", "status", "--help"}, ExitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root, _, _ := program(c.err)
			code, _, errs := run(root, c.args...)
			if code != c.want || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, stderr %q; want %d and %q", code, errs, c.want, c.says)
			}
		})
	}
}

func TestNothingThatACommandPrintsDrivesATerminal(t *testing.T) {
	root, _, _ := program(nil)
	shout := &cobra.Command{Use: "shout", RunE: func(cmd *cobra.Command, _ []string) error {
		fmt.Fprintln(cmd.OutOrStdout(), "GAU \x1b[2J\u202e1")
		cmd.PrintErrln("trouble \u009b31m")
		return errors.New("refused: \x1b]0;owned\x07\nlaurel: all is well")
	}}
	root.AddCommand(shout)
	code, out, errs := run(root, "shout")
	if code != ExitFailed || out != `GAU \u001b[2J\u202e1`+"\n" ||
		errs != `trouble \u009b31m`+"\n"+`laurel: refused: \u001b]0;owned\u0007`+"\n  laurel: all is well\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	// The command line itself, which a web page may have suggested.
	if _, _, errs := run(root, "\x1b[2J"); strings.Contains(errs, "\x1b") {
		t.Errorf("stderr %q", errs)
	}
}

func TestOnlyATerminalIsDrawnOn(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, out := range []io.Writer{new(bytes.Buffer), file, printer{file}, printer{new(bytes.Buffer)}} {
		if f, ok := Terminal(out); ok {
			t.Errorf("%T is taken for the terminal %v", out, f)
		}
	}
	if f, _ := Terminal(printer{file}); f != file {
		t.Error("the file behind the output of a command is not found")
	}
}

func TestFlagsComeFromTheEnvironmentUnlessGiven(t *testing.T) {
	t.Setenv("LAUREL_URL", "http://a:1,http://b:2")
	t.Setenv("LAUREL_EVENT_ID", "from-environment")
	t.Setenv("LAUREL_PATIENCE", "")
	t.Setenv("LAUREL_TYPED", "never")
	root, to, id := program(nil)
	if code, _, errs := run(root, "sing", "f"); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if strings.Join(to.URLs, " ") != "http://a:1 http://b:2" || *id != "from-environment" ||
		to.Patience != client.DefaultTimeout {
		t.Errorf("got %+v and id %q", to, *id)
	}
	sing, _, err := root.Find([]string{"sing"})
	if err != nil {
		t.Fatal(err)
	}
	if got := sing.Flags().Lookup("typed").Value.String(); got != "" {
		t.Errorf("a flag that must be typed became %q", got)
	}
	root, to, id = program(nil)
	run(root, "sing", "f", "--to", "http://c:3", "--event-id", "typed")
	if strings.Join(to.URLs, " ") != "http://c:3" || *id != "typed" {
		t.Errorf("typed, got %+v and id %q", to, *id)
	}
}

func TestAnInvalidVariableIsWrongUsageAndNamed(t *testing.T) {
	t.Setenv("LAUREL_PATIENCE", "soon")
	root, _, _ := program(nil)
	code, _, errs := run(root, "sing", "f", "--event-id", "x")
	if code != ExitUsage || !strings.Contains(errs, "LAUREL_PATIENCE") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
}

func TestHelpNamesTheVariableOfEachFlagOnce(t *testing.T) {
	root, _, _ := program(nil)
	_, out, _ := run(root, "sing", "--help")
	for _, v := range []string{"[$LAUREL_URL]", "[$LAUREL_PATIENCE]", "[$LAUREL_EVENT_ID]"} {
		if strings.Count(out, v) != 1 {
			t.Errorf("help has %s %d times; want once:\n%s", v, strings.Count(out, v), out)
		}
	}
	if strings.Contains(out, "LAUREL_TYPED") {
		t.Errorf("help names a variable for a flag that has none:\n%s", out)
	}
}

func TestAnEmptyFileIsNoToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "operator.token")
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := Target{URLs: []string{DefaultURL}, Patience: 1, token: "@" + file}
	if _, err := to.Client(); exitCode(err) != ExitUsage || !strings.Contains(err.Error(), file+" is empty") {
		t.Errorf("got %v; want wrong usage that names the file", err)
	}
	to.token = ""
	c, err := to.Client()
	if err != nil {
		t.Fatalf("without a token: %v", err)
	}
	c.Close()
}

func TestAnInvalidAddressIsWrongUsage(t *testing.T) {
	for _, to := range []Target{
		{URLs: []string{"ftp://x"}, Patience: 1},
		{URLs: nil, Patience: 1},
		{URLs: []string{DefaultURL}},
	} {
		_, err := to.Client()
		if e, ok := errors.AsType[*ExitError](err); !ok || e.Code != ExitUsage {
			t.Errorf("%+v: got %v; want wrong usage", to, err)
		}
	}
}

func TestTheVersionNamesReleaseAndCommit(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "c15d7b5e4f2a0123456789abcdef0123456789ab"}
	changed := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for want, settings := range map[string][]debug.BuildSetting{
		Release:                            nil,
		Release + "+c15d7b5e4f2a":          {commit, {Key: "vcs.modified", Value: "false"}},
		Release + "+c15d7b5e4f2a.modified": {changed, commit},
	} {
		if got := version(settings); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
	if changes, err := os.ReadFile("../../CHANGELOG.md"); err != nil || !strings.Contains(string(changes), Release) {
		t.Errorf("the changelog does not name release %s (%v)", Release, err)
	}
}
