// Package e2e holds the tests that run Laurel as its users do: real frontends and bards,
// each a process, on the loopback interface and disk of this machine.
//
// The tests kill, pause, move and replace frontends, cut them off from each other and
// from their disks while events are posted, and compare the answers with what was posted.
// In the consistency tests many clients post and read meanwhile, and porcupine checks
// that everything they saw is linearizable (linearizable_test.go, with the specification
// in history_test.go).
//
// The tests that post real Games find them in the directory LAUREL_GAMES, or in
// ../shared/data beside the repository, and are skipped without them. Cuts need a network
// namespace, which root can make, and other users if the system allows it
// (network_test.go). The tests carry the packets of slow links themselves, between TUN
// devices (slow_link_test.go). LAUREL_CI=full turns each skip into a failure and runs the
// long forms.
//
// LAUREL_LONG=1 makes the tests with faults take minutes. LAUREL_RUNS is the number of
// histories and LAUREL_SEED the seed of the first; each logs a line for the table in
// docs/benchmarks.md.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"laurel/internal/testlock"
)

// repository is the root of the repository, relative to this package.
const repository = "../../.."

// patience bounds every wait for something that should happen soon. It is generous: these
// tests check what happens, not how fast.
const patience = 4 * time.Minute

var programs struct {
	dir   string
	build func() error
	spy   func() error // builds spiedLaurel
}

// spiedLaurel is laurel with the build tag spy.
const spiedLaurel = "spy/laurel"

// parallelTests is the number of tests that run at the same time, unless -parallel says
// otherwise. The tests wait for a part of the time, so it is more than two processors; with
// five, this process itself is so slow that frontends close its connections.
const parallelTests = "3"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallelTests); err != nil {
		panic(err)
	}
	flag.Parse()
	if !testing.Short() {
		if err := testlock.Wait(); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

// byForm returns the value for the form of the tests: quick by default, full in CI
// (LAUREL_CI=full), or long (LAUREL_LONG=1).
func byForm[T any](quick, full, long T) T {
	switch {
	case os.Getenv("LAUREL_LONG") != "":
		return long
	case os.Getenv("LAUREL_CI") == "full":
		return full
	}
	return quick
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "laurel-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs.dir, programs.build = dir, sync.OnceValue(func() error { return build(dir, "./cmd/laurel", "./cmd/bard") })
	programs.spy = sync.OnceValue(func() error { return build(filepath.Join(dir, "spy"), "-tags", "spy", "./cmd/laurel") })
	return m.Run()
}

func build(dir string, what ...string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if raced {
		args = append(args, "-race")
	}
	c := exec.Command("go", append(args, what...)...)
	c.Dir = repository
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}

// program returns the path of one of the programs under test.
func program(t testing.TB, name string) string {
	t.Helper()
	make := programs.build
	if name == spiedLaurel {
		make = programs.spy
	}
	if err := make(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programs.dir, name)
}

// skipOrFail ends a test that this machine cannot run: it skips the test, or fails it
// with LAUREL_CI=full.
func skipOrFail(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("LAUREL_CI") == "full" {
		t.Fatalf("LAUREL_CI=full: "+format, args...)
	}
	t.Skipf(format, args...)
}

func needsProcesses(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: real processes take too long")
	}
}

// eventually polls until try returns nil, and fails the test with try's last error if it
// does not in time.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	if err := poll(patience, try); err != nil {
		t.Fatalf("%s: not within %v: %v", what, patience, err)
	}
}

func poll(within time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
