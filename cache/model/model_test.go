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
	patience = 100 * time.Second // for one search; the longest was seen to take 30 s
	memory   = 3500              // MiB, for one search
	depth    = 300_000           // steps; the deepest search seen went down 13,000
)

// worlds are searched to the end. Each says more about one thing, because a world that has everything would not fit into memory.
var worlds = []struct {
	name  string
	short bool // searched with -short, too
	flags []string
}{
	{"leases that overlap", true, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=2"}},
	{"two writes", true, []string{"-DEPOCHS=2", "-DWRITES=2", "-DL=1"}},
	{"two master changes", false, []string{"-DEPOCHS=3", "-DWRITES=1", "-DL=1"}},
	{"handing over and crashes", false, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=1", "-DHANDING", "-DCRASHES"}},
}

// broken rules, each with what the world must have for it to matter.
var broken = []struct {
	rule, promise string
	short         bool
	flags         []string
}{
	{"ACKS", "release only after the acks", true, nil},
	{"WAIT", "a new master waits for the leases of the old", true, nil},
	{"SELF", "a deposed master counts itself among those that acked it", true, []string{"-DL=2"}},
	{"CHECK", "no read without a lease", false, nil},
	{"ANCHOR", "a lease counts from the ack that it answers", true, []string{"-DL=2"}},
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
			if testing.Short() && !w.short {
				t.Skip("-short: this search takes too long")
			}
			report := search(t, w.flags)
			t.Log(summary(report))
			if !strings.Contains(report, "errors: 0") {
				t.Fatalf("spin found a way to break a promise, or did not end:\n%s", report)
			}
			for _, bad := range []string{"max search depth too small", "Search not completed", "out of memory", "memory limit"} {
				if strings.Contains(report, bad) {
					t.Fatalf("the search is not complete (%s); give it more in model_test.go or make the world smaller:\n%s", bad, report)
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
			if testing.Short() && !b.short {
				t.Skip("-short: a few of the broken rules are enough")
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

// search has spin look at all that can happen in one world, and returns pan's report.
func search(t *testing.T, flags []string) string {
	t.Helper()
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			unable(t, "the model needs %s: %v; install the packages spin, gcc and libc6-dev", tool, err)
		}
	}
	// Read here, not by spin: go test keeps a result until a file changes that the test itself has opened.
	source, err := os.ReadFile("push.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "push.pml"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "spin", append(flags, "-a", "push.pml")...)
	run(t, dir, "gcc", "-O2", "-w", "-DSAFETY", "-DNOREDUCE", fmt.Sprintf("-DMEMLIM=%d", memory), "-o", "pan", "pan.c")
	return run(t, dir, "./pan", fmt.Sprintf("-m%d", depth), "-w24")
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %v did not end within %v:\n%s", name, args, patience, out)
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

// unreached lists the steps that pan's report says were never taken. The members go on for ever, so none comes to its end.
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

// unable ends a test that this machine cannot run: a skip, or a failure where everything is promised to run.
func unable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("LAUREL_CI") == "full" {
		t.Fatalf("LAUREL_CI=full: "+format, args...)
	}
	t.Skipf(format, args...)
}
