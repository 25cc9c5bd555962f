//go:build unix

package pidfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary plays other processes.
const (
	role  = "RUNDIR_TEST_ROLE"
	where = "RUNDIR_TEST_DIR"

	unrelated  = "is not registered"
	registered = "is registered"
	listing    = "is registered and lists the processes"
)

// patience bounds every wait.
const patience = time.Minute

func TestMain(m *testing.M) {
	part, dir := os.Getenv(role), os.Getenv(where)
	if part == "" {
		os.Exit(m.Run())
	}
	if part != unrelated {
		leave, err := Register(dir, Entry{Kind: Frontend, ID: "f1", Data: "/data/f1"})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		defer leave()
	}
	if part == listing {
		list, err := List(dir)
		CloseAll(list)
		if len(list) > 0 || err != nil {
			fmt.Println(list, err)
			os.Exit(1)
		}
	}
	fmt.Println("here")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
}

// play starts a process with a role, and waits until it has taken it.
func play(t *testing.T, part, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+part, where+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if said, _ := bufio.NewReader(stdout).ReadString('\n'); said != "here\n" {
		t.Fatalf("a process that %s said %q", part, said)
	}
	return cmd
}

func list(t *testing.T, dir string) []*Process {
	t.Helper()
	found, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseAll(found) })
	return found
}

func one(t *testing.T, dir string) *Process {
	t.Helper()
	found := list(t, dir)
	if len(found) != 1 {
		t.Fatalf("there are %v; want one", found)
	}
	return found[0]
}

func alive(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var s syscall.WaitStatus
	if pid, err := syscall.Wait4(cmd.Process.Pid, &s, syscall.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the unrelated process has ended: %v %v", s, err)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestAListHasRunningProcessesOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if found := list(t, dir); len(found) > 0 {
		t.Errorf("without a directory there are %v", found)
	}
	cmd := play(t, registered, dir)
	p := one(t, dir)
	if p.Entry != (Entry{Frontend, "f1", cmd.Process.Pid, "/data/f1"}) {
		t.Errorf("there is %+v", p.Entry)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("a killed process has left %v", left)
	}
	if found := list(t, dir); len(found) > 0 {
		t.Errorf("a dead process is listed: %v", found)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("the pid file of a dead process stays: %v", left)
	}
}

func TestAStalePidFileNeverLeadsToTheProcessThatHasThePidNow(t *testing.T) {
	dir := t.TempDir()
	other := play(t, unrelated, dir)
	stale := fmt.Sprintf(`{"kind":"frontend","id":"f1","pid":%d}`, other.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, "frontend-f1-1.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range list(t, dir) {
		t.Errorf("%s would be signalled", p)
		_ = p.Signal(syscall.SIGKILL)
	}
	alive(t, other)
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("the pid file of a dead process stays: %v", left)
	}
}

func TestTheHolderOfTheLockIsSignalledWhateverTheFileSays(t *testing.T) {
	dir := t.TempDir()
	cmd, other := play(t, registered, dir), play(t, unrelated, dir)
	lie := fmt.Sprintf(`{"kind":"frontend","id":"f1","pid":%d}`, other.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, names(t, dir)[0]), []byte(lie), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := one(t, dir).Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	defer overdue.Stop()
	_ = cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
		t.Errorf("the registered process ended with %v", cmd.ProcessState)
	}
	alive(t, other)
}

func TestASignalAfterTheEndIsAnError(t *testing.T) {
	dir := t.TempDir()
	cmd := play(t, registered, dir)
	p := one(t, dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("got %v; want %v", err, os.ErrProcessDone)
	}
}

func TestAWaitEndsWithTheProcessAndNotBefore(t *testing.T) {
	dir := t.TempDir()
	cmd := play(t, registered, dir)
	p := one(t, dir)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	overdue := errors.New("too long")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, overdue)
	defer cancel()
	if err := p.Wait(ctx); err != overdue {
		t.Errorf("the wait for a paused process ended with %v", err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The process is not reaped yet: a zombie has ended, too.
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("the pid file of a dead process stays: %v", left)
	}
	_ = cmd.Wait()
}

func TestAProcessThatListsIsStillFound(t *testing.T) {
	dir := t.TempDir()
	cmd := play(t, listing, dir)
	if p := one(t, dir); p.PID != cmd.Process.Pid {
		t.Errorf("there is %s; want process %d", p, cmd.Process.Pid)
	}
}

func TestAnOrderlyEndLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var all sync.WaitGroup
	// One process removes the directory while another writes into it.
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				leave, err := Register(dir, Entry{Kind: Bard, ID: fmt.Sprintf("bard/%d*", i)})
				if err != nil {
					t.Error(err)
					return
				}
				leave()
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run directory is still there, with %v", names(t, dir))
	}
}

func TestADirectoryThatOtherUsersCanWriteIntoIsRefused(t *testing.T) {
	temp := t.TempDir()
	open, link, file := filepath.Join(temp, "open"), filepath.Join(temp, "link"), filepath.Join(temp, "file")
	err := errors.Join(
		os.Mkdir(open, 0o700),
		os.Chmod(open, 0o777),
		os.Symlink(t.TempDir(), link),
		os.WriteFile(file, nil, 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{open, link, file}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(temp, "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, foreign)
	}
	for _, dir := range dirs {
		if _, err := List(dir); err == nil {
			t.Errorf("%s is listed", dir)
		}
		if _, err := Register(dir, Entry{Kind: Bard, ID: "b"}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("a registration in %s: %v", dir, err)
		}
	}
}
