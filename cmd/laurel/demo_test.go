package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"laurel/cmd/laurel/demo"
	"laurel/internal/cli"
	"laurel/internal/localgroup"
	"laurel/internal/pidfile"
)

// asLaurel is a variable that makes the test binary run as the laurel command. It does
// not begin with LAUREL_, as the demo does not pass such variables on to its frontends.
const asLaurel = "TEST_AS_LAUREL"

func TestMain(m *testing.M) {
	if os.Getenv(asLaurel) != "" {
		os.Exit(cli.Main(newLaurelCommand()))
	}
	// The tests wait most of the time, so more of them run at once than there are
	// processors.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	_ = os.Setenv("LAUREL_PATIENCE", "2m") // of commands that are given none, for the machine may be busy
	cli.AttemptTimeout = patience / 4      // a request that a busy machine answers late is one
	os.Exit(m.Run())
}

// patience bounds every wait.
const patience = 2 * time.Minute

// output collects the output of a program.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
	// grown has room for one value: that there is more.
	grown chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until the output after the first n bytes matches the pattern. It returns
// the first group and the end of the match.
func (o *output) await(t *testing.T, pattern string, n int) (group string, end int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for {
		said := o.String()[n:]
		if at := re.FindStringSubmatchIndex(said); at != nil {
			if len(at) > 2 {
				group = said[at[2]:at[3]]
			}
			return group, n + at[1]
		}
		select {
		case <-o.grown:
		case <-deadline:
			t.Fatalf("the output does not match %q:\n%s", pattern, o)
		}
	}
}

func TestADemoSurvivesTheDeathOfEveryFrontendAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	temp, runDir := t.TempDir(), t.TempDir()
	out := &output{grown: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	group := localgroup.Options{RunDir: runDir, RestartAfter: 500 * time.Millisecond, StartWithin: patience}
	if err := setProgram(&group); err != nil {
		t.Fatal(err)
	}
	group.Env = append(group.Env, asLaurel+"=1", "LAUREL_TIME_SCALE=3") // a busy machine loses no master
	go func() {
		ended <- demo.Run(ctx, demo.Options{
			Speed:       20,
			TempDir:     temp,
			Out:         out,
			KillCommand: func(id string) string { return "kill " + id },
			Group:       group,
		})
	}()

	_, end := out.await(t, `The Games of 50 BC are open`, 0)
	urls := regexp.MustCompile(`(?m)^  f\d  (http://\S+)`).FindAllStringSubmatch(out.String(), -1)
	if len(urls) != 3 {
		t.Fatalf("the demo names %d frontends:\n%s", len(urls), out)
	}
	for i := range urls {
		id := fmt.Sprintf("f%d", i+1)
		_, end = out.await(t, `= f1 f2 f3 answer alike`, end)
		pid, _ := out.await(t, `(?m)^  `+id+`  http\S+  pid (\d+)`, 0)
		kill(t, pid, out)
		_, end = out.await(t, `\*\* `+id+` \(pid `+pid+`\) ended: signal: killed`, end)
		// It may be back before there is a master, and be that.
		_, elected := out.await(t, `\*\* f\d is (?:still )?the master`, end)
		_, back := out.await(t, `\*\* `+id+` is back with its data`, end)
		end = max(elected, back)
	}
	out.await(t, `= f1 f2 f3 answer alike, byte for byte`, end)
	out.await(t, `Medals of the Games of 50 BC`, 0)

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the demo does not end")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("in the temporary directory there is still %v (%v)", left, err)
	}
	// Their ports may be those of another group by now.
	if list, err := pidfile.List(runDir); err != nil || len(list) > 0 {
		t.Errorf("still running: %v (%v)", list, err)
	}
	for _, bad := range []string{"another answer", "refused"} { // on a busy machine none may answer in time
		if strings.Contains(out.String(), bad) {
			t.Errorf("the demo printed %q:\n%s", bad, out)
		}
	}
}

func kill(t *testing.T, pid string, out *output) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatalf("killing %d: %v; the demo printed:\n%s", n, err, out)
	}
}

