package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// withinPatience is how long a command may wait: less than commandEnv waits for the command.
var withinPatience = (patience / 2).String()

// runDir returns a run directory of the test's own, for the environment.
func runDir(t testing.TB) (dir, env string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	return dir, "LAUREL_RUN_DIR=" + dir
}

// stop runs laurel stop and expects an exit code.
func stop(t testing.TB, env string, code int, args ...string) result {
	t.Helper()
	o := commandEnv(t, []string{env}, "laurel", append([]string{"stop", "--timeout", withinPatience}, args...)...)
	if o.code != code {
		t.Fatalf("laurel stop %s: %v; want exit code %d", strings.Join(args, " "), o, code)
	}
	return o
}

func TestStopKillsOnlyTheNamedFrontend(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	dir, env := runDir(t)
	g := newGroup(t, 3, env)
	apply(t, g.frontends[0], define)
	victim := g.master()

	o := stop(t, env, 0, "frontend", "--id", victim.id, "--signal", "KILL")
	if !strings.Contains(o.out, fmt.Sprintf("frontend %s (pid %d)", victim.id, victim.PID())) {
		t.Errorf("the output does not name what was stopped: %v", o)
	}
	<-victim.Done()
	if !victim.killed() {
		t.Errorf("%s was not killed: %v", victim.id, victim.State())
	}
	if o := stop(t, env, 1, "frontend", "--id", victim.id); !strings.Contains(o.err, "no frontend "+victim.id+" runs") {
		t.Errorf("the output does not name the missing %s: %v", victim.id, o)
	}
	for _, f := range g.running() {
		f.waitReady()
	}
	if n := len(g.running()); n != 2 {
		t.Errorf("%d frontends run; want 2", n)
	}
	stop(t, env, 0, "all")
	for _, f := range g.frontends {
		<-f.Done()
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("when all have stopped, the run directory is still there: %v", err)
	}
}

func TestStopEndsAPausedFrontendInOrder(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	_, env := runDir(t)
	f := newGroup(t, 1, env).frontends[0]
	stop(t, env, 0, "frontend", "--signal", "sigstop")
	if o := stop(t, env, 0, "all", "--signal", "0"); !strings.Contains(o.out, "frontend f1") {
		t.Errorf("a paused frontend is not found: %v", o)
	}
	stop(t, env, 0, "frontend", "--id", "f1")
	if code := f.exit(t); code != 0 {
		t.Errorf("the paused frontend ended with exit code %d; want an orderly end", code)
	}
}

func TestStopNeverSignalsAProcessWithTheReusedPidOfADeadOne(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	dir, env := runDir(t)
	f := newGroup(t, 1, env).frontends[0]
	f.Kill()
	files, err := filepath.Glob(filepath.Join(dir, "frontend-f1-*.pid"))
	if err != nil || len(files) != 1 {
		t.Fatalf("a killed frontend has left %v (%v)", files, err)
	}
	innocent := start(t, logs(t), "innocent", nil, "sleep", "3600")
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lie := strings.Replace(string(b), strconv.Itoa(f.PID()), strconv.Itoa(innocent.PID()), 1)
	if err := os.WriteFile(files[0], []byte(lie), 0o600); err != nil {
		t.Fatal(err)
	}
	stop(t, env, 1, "frontend", "--id", "f1", "--signal", "KILL")
	stop(t, env, 1, "frontend", "--id", strconv.Itoa(innocent.PID()))
	if innocent.Ended() {
		t.Errorf("the innocent process was hit: %v", innocent.State())
	}
}

