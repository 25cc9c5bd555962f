package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newFormingGroup returns a group of n frontends that is not started: all have the same
// --bootstrap-expect and --join.
func newFormingGroup(t *testing.T, n int, more ...string) *group {
	g := &group{t: t, dir: t.TempDir(), logs: logs(t)}
	for range n {
		g.add()
	}
	for _, f := range g.frontends {
		f.entry = append([]string{"--bootstrap-expect", fmt.Sprint(n), "--join", urls(g.frontends)}, more...)
	}
	return g
}

// expectOneGroup waits until all frontends see one group with all of them as voters.
func (g *group) expectOneGroup() {
	g.t.Helper()
	for _, f := range g.frontends {
		f.waitReady()
		eventually(g.t, f.id+" sees one group", func() error {
			s, err := f.status()
			voters := 0
			for _, m := range s.Frontends {
				if m.Voter {
					voters++
				}
			}
			if err == nil && voters != len(g.frontends) {
				err = fmt.Errorf("it has %d voters", voters)
			}
			return err
		})
	}
	g.master()
}

func TestThreeFrontendsWithTheSameFlagsFormOneGroup(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newFormingGroup(t, 3)
	for _, f := range g.frontends[1:] {
		f.start()
	}
	for _, f := range g.frontends[1:] { // two of three make no group
		eventually(t, f.id+" waits", func() error {
			if a, err := ask("GET", f.url+"/v1/frontends", ""); err != nil || !strings.Contains(a.body, `"for":"f2@`) {
				return fmt.Errorf("it says %s, %v", a.body, err)
			}
			return nil
		})
		eventually(t, f.id+" answers /readyz", func() error {
			a, err := ask("GET", f.url+"/readyz", "")
			if err == nil && a.status != 503 {
				t.Errorf("without a group %s is ready: %v", f.id, a)
			}
			return err
		})
	}
	g.frontends[0].start()
	g.expectOneGroup()

	// The flags stay the same for ever.
	first := g.frontends[0]
	first.stop()
	first.start().waitReady()
	if text := first.output(t); !strings.Contains(text, "--bootstrap-expect does nothing") {
		t.Errorf("it does not say that the flag does nothing:\n%s", lastLines(text))
	}
	// An empty disk under the same flags makes no second group.
	first.stop()
	if err := os.RemoveAll(first.data); err != nil {
		t.Fatal(err)
	}
	first.start()
	if code := first.exit(t); code != 1 || !strings.Contains(first.output(t), "is taken by a frontend with other data") {
		t.Errorf("with an empty disk it ended with exit code %d:\n%s", code, lastLines(first.output(t)))
	}
}

// Each of three is killed once while they form a group, at a random moment.
func TestFrontendsThatAreKilledWhileTheyFormAGroupFormOne(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	for run := range byForm(2, 10, 100) {
		g := newFormingGroup(t, 3)
		ended := make(chan struct{}, len(g.frontends))
		for _, f := range g.frontends {
			f.start()
			killAfter := rand.N(1500 * time.Millisecond)
			time.AfterFunc(killAfter, func() {
				f.killNoWait()
				<-f.Done()
				ended <- struct{}{}
			})
		}
		for range g.frontends {
			<-ended
		}
		for _, f := range g.frontends {
			f.start()
		}
		g.expectOneGroup()
		founders := 0
		for _, f := range g.frontends {
			text, err := os.ReadFile(filepath.Join(g.logs, f.id+".log"))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), `msg="made a new group"`) {
				founders++
			}
			f.stop()
		}
		// One that is killed after it has stored the group does not say that it has made it.
		if founders > 1 {
			t.Errorf("run %d: %d frontends have made a group", run, founders)
		}
		_ = os.RemoveAll(g.logs)
		_ = os.MkdirAll(g.logs, 0o700)
	}
}

// No person does anything: the files of laurel authority new are all that it takes.
func TestASecureGroupFormsWithoutAPerson(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	for what, all := range map[string]bool{"all have the authority": true, "one has it": false} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "authority")
			mustRun(t, "laurel", "authority", "new", "--out", dir)
			// What a frontend is given, as Kubernetes would mount it: to read only.
			mount := func(names ...string) string {
				to := t.TempDir()
				for _, name := range names {
					text, err := os.ReadFile(filepath.Join(dir, name))
					if err == nil {
						err = os.WriteFile(filepath.Join(to, name), text, 0o400)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				return to
			}
			token := "@" + filepath.Join(mount("join.token"), "join.token")
			authority := mount("authority.pem", "founding.json")
			g := newFormingGroup(t, 3, "--join-token", token, "--private")
			for i, f := range g.frontends {
				f.secure = true
				if all || i == 2 {
					f.entry = append(f.entry, "--authority", authority)
				}
				f.start()
			}
			for _, f := range g.frontends {
				f.waitReady()
				f.holdKey()
			}
			env := []string{
				"LAUREL_URL=" + strings.ReplaceAll(urls(g.frontends), "http:", "https:"), "LAUREL_CA=" + filepath.Join(dir, "ca.pem"),
				"LAUREL_PATIENCE=2m", // there may be no master for a while
				"LAUREL_TOKEN=@" + filepath.Join(dir, "operator.token"),
			}
			// The frontends know of each other what they said when they were asked last.
			eventually(t, "the operator sees three frontends that serve", func() error {
				o := commandEnv(t, env, "laurel", "cluster", "status")
				if o.code != 0 || strings.Count(o.out, "serving") != 3 {
					return errors.New(o.String())
				}
				return nil
			})
			if o := commandEnv(t, env, "laurel", "audit"); o.code != 0 || strings.Count(o.out, "new join token") != 1 {
				t.Errorf("the audit trail: %v", o)
			}
			if o := commandEnv(t, env[:3], "laurel", "cluster", "status"); o.code != 1 {
				t.Errorf("the group is not private: %v", o)
			}
			for _, f := range g.frontends {
				if _, err := os.Stat(filepath.Join(f.data, "operator.token")); err == nil {
					t.Errorf("%s has the token of the operator", f.id)
				}
				f.stop()
			}
		})
	}
}

// systemd must not end a frontend that waits for others, so it is told that it has started.
func TestSystemdIsToldThatAFrontendHasStartedBeforeThereIsAGroup(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	states := make(chan string, 10_000)
	go func() {
		for b := make([]byte, 100); ; {
			n, err := manager.Read(b)
			if err != nil {
				return
			}
			states <- string(b[:n])
		}
	}()
	told := func(want string) {
		t.Helper()
		for late := time.After(patience); ; {
			select {
			case got := <-states:
				if got == want {
					return
				}
			case <-late:
				t.Fatalf("systemd is not told %s", want)
			}
		}
	}
	g := newFormingGroup(t, 3)
	// The queue of the socket has room for ten messages, and a frontend does not wait long for more:
	// with many signs of life, what it says while this process is held up would be lost.
	g.env = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=10000000"}
	f := g.frontends[0]
	f.start()
	told("READY=1")
	told("WATCHDOG=1")
	f.stop()
	told("STOPPING=1")
	f.entry = []string{"--bootstrap"}
	f.start().waitReady()
	told("READY=1")
	told("WATCHDOG=1")
	f.stop()
	told("STOPPING=1")
}