func TestTheDemoEndsWithSuccessOnASignalAndRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	cmd, out := laurel(temp, "demo", "--speed", "0")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != cli.ExitUsage {
		t.Errorf("--speed 0: %v\n%s", err, out)
	}
	if !hasSpies {
		cmd, out = laurel(temp, "demo", "--spy")
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != cli.ExitUsage ||
			!strings.Contains(out.String(), "go run -tags spy ./cmd/laurel demo --spy") {
			t.Errorf("--spy: %v\n%s", err, out)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	cmd, out = laurel(temp, "demo", "--quiet")
	launch(t, cmd)
	out.await(t, `Starting three frontends`, 0)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// laurel returns a laurel command with a temporary directory of its own, also for the pid
// files.
func laurel(temp string, args ...string) (*exec.Cmd, *output) {
	out := &output{grown: make(chan struct{}, 1)}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asLaurel+"=1", "TMPDIR="+temp, "LAUREL_RUN_DIR="+filepath.Join(temp, "run"))
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// launch starts a command, which ends with the test at the latest.
func launch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState != nil {
			return
		}
		// On SIGINT a demo stops its frontends.
		_ = cmd.Process.Signal(os.Interrupt)
		overdue := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer overdue.Stop()
		_ = cmd.Wait()
	})
}

func TestTheDemoPrintsThatClientsMovedAndCameHome(t *testing.T) {
	t.Parallel()
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("real processes take too long under -short, and elsewhere than on Unix cannot be killed by name")
	}
	temp := t.TempDir()
	cmd, out := laurel(temp, "demo", "--quiet")
	launch(t, cmd)
	const allHome = `clients  f1 10  f2 10  f3 10\n`
	_, end := out.await(t, allHome, 0)

	// The first command that the demo prints, as a shell reads it.
	line, _ := out.await(t, `(?m)^  \S.*?( stop frontend (?:.*\\\n)*.*)\n`, 0)
	killing, killed := laurel(temp, strings.Fields(strings.ReplaceAll(line, "\\\n", " "))...)
	if err := killing.Run(); err != nil {
		t.Fatalf("laurel%s: %v\n%s", line, err, killed)
	}
	id, end := out.await(t, `\*\* (f\d) \(pid \d+\) ended: signal: killed; restarts in 5 s\n`, end)
	if !strings.Contains(line, "--id "+id+" ") {
		t.Errorf("laurel%s has killed %s", line, id)
	}
	// On a busy machine they may have left before its death is noticed, or not within 10 s, or
	// not before it is back.
	const took = ` (?:in \d+\.\d s|at once)\n`
	back := `\*\* ` + id + ` is back`
	moved := `\*\* 10 clients moved from ` + id + ` to f\d(?: and f\d)?` + took
	few := `\*\* (?:\d clients? moved from ` + id + ` to|\d+ of \d+ clients of ` + id + ` are elsewhere)`
	out.await(t, moved+`|`+few+`|`+back, end)
	out.await(t, `clients .*`+id+` 0\b.*\n|`+back, end)
	_, end = out.await(t, back, end)
	_, end = out.await(t, `\*\* (?:10 clients came home to `+id+took+`|\d+ of 10 clients of `+id+` are home again)`, end)
	out.await(t, allHome, end)
	if strings.ContainsRune(out.String(), '\x1b') {
		t.Errorf("there are colours without a terminal:\n%s", out)
	}

	stopping, stopped := laurel(temp, "stop", "demo")
	if err := stopping.Run(); err != nil {
		t.Errorf("laurel stop demo: %v\n%s", err, stopped)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v\n%s", err, out)
	}
	nothingRuns(t, temp)
	if left, err := filepath.Glob(filepath.Join(temp, "laurel-*")); err != nil || len(left) > 0 {
		t.Errorf("the demo has left %v (%v)", left, err)
	}
}

func TestTheFrontendsOfAKilledDemoEndOrAreFoundByStop(t *testing.T) {
	t.Parallel()
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("real processes take too long under -short, and elsewhere than on Unix cannot be found")
	}
	temp := t.TempDir()
	cmd, out := laurel(temp, "demo", "--quiet")
	launch(t, cmd)
	out.await(t, `clients  f1 10`, 0)
	kill(t, strconv.Itoa(cmd.Process.Pid), out)
	_ = cmd.Wait()
	if runtime.GOOS != "linux" {
		stopping, stopped := laurel(temp, "stop", "all")
		if err := stopping.Run(); err != nil {
			t.Errorf("laurel stop all: %v\n%s", err, stopped)
		}
	}
	nothingRuns(t, temp)
}

// nothingRuns waits until no process is registered in the run directory.
func nothingRuns(t *testing.T, temp string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; {
		list, err := pidfile.List(filepath.Join(temp, "run"))
		late := time.Now().After(deadline)
		for _, p := range list {
			if late {
				_ = p.Signal(syscall.SIGKILL) // no process may outlive a test
			}
		}
		pidfile.CloseAll(list)
		switch {
		case err == nil && len(list) == 0:
			return
		case late:
			t.Fatalf("still running: %v (%v)", list, err)
		}
		<-tick.C
	}
}