func TestStopEndsABardByNameAndRefusesAnAmbiguousName(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	_, env := runDir(t)
	g := newGroup(t, 1, env)
	song := filepath.Join(t.TempDir(), "saga.ndjson")
	lines := ""
	for i, at := range []string{"2026-02-09T10:00:00Z", "2026-02-09T20:00:00Z"} { // ten hours of silence
		lines += fmt.Sprintf(`{"type":"alert","contest_id":"OG50BC","id":"s%d","time":%q,"data":{"text":"hear"}}`+"\n",
			i, at)
	}
	if err := os.WriteFile(song, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	sing := func(name string, args ...string) *process {
		args = append([]string{"sing", "--speed", "1", "--to", g.frontends[0].url, song}, args...)
		b := start(t, g.logs, name, []string{env}, program(t, "bard"), args...)
		eventually(t, name+" is found", func() error {
			o := commandEnv(t, []string{env}, "laurel", "stop", "bard", "--signal", "0")
			if !strings.Contains(o.out, fmt.Sprintf("(pid %d)", b.PID())) {
				return fmt.Errorf("%v", o)
			}
			return nil
		})
		return b
	}
	first, second, third := sing("first"), sing("second"), sing("third", "--id", "cacofonix")

	if o := stop(t, env, 1, "bard", "--id", "saga"); !strings.Contains(o.err, "nothing was done") || first.Ended() ||
		second.Ended() {
		t.Errorf("of two bards called saga, one was stopped: %v", o)
	}
	stop(t, env, 0, "bard", "--id", "cacofonix")
	third.exit(t)
	stop(t, env, 0, "bard", "--id", strconv.Itoa(first.PID()))
	first.exit(t)
	if second.Ended() {
		t.Error("the second bard was stopped with the first")
	}
	stop(t, env, 0, "bard", "--signal", "KILL")
	second.exit(t)
	g.frontends[0].waitReady()
}

// up runs laurel up and returns the pid of each frontend.
func up(t testing.TB, env, data string) (output string, pids map[string]string) {
	t.Helper()
	o := commandEnv(t, []string{env}, "laurel", "up", "--data", data, "--patience", withinPatience)
	if o.code != 0 {
		t.Fatalf("laurel up: %v", o)
	}
	return o.out, pidsIn(o.out)
}

func pidsIn(output string) map[string]string {
	pids := make(map[string]string)
	for line := range strings.Lines(output) {
		if words := strings.Fields(line); len(words) > 3 && words[2] == "pid" {
			pids[words[0]] = strings.TrimSuffix(words[3], ",")
		}
	}
	return pids
}

// place prepares a group with addresses of the test's own for laurel up, as the usual
// ones may be a developer's. It returns the group's directory.
func place(t testing.TB) (data string, group []*frontend) {
	t.Helper()
	data = t.TempDir()
	var list []string
	for i := range 3 {
		f := &frontend{id: "f" + strconv.Itoa(i+1)}
		f.move(freePort(t), freePort(t))
		group = append(group, f)
		list = append(list, fmt.Sprintf(`{"id":%q,"http":%q,"peer":%q}`, f.id, f.http, f.peer))
	}
	memory := `{"formed":false,"frontends":[` + strings.Join(list, ",") + `]}`
	if err := os.WriteFile(filepath.Join(data, "group.json"), []byte(memory), 0o600); err != nil {
		t.Fatal(err)
	}
	return data, group
}

func endAfter(t testing.TB, env string) {
	t.Cleanup(func() { commandEnv(t, []string{env}, "laurel", "stop", "all", "--signal", "KILL") })
}

func TestAGroupThatIsUpSurvivesItsTerminal(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	_, env := runDir(t)
	data, group := place(t)
	endAfter(t, env)

	terminal, shell := openTerminal(t)
	c := exec.Command("/bin/sh", "-c", `"$0" up --data "$1" --patience "$2"; echo the shell waits; exec sleep 3600`,
		program(t, "laurel"), data, withinPatience)
	c.Env = append(cleanEnv(), env)
	c.Stdin, c.Stdout, c.Stderr = shell, shell, shell
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	shell.Close()
	output := awaitLine(t, terminal, "the shell waits")
	terminal.Close()
	_ = c.Wait()
	if s := c.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGHUP {
		t.Fatalf("the shell ended with %v, so this was no hangup", c.ProcessState)
	}

	before := pidsIn(output)
	again, after := up(t, env, data)
	if !strings.Contains(again, "was running") || len(before) != 3 || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before the hangup there were %v, after it %v:\n%s", before, after, again)
	}
	for _, f := range group {
		get(t, f.url+"/readyz")
	}
}

func TestUpRestartsAKilledFrontendWithItsDataAndAddresses(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	_, env := runDir(t)
	data, group := place(t)
	endAfter(t, env)

	_, before := up(t, env, data)
	apply(t, group[0], define)
	stop(t, env, 0, "frontend", "--id", "f1", "--signal", "KILL")
	output, after := up(t, env, data)
	if len(after) != 3 || after["f1"] == before["f1"] || after["f2"] != before["f2"] || after["f3"] != before["f3"] {
		t.Errorf("there were %v, then f1 was killed and there are %v:\n%s", before, after, output)
	}
	stop(t, env, 0, "all")
	up(t, env, data)
	for _, f := range group {
		get(t, f.url+contest) // that of before
	}
}

func TestUpMakesNoSecondGroupFromAFirstFrontendWithoutData(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	_, env := runDir(t)
	data, group := place(t)
	endAfter(t, env)

	up(t, env, data)
	apply(t, group[1], define)
	stop(t, env, 0, "frontend", "--id", "f1", "--signal", "KILL")
	if err := os.RemoveAll(filepath.Join(data, "f1")); err != nil {
		t.Fatal(err)
	}
	o := commandEnv(t, []string{env}, "laurel", "up", "--data", data, "--patience", withinPatience)
	if o.code != 1 || !strings.Contains(o.err, "id_conflict") {
		t.Errorf("f1 came back without its data: %v", o)
	}
}
