package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"laurel/internal/localgroup"
)

// process is one running program. Its log outlives it and is printed if the test fails.
type process struct {
	*localgroup.Process
	from int64 // where in the log this run begins
}

// start runs a program until it ends by itself or the test does. Runs of the same name in
// one directory share a log.
func start(t testing.TB, dir, name string, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{}
	log := filepath.Join(dir, name+".log")
	if info, err := os.Stat(log); err == nil {
		p.from = info.Size()
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(cleanEnv(), env...)
	var err error
	if p.Process, err = localgroup.StartProcess(name, log, cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Ended reports whether the process has ended.
func (p *process) Ended() bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// cleanEnv returns the environment of this process without settings of Laurel, and with a
// run directory apart from the developer's: laurel stop must not affect a test, nor a
// test the developer's processes. A command that is given no patience has more than its own,
// because a busy machine may hold up a frontend for seconds.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LAUREL_") {
			env = append(env, v)
		}
	}
	return append(env, "LAUREL_RUN_DIR="+filepath.Join(programs.dir, "run"), "LAUREL_PATIENCE=2m")
}

// killNoWait kills the process without waiting, so that several can be killed at once.
func (p *process) killNoWait() {
	_ = p.Signal(os.Kill) // an error means that it has ended already
}

func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatalf("send %v to %s: %v", s, p.Name, err)
	}
}

// killed reports whether SIGKILL ended the process.
func (p *process) killed() bool {
	s, ok := p.State().Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

// exit waits until the process has ended by itself, and returns its exit code.
func (p *process) exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("%s still runs after %v; it should have ended", p.Name, patience)
	}
	return p.State().ExitCode()
}

// output returns what the current run of the process has logged.
func (p *process) output(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(p.Log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[min(p.from, int64(len(b))):])
}

// logs makes the directory for the logs of a test's processes, and prints the ends of the
// logs if the test fails.
func logs(t testing.TB) string {
	t.Helper()
	dir := t.ArtifactDir()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		paths, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Error(err)
				continue
			}
			lines := bytes.SplitAfter(b, []byte("\n"))
			const last = 40
			if n := len(lines) - last; n > 0 {
				lines = append([][]byte{fmt.Appendf(nil, "... %d lines before; keep them all with -artifacts\n", n)},
					lines[n:]...)
			}
			t.Logf("%s:\n%s", filepath.Base(p), bytes.Join(lines, nil))
		}
	})
	return dir
}

// result is the output and the exit code of a command.
type result struct {
	out  string // stdout
	err  string // stderr
	code int
}

func (o result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", o.code, o.out, o.err)
}

// command runs a program until it ends.
func command(t testing.TB, name string, args ...string) result {
	t.Helper()
	return commandEnv(t, nil, name, args...)
}

func commandEnv(t testing.TB, env []string, name string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.Command(program(t, name), args...)
	c.Env = append(cleanEnv(), env...)
	c.Stdout, c.Stderr = &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	overdue := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	err := c.Wait()
	if !overdue.Stop() {
		t.Fatalf("%s %s still ran after %v\nstdout: %s\nstderr: %s", name, strings.Join(args, " "), patience, &out,
			&errs)
	}
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return result{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// mustRun runs a command that must succeed, and returns its standard output.
func mustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	o := command(t, name, args...)
	if o.code != 0 {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), o)
	}
	return o.out
}

// memory returns the resident memory of the process, all of it and the part that belongs
// to no file.
func (p *process) memory() string {
	var output []string
	for line := range strings.Lines(p.procStatus()) {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssAnon") {
			output = append(output, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(output, ", ")
}

// residentMiB returns the resident memory of the process.
func (p *process) residentMiB() (kib int, err error) {
	_, rest, _ := strings.Cut(p.procStatus(), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("the resident memory of %s: %w", p.Name, err)
	}
	return kib >> 10, nil
}

// procStatus returns what the kernel tells of the process.
func (p *process) procStatus() string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/status")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ports are those that this process has claimed, by listening on the first one of a block. Another
// process with tests would otherwise take that of a frontend which is down.
var ports struct {
	sync.Mutex
	next, end int
	claims    []net.Listener
}

// The ports are outside of the range for outgoing connections, and of those of package localgroup.
const firstPort, endPort, portBlock = 12_000, 32_000, 500

// freePort returns a loopback address that no other caller gets: the port of a frontend that is
// down must still be free when it comes back.
func freePort(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for {
		if ports.next == ports.end {
			claimPorts(t)
		}
		addr := loopback(ports.next)
		ports.next++
		if !inUse(addr) {
			return addr
		}
	}
}

func claimPorts(t testing.TB) {
	t.Helper()
	for first := firstPort; first < endPort; first += portBlock {
		if l, err := net.Listen("tcp", loopback(first)); err == nil {
			ports.claims = append(ports.claims, l)
			ports.next, ports.end = first+1, first+portBlock
			return
		}
	}
	t.Fatalf("all ports between %d and %d are claimed", firstPort, endPort)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
