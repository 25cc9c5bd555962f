package children

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
	"strings"
	"syscall"
	"testing"
	"time"

	"laurel/cmd/laurel/local"
	"laurel/internal/cli"
)

// The test's own binary plays the parts of the frontends, and of a parent that is killed.
const (
	role    = "LAUREL_TEST_ROLE"
	dir     = "LAUREL_TEST_DIR"
	address = "LAUREL_TEST_ADDRESS"

	willing  = "a frontend that does what it should"
	stubborn = "a frontend that does not hear SIGTERM"
	broken   = "a frontend that cannot start"
	parent   = "a parent of frontends"
)

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case broken:
		for i := range 40 {
			fmt.Fprintf(os.Stderr, "line %d of the log\n", i+1)
		}
		os.Exit(4)
	case stubborn:
		signal.Ignore(syscall.SIGTERM)
		fallthrough
	case willing:
		playFrontend()
	case parent:
		playParent()
	}
}

func playFrontend() {
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/removed", func(http.ResponseWriter, *http.Request) { os.Exit(cli.ExitRemoved) })
	http.HandleFunc("/unfit", func(http.ResponseWriter, *http.Request) { os.Exit(cli.ExitContradiction) })
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Getenv(address), nil))
	os.Exit(1)
}

func playParent() {
	g, err := Start(context.Background(), Options{Dir: os.Getenv(dir), Size: 2, Command: play(willing)})
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

func play(part string) func(f, first Frontend) *exec.Cmd {
	return func(f, _ Frontend) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), role+"="+part, address+"="+f.HTTP)
		return cmd
	}
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func startTest(t *testing.T, o Options) (*Group, <-chan Notice) {
	t.Helper()
	notices := make(chan Notice, 100)
	o.Dir, o.Size = t.TempDir(), 3
	if o.RestartAfter == 0 {
		o.RestartAfter = 10 * time.Millisecond
	}
	o.Notice = func(n Notice) { notices <- n }
	if o.Command == nil {
		o.Command = play(willing)
	}
	g, err := Start(t.Context(), o)
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
	g, _ := startTest(t, Options{})
	seen := map[string]bool{}
	for i, f := range g.Frontends() {
		if want := fmt.Sprintf("f%d", i+1); f.ID != want {
			t.Errorf("frontend %d is called %s; want %s", i, f.ID, want)
		}
		if !answers(t.Context(), f.URL()+"/readyz") {
			t.Errorf("%s does not answer", f.ID)
		}
		for _, own := range []string{f.HTTP, f.Peer, f.Data, f.Log, fmt.Sprint(f.PID)} {
			if seen[own] {
				t.Errorf("%s shares %s with another", f.ID, own)
			}
			seen[own] = true
		}
	}
	g.Close()
	for _, f := range g.Frontends() {
		if !local.Free(f.HTTP) {
			t.Errorf("somebody still listens at %s, where %s was", f.HTTP, f.ID)
		}
	}
	g.Close()
}

func TestAKilledFrontendIsStartedAgainWhereItWas(t *testing.T) {
	g, notices := startTest(t, Options{})
	for _, was := range g.Frontends() {
		p, err := os.FindProcess(was.PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if n := next(t, notices); n.What != Died || n.Frontend != was || n.How != "signal: killed" {
			t.Errorf("got %+v; want that %s died of a signal", n, was.ID)
		}
		n := next(t, notices)
		if n.What != Back || n.Frontend.PID == was.PID {
			t.Errorf("got %+v; want that %s is back as another process", n, was.ID)
		}
		was.PID = n.Frontend.PID
		if n.Frontend != was {
			t.Errorf("%s came back as %+v; want %+v", was.ID, n.Frontend, was)
		}
		if !answers(t.Context(), was.URL()+"/readyz") {
			t.Errorf("%s does not answer", was.ID)
		}
	}
}

func TestAnotherGroupDoesNotTakeThePortsOfAFrontendThatIsDown(t *testing.T) {
	g, notices := startTest(t, Options{RestartAfter: time.Hour})
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
		if n := next(t, notices); n.What != Died {
			t.Fatalf("got %+v", n)
		}
	}
	other, _ := startTest(t, Options{})
	for _, f := range other.Frontends() {
		if ours[f.HTTP] || ours[f.Peer] {
			t.Errorf("%s of another group is at %s and %s, which belong to a group that runs", f.ID, f.HTTP, f.Peer)
		}
	}
}

func TestAFrontendThatWasRemovedOrContradictsItsGroupStaysAway(t *testing.T) {
	for path, want := range map[string]What{"/removed": Left, "/unfit": Unfit} {
		t.Run(path, func(t *testing.T) {
			g, notices := startTest(t, Options{})
			f := g.Frontends()[1]
			answers(t.Context(), f.URL()+path)
			if n := next(t, notices); n.What != want || n.Frontend.ID != "f2" {
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

func TestAChildThatIsStuckIsKilledAfterTheDeadline(t *testing.T) {
	g, _ := startTest(t, Options{Command: play(stubborn), StopWithin: 50 * time.Millisecond})
	g.Close()
	for _, f := range g.Frontends() {
		if !local.Free(f.HTTP) {
			t.Errorf("%s is still there", f.ID)
		}
	}
}

func TestAChildThatFailsToStartIsToldWithTheEndOfItsLog(t *testing.T) {
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Size: 3, Command: play(broken)})
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

func TestAFrontendThatDiesAgainAndAgainIsToldWithTheEndOfItsLog(t *testing.T) {
	sick := filepath.Join(t.TempDir(), "sick")
	g, notices := startTest(t, Options{Command: func(f, first Frontend) *exec.Cmd {
		if _, err := os.Stat(sick); err == nil && f.ID == "f3" {
			return play(broken)(f, first)
		}
		return play(willing)(f, first)
	}})
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := os.FindProcess(g.Frontends()[2].PID)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	next(t, notices) // of the kill
	if n := next(t, notices); n.What != Died || !strings.Contains(n.Tail, "line 40") {
		t.Errorf("got %+v; want the log of a start that failed", n)
	}
	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	for n := next(t, notices); n.What != Back; n = next(t, notices) {
	}
}

func TestAStartThatIsCancelledLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var places []Frontend
	_, err := Start(ctx, Options{Dir: t.TempDir(), Size: 3, Command: func(f, first Frontend) *exec.Cmd {
		if places = append(places, f); len(places) == 3 {
			cancel()
		}
		return play(willing)(f, first)
	}})
	if err == nil {
		t.Fatal("the group has started")
	}
	for _, f := range places {
		if !local.Free(f.HTTP) {
			t.Errorf("%s is still there", f.ID)
		}
	}
}

func TestTheChildrenOfAKilledParentDie(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills children with their parent")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+parent, dir+"="+t.TempDir())
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
