package localgroup

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"laurel/internal/cli"
)

// The test binary plays the frontends, and a parent process that is killed.
const (
	roleVariable = "TEST_LOCALGROUP_ROLE"
	dirVariable  = "TEST_LOCALGROUP_DIR"

	workingFrontend  = "working frontend"
	stubbornFrontend = "frontend that ignores SIGTERM"
	brokenFrontend   = "frontend that cannot start"
	thirdBreaks      = "working frontend, but f3 is broken while the file DIR/broken exists"
	thirdIsSlow      = "working frontend, but f3 does not become ready"
	parentProcess    = "parent of two frontends"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case brokenFrontend:
		failToStart()
	case thirdBreaks:
		_, err := os.Stat(filepath.Join(os.Getenv(dirVariable), "broken"))
		if err == nil && argument("--id") == "f3" {
			failToStart()
		}
		serveFrontend()
	case thirdIsSlow:
		if argument("--id") == "f3" {
			http.HandleFunc("GET /readyz", http.NotFound)
		}
		serveFrontend()
	case stubbornFrontend:
		signal.Ignore(syscall.SIGTERM)
		serveFrontend()
	case workingFrontend:
		serveFrontend()
	case parentProcess:
		runParent()
	}
}

func failToStart() {
	for i := range 40 {
		fmt.Fprintf(os.Stderr, "line %d of the log\n", i+1)
	}
	os.Exit(4)
}

// argument returns the value of a flag of this process.
func argument(name string) string { return os.Args[slices.Index(os.Args, name)+1] }

func serveFrontend() {
	fmt.Fprintln(os.Stderr, os.Getpid())
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/removed", func(http.ResponseWriter, *http.Request) { os.Exit(cli.ExitRemoved) })
	http.HandleFunc("/contradicted", func(http.ResponseWriter, *http.Request) { os.Exit(cli.ExitContradiction) })
	fmt.Fprintln(os.Stderr, http.ListenAndServe(argument("--http"), nil))
	os.Exit(1)
}

func runParent() {
	g, err := Start(context.Background(), playedBy(workingFrontend, Options{Dir: os.Getenv(dirVariable), Size: 2}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, f := range g.Frontends() {
		fmt.Println(f.URL())
	}
	fmt.Println()
	select {}
}

// playedBy makes the test binary play the frontends of a group in a role.
func playedBy(role string, o Options) Options {
	o.Program, o.StartWithin = os.Args[0], patience
	o.Env = append(os.Environ(), roleVariable+"="+role, dirVariable+"="+o.Dir)
	return o
}

// patience bounds every wait.
const patience = 2 * time.Minute

func startTest(t *testing.T, role string, o Options) (*Group, <-chan Notice) {
	t.Helper()
	notices := make(chan Notice, 100)
	o.Dir, o.Size = t.TempDir(), 3
	if o.RestartAfter == 0 {
		o.RestartAfter = 10 * time.Millisecond
	}
	o.Notify = func(n Notice) { notices <- n }
	g, err := Start(t.Context(), playedBy(role, o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, notices
}

func next(t *testing.T, notices <-chan Notice) Notice {
	t.Helper()
	select {
	case n := <-notices:
		return n
	case <-time.After(patience):
		t.Fatal("no notice has come")
		return Notice{}
	}
}

// awaitAnswer waits until a frontend answers.
func awaitAnswer(t *testing.T, f Frontend) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if _, _, ok := f.Get(t.Context(), "/readyz"); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", f.ID)
		}
	}
}

// isGone reports whether a process has ended. Its ports may be those of another group by now.
func isGone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

// awaitSilence waits until nobody listens at the address.
func awaitSilence(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatalf("somebody still listens at %s", addr)
		}
		runtime.Gosched()
	}
}

func TestAStartedGroupAnswersAndAClosedOneIsGone(t *testing.T) {
	g, _ := startTest(t, workingFrontend, Options{})
	seen := map[string]bool{}
	for i, f := range g.Frontends() {
		if want := fmt.Sprintf("f%d", i+1); f.ID != want {
			t.Errorf("frontend %d is called %s; want %s", i, f.ID, want)
		}
		awaitAnswer(t, f)
		for _, own := range []string{f.HTTP, f.Peer, f.Dir, f.Log, fmt.Sprint(f.PID)} {
			if seen[own] {
				t.Errorf("%s shares %s with another", f.ID, own)
			}
			seen[own] = true
		}
	}
	g.Close()
	for _, f := range g.Frontends() {
		if !isGone(f.PID) {
			t.Errorf("%s is still there", f.ID)
		}
	}
	g.Close()
}

