// Package spin lets spin search a Promela model exhaustively, in tests.
package spin

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

	"laurel/internal/checked"
)

const (
	searchTimeout = 6 * time.Minute // the longest search took 30 s on one core
	searchMemory  = 3500            // MiB
	searchDepth   = 300_000         // steps; the deepest search went down 13,000
)

// searchedFile has the digests of the files of a model, and of this one, when it was searched whole.
const searchedFile = "searched.sha256"

// TakesMinutes skips the test unless the model is searched whole: with LAUREL_LONG=1, and with
// LAUREL_CI=full if it is another one than was searched whole already, because what comes of a
// search depends on the model and on how it is searched alone.
func TakesMinutes(t *testing.T) {
	t.Helper()
	if !whole() {
		t.Skip("this search takes long, and the model is the one of " + searchedFile + ", which was searched; " +
			"LAUREL_LONG=1 searches it again")
	}
}

func whole() bool {
	full := os.Getenv("LAUREL_CI") == "full" && !testing.Short()
	return os.Getenv("LAUREL_LONG") != "" || full && !checked.Unchanged(searchedFile)
}

// Search lets spin search all that can happen in a model with the flags, and returns pan's
// report. The file is in the directory of the test.
func Search(t *testing.T, file string, flags []string) string {
	t.Helper()
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			unable(t, "the model needs %s: %v; install the packages spin, gcc and libc6-dev", tool, err)
		}
	}
	// The test reads the file itself, because go test caches a result until a file
	// changes that the test has opened.
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), source, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "spin", append(flags, "-a", file)...)
	optimize := "-O2"
	if !whole() {
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
	place    = regexp.MustCompile(`(?m)^\s+\S*\w+\.pml:\d+, state \d+, .*$`)
	figures  = regexp.MustCompile(`(?m)^.*(states, stored|total actual memory usage|elapsed time|depth reached).*$`)
)

// Complete returns what keeps a report from showing that a model keeps its promises: an
// error, a search that did not end, or a step that never happens, which proves nothing.
func Complete(report string) error {
	if !strings.Contains(report, "errors: 0") {
		return fmt.Errorf("spin found a way to break a promise, or did not end:\n%s", report)
	}
	for _, sign := range []string{
		"max search depth too small", "Search not completed", "out of memory", "memory limit",
	} {
		if strings.Contains(report, sign) {
			return fmt.Errorf("the search is not complete (%s); raise the limits of package spin, or make the world "+
				"smaller:\n%s", sign, report)
		}
	}
	if steps := unreached(report); len(steps) > 0 {
		return fmt.Errorf("steps of the model that never happen: %q", steps)
	}
	return nil
}

// unreached returns the steps that were never taken, according to pan's report. The
// processes of a model never end, so their end states do not count.
func unreached(report string) []string {
	var steps []string
	for _, line := range place.FindAllString(report, -1) {
		if !endState.MatchString(line) {
			steps = append(steps, strings.TrimSpace(line))
		}
	}
	return steps
}

// Summary returns the figures of a report.
func Summary(report string) string {
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
