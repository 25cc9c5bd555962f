package model_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	searchTimeout = 6 * time.Minute // the longest search took 30 s on one core
	searchMemory  = 3500            // MiB
	searchDepth   = 300_000         // steps; the deepest search went down 13,000
)

// full reports whether all searches run, which takes minutes: with LAUREL_CI=full, but
// without -short. Otherwise only the quick ones run.
func full() bool { return os.Getenv("LAUREL_CI") == "full" && !testing.Short() }

// worlds are the configurations of the model that are searched to the end. Each has more
// of one thing, because a world that has everything would not fit into memory.
var worlds = []struct {
	name  string
	quick bool
	flags []string
}{
	{"one write", true, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=1"}},
	{"leases that overlap", false, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=2"}},
	{"two writes", false, []string{"-DEPOCHS=2", "-DWRITES=2", "-DL=1"}},
	{"two master changes", false, []string{"-DEPOCHS=3", "-DWRITES=1", "-DL=1"}},
	{"handing over and crashes", false, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=1", "-DHANDING", "-DCRASHES"}},
}

// broken are the rules of the protocol that the model can switch off, each with what the
// world must have for the rule to matter.
var broken = []struct {
	rule, promise string
	quick         bool
	flags         []string
}{
	{"ACKS", "release only after the acks", true, nil},
	{"WAIT", "a new master waits for the leases of the old", false, nil},
	{"SELF", "a deposed master counts itself among those that acked it", false, []string{"-DL=2"}},
	{"CHECK", "no read without a lease", true, nil},
	{"ANCHOR", "a lease counts from the ack that it answers", false, []string{"-DL=2"}},
	{"EPOCH", "no cache entry survives an epoch", false, nil},
	{"GATE", "no answer above R", false, nil},
	{"UPPER", "the lease of a silent frontend is waited for", false, nil},
	{"FSM", "the master reads its cache, not its state machine", false, nil},
	{"LOAD", "a load waits for its floor", true, nil},
	{"PUT", "a load is not put under what was pushed and evicted meanwhile", false, nil},
	{"ROUND", "an ack counts only for its own round", false, []string{"-DL=2"}},
	{"SESSION", "no cache entry survives its session", false, nil},
	{"RETIRE", "voters are told to forget only when no lease is left", false, []string{"-DHANDING"}},
	{"RECALL", "a Recall does not overtake a grant", false, []string{"-DHANDING", "-DL=2"}},
	{"RETURNED", "a new grant voids an older Returned", false, []string{"-DHANDING", "-DL=2"}},
	{"RESUME", "a master that goes on after a failed hand-over needs new rounds", false, []string{"-DHANDING"}},
	{"RESTART", "a restarted voter does not say that it never acked", false, []string{"-DCRASHES"}},
}

func TestNoReadIsStaleInAnyWorldOfTheModel(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			if !full() && !w.quick {
				t.Skip("this search takes too long without LAUREL_CI=full")
			}
			report := search(t, w.flags)
			t.Log(summary(report))
			if !strings.Contains(report, "errors: 0") {
				t.Fatalf("spin found a way to break a promise, or did not end:\n%s", report)
			}
			for _, sign := range []string{
				"max search depth too small", "Search not completed", "out of memory", "memory limit",
			} {
				if strings.Contains(report, sign) {
					t.Fatalf("the search is not complete (%s); raise its limits in model_test.go, or make the world "+
						"smaller:\n%s", sign, report)
				}
			}
			for _, step := range unreached(report) {
				t.Errorf("a step of the model that never happens proves nothing: %s", step)
			}
		})
	}
}

func TestEveryBrokenRuleIsFoundInTheModel(t *testing.T) {
	for _, b := range broken {
		t.Run(b.rule, func(t *testing.T) {
			if !full() && !b.quick {
				t.Skip("this search takes too long without LAUREL_CI=full")
			}
			flags := append([]string{"-DEPOCHS=2", "-DWRITES=1", "-DBREAK_" + b.rule}, b.flags...)
			if !strings.Contains(strings.Join(flags, " "), "-DL=") {
				flags = append(flags, "-DL=1")
			}
			report := search(t, flags)
			if !regexp.MustCompile(`assertion violated \(\(?(value|lease)`).MatchString(report) {
				t.Fatalf("the rule %q is broken, and spin found nothing:\n%s", b.promise, report)
			}
		})
	}
}

// search lets spin search all that can happen in one world, and returns pan's report.
func search(t *testing.T, flags []string) string {
	t.Helper()
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			unable(t, "the model needs %s: %v; install the packages spin, gcc and libc6-dev", tool, err)
		}
	}
	// The test reads the file itself, because go test caches a result until a file
	// changes that the test has opened.
	source, err := os.ReadFile("push.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "push.pml"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "spin", append(flags, "-a", "push.pml")...)
	optimize := "-O2"
	if !full() {
		optimize = "-O1" // for a quick search the compiler takes longer than the search
	}
	memory := fmt.Sprintf("-DMEMLIM=%d", searchMemory)
	run(t, dir, "gcc", optimize, "-w", "-DSAFETY", "-DNOREDUCE", memory, "-o", "pan", "pan.c")
	return run(t, dir, "./pan", fmt.Sprintf("-m%d", searchDepth), "-w24")
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), searchTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %v did not end within %v:\n%s", name, args, searchTimeout, out)
	}
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

var (
	endState = regexp.MustCompile(`-end-`)
	place    = regexp.MustCompile(`(?m)^\s+\S*push\.pml:\d+, state \d+, .*$`)
	figures  = regexp.MustCompile(`(?m)^.*(states, stored|total actual memory usage|elapsed time|depth reached).*$`)
)

// unreached returns the steps that were never taken, according to pan's report. The
// processes of the model never end, so their end states do not count.
func unreached(report string) []string {
	var steps []string
	for _, line := range place.FindAllString(report, -1) {
		if !endState.MatchString(line) {
			steps = append(steps, strings.TrimSpace(line))
		}
	}
	return steps
}

func summary(report string) string {
	return strings.Join(strings.Fields(strings.Join(figures.FindAllString(report, -1), ";")), " ")
}

// unable ends a test that this machine cannot run. It skips the test, or fails it with
// LAUREL_CI=full, which promises that everything runs.
func unable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("LAUREL_CI") == "full" {
		t.Fatalf("LAUREL_CI=full: "+format, args...)
	}
	t.Skipf(format, args...)
}