func TestAKilledFrontendIsRestartedAtItsAddressesWithItsData(t *testing.T) {
	g, notices := startTest(t, workingFrontend, Options{})
	for _, was := range g.Frontends() {
		p, err := os.FindProcess(was.PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if n := next(t, notices); n.Kind != Died || n.Frontend != was || n.Reason != "signal: killed" {
			t.Errorf("got %+v; want that %s died of a signal", n, was.ID)
		}
		n := next(t, notices)
		if n.Kind != Restarted || n.Frontend.PID == was.PID {
			t.Errorf("got %+v; want that %s is back as another process", n, was.ID)
		}
		was.PID = n.Frontend.PID
		if n.Frontend != was {
			t.Errorf("%s came back as %+v; want %+v", was.ID, n.Frontend, was)
		}
		awaitAnswer(t, was)
	}
}

func TestAnotherGroupDoesNotTakeThePortsOfAFrontendThatIsDown(t *testing.T) {
	g, notices := startTest(t, workingFrontend, Options{RestartAfter: time.Hour})
	ours := map[string]bool{}
	for _, f := range g.Frontends() {
		ours[f.HTTP], ours[f.Peer] = true, true
		p, err := os.FindProcess(f.PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for range g.Frontends() {
		if n := next(t, notices); n.Kind != Died {
			t.Fatalf("got %+v", n)
		}
	}
	other, _ := startTest(t, workingFrontend, Options{})
	for _, f := range other.Frontends() {
		if ours[f.HTTP] || ours[f.Peer] {
			t.Errorf("%s of another group is at %s and %s, which belong to a group that runs", f.ID, f.HTTP, f.Peer)
		}
	}
}

func TestAFrontendThatWasRemovedOrContradictsItsGroupIsNotRestarted(t *testing.T) {
	for path, want := range map[string]Kind{"/removed": Left, "/contradicted": Contradicted} {
		t.Run(path, func(t *testing.T) {
			g, notices := startTest(t, workingFrontend, Options{})
			f := g.Frontends()[1]
			for deadline := time.Now().Add(patience); len(notices) == 0 && time.Now().Before(deadline); {
				f.Get(t.Context(), path) // again, as it waits for two seconds only
			}
			if n := next(t, notices); n.Kind != want || n.Frontend.ID != "f2" {
				t.Errorf("got %+v; want %d of f2", n, want)
			}
			g.Close()
			select {
			case n := <-notices:
				t.Errorf("then came %+v", n)
			default:
			}
		})
	}
}

func TestAChildThatIgnoresSIGTERMIsKilledAfterTheDeadline(t *testing.T) {
	g, _ := startTest(t, stubbornFrontend, Options{StopWithin: 50 * time.Millisecond})
	g.Close()
	for _, f := range g.Frontends() {
		if !isGone(f.PID) {
			t.Errorf("%s is still there", f.ID)
		}
	}
}

func TestAFailedStartReportsTheEndOfTheLog(t *testing.T) {
	_, err := Start(t.Context(), playedBy(brokenFrontend, Options{Dir: t.TempDir(), Size: 3}))
	if err == nil {
		t.Fatal("the group has started")
	}
	for _, want := range []string{"f1", "exit status 4", "line 29 of the log", "line 40 of the log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 28 ") {
		t.Errorf("the error repeats the whole log:\n%v", err)
	}
}

func TestAFrontendThatFailsToRestartIsReportedWithTheEndOfItsLog(t *testing.T) {
	g, notices := startTest(t, thirdBreaks, Options{})
	broken := filepath.Join(g.o.Dir, "broken")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := os.FindProcess(g.Frontends()[2].PID)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	next(t, notices) // of the kill
	if n := next(t, notices); n.Kind != Died || !strings.Contains(n.LogTail, "line 40") {
		t.Errorf("got %+v; want the log of a start that failed", n)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	for n := next(t, notices); n.Kind != Restarted; n = next(t, notices) {
	}
}

func TestACancelledStartLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	pid := func(id string) int { // the first line of the log
		b, _ := os.ReadFile(filepath.Join(dir, id+".log"))
		line, _, whole := strings.Cut(string(b), "\n")
		if n, err := strconv.Atoi(line); err == nil && whole {
			return n
		}
		return 0
	}
	go func() {
		defer cancel()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for _, id := range []string{"f1", "f2", "f3"} { // which start at the same time
			for pid(id) == 0 && ctx.Err() == nil {
				<-tick.C
			}
		}
	}()
	if _, err := Start(ctx, playedBy(thirdIsSlow, Options{Dir: dir, Size: 3})); err == nil {
		t.Fatal("the group has started")
	}
	for _, id := range []string{"f1", "f2", "f3"} {
		if n := pid(id); n == 0 || !isGone(n) {
			t.Errorf("%s is still there, as pid %d", id, n)
		}
	}
}

func TestTheChildrenOfAKilledParentDie(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills children with their parent")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+parentProcess, dirVariable+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var urls []string
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != ""; {
		urls = append(urls, lines.Text())
	}
	if len(urls) != 2 {
		t.Fatalf("the parent has started %v", urls)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, u := range urls {
		awaitSilence(t, strings.TrimPrefix(u, "http://"))
	}
}
