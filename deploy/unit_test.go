package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const unit = "systemd/laurel-frontend.service"

func readUnit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The threshold is in tenths.
func TestTheUnitDeniesWhatAFrontendDoesNotUse(t *testing.T) {
	needs(t, "systemd-analyze")
	output(t, "systemd-analyze", "security", "--offline=true", "--threshold=15", unit)
}

// The program of the unit must exist for that: here it is the one that was built.
func TestTheUnitIsWellFormed(t *testing.T) {
	needs(t, "systemd-analyze")
	laurel, err := theRelease(t).program(t.Context(), native, "laurel")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), filepath.Base(unit))
	text := strings.Replace(readUnit(t), "ExecStart=/usr/bin/laurel ", "ExecStart="+laurel+" ", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := output(t, "systemd-analyze", "verify", "--man=no", file); out != "" {
		t.Error(out)
	}
}

// The exit codes after which a restart does not help are those of the program's own help.
func TestTheUnitRestartsAsTheProgramSays(t *testing.T) {
	help, err := theRelease(t).say(t.Context(), "laurel", "frontend", "--help")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`RestartPreventExitStatus=[\d ]*\d`)
	if want, got := codes.FindString(help), codes.FindString(readUnit(t)); got != want || want == "" {
		t.Errorf("the unit has %q, the help %q", got, want)
	}
}

func TestTheUnitSetsNothingThatAFrontendCannotLiveWith(t *testing.T) {
	for line := range strings.Lines(readUnit(t)) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key == "ProcSubset" || key == "MemoryMax" || key == "MemoryHigh" {
			t.Errorf("%s; see the comment there", line)
		}
	}
}

// Every variable that the files of the service name is one of the program.
func TestTheServiceSetsOnlyVariablesOfTheProgram(t *testing.T) {
	help, err := theRelease(t).say(t.Context(), "laurel", "frontend", "--help")
	if err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile("debian/frontend.env")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`LAUREL_[A-Z_]+`).FindAllString(readUnit(t)+string(env), -1) {
		if !strings.Contains(help, "[$"+name+"]") {
			t.Errorf("laurel frontend knows no variable %s", name)
		}
	}
}

// A frontend starts, takes a post and stops under strace. What it calls is compared with the filter of the unit.
func TestTheUnitAllowsEverySystemCallOfAFrontend(t *testing.T) {
	needs(t, "strace", "systemd-analyze")
	laurel, err := theRelease(t).program(t.Context(), native, "laurel")
	if err != nil {
		t.Fatal(err)
	}
	bard, err := theRelease(t).program(t.Context(), native, "bard")
	if err != nil {
		t.Fatal(err)
	}
	dir, addr := t.TempDir(), freePort(t)
	trace, runDir := filepath.Join(dir, "trace"), filepath.Join(dir, "run")
	c := exec.CommandContext(t.Context(), "strace", "-f", "-c", "-o", trace, laurel, "frontend", "--id", "f1", "--data",
		filepath.Join(dir, "data"), "--http", addr, "--peer", freePort(t), "--bootstrap", "--insecure", "--run-dir", runDir)
	c.WaitDelay = 10 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	await(t, "http://"+addr+"/readyz")
	output(t, bard, "sing", "--speed", "max", "--to", "http://"+addr, "../testdata/games/og50bc.ndjson")
	output(t, laurel, "stop", "frontend", "--timeout", "2m", "--run-dir", runDir)
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	counts, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	allowed := systemCalls(t)
	calls := 0
	for _, m := range regexp.MustCompile(`(?m)^ *\d+\.\d+ .* (\w+)$`).FindAllStringSubmatch(string(counts), -1) {
		if calls++; !allowed(m[1]) && m[1] != "total" {
			t.Errorf("the unit denies %s", m[1])
		}
	}
	if calls < 30 {
		t.Errorf("%d calls were counted:\n%s", calls, counts)
	}
}

// systemCalls returns whether the filter of the unit allows a call.
func systemCalls(t *testing.T) (allowed func(call string) bool) {
	t.Helper()
	sets := map[string][]string{}
	set := ""
	for line := range strings.Lines(output(t, "systemd-analyze", "syscall-filter", "--no-pager")) {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			set = name
		case strings.HasPrefix(line, " ") && !strings.HasPrefix(name, "#"):
			sets[set] = append(sets[set], name)
		}
	}
	var has func(list []string, call string) bool
	has = func(list []string, call string) bool {
		return slices.ContainsFunc(list, func(name string) bool {
			return name == call || strings.HasPrefix(name, "@") && has(sets[name], call)
		})
	}
	var allow, deny []string
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(readUnit(t), -1) {
		if m[1] == "~" {
			deny = append(deny, strings.Fields(m[2])...)
		} else {
			allow = append(allow, strings.Fields(m[2])...)
		}
	}
	if !has(allow, "openat") || !has(deny, "reboot") {
		t.Fatalf("the filter allows %v and denies %v", allow, deny)
	}
	return func(call string) bool { return has(allow, call) && !has(deny, call) }
}
