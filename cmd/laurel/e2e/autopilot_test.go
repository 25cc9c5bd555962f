package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"laurel/score"
)

func TestTheSettingsOfTheAutopilotAreShownAndChanged(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 1)
	autopilot := func(args ...string) result {
		return command(t, "laurel", append([]string{"cluster", "autopilot", "--to", g.frontends[0].url}, args...)...)
	}
	want := func(o result, code int, words ...string) {
		t.Helper()
		for _, w := range words {
			if o.code != code || !strings.Contains(o.out+o.err, w) {
				t.Errorf("%v; want exit code %d and %q", o, code, w)
			}
		}
	}
	want(autopilot("show"), 0, "removed after 72h, when the group was well for 10s; no voter is removed")
	want(autopilot("set"), 2, "at least one of --clean-up-after, --min-voters and --stabilize")
	want(autopilot("set", "--min-voters", "two"), 2, "--min-voters")
	for _, bad := range [][]string{
		{"--min-voters", "2", `got "2"; want 0 to remove no voter, or 3 to 99`},
		{"--min-voters", "100", `got "100"; want 0 to remove no voter, or 3 to 99`},
		{"--clean-up-after", "59s", `got "59s"; want 0s for never, or 1m to 8760h`},
		{"--stabilize", "4s", `got "4s"; want 5s to 1h`},
	} {
		want(autopilot("set", bad[0], bad[1]), 1, bad[2], "invalid_event")
	}
	want(autopilot("show"), 0, "removed after 72h, when the group was well for 10s; no voter is removed")
	want(autopilot("set", "--min-voters", "3", "--clean-up-after", "24h", "--stabilize", "30s"), 0,
		"clean_up_after is 24h\nmin_voters is 3\nstabilize is 30s\n")
	want(autopilot("set", "--min-voters", "3"), 0, "min_voters is 3 already\n")
	want(autopilot("show"), 0, "removed after 24h, when the group was well for 30s; at least 3 voters stay",
		"the group stands the loss of 0 voters")
	want(autopilot("show", "--json"), 0, `"clean_up_after":"24h"`, `"min_voters":3`, `"stabilize":"30s"`)
	want(command(t, "laurel", "cluster", "status", "--to", g.frontends[0].url), 0, "the group stands the loss of 0 voters")
	trail := mustRun(t, "laurel", "audit", "--to", g.frontends[0].url)
	for _, line := range []string{
		"the setting clean_up_after is 24h", "the setting min_voters is 3", "the setting stabilize is 30s",
	} {
		if strings.Count(trail, line) != 1 {
			t.Errorf("the audit trail has %q %d times:\n%s", line, strings.Count(trail, line), trail)
		}
	}
}

// replacement makes a frontend without data that is to take the place of another one.
func (g *secureGroup) replacement(of *frontend) *frontend {
	g.t.Helper()
	var made result
	// The command does not ask a second time itself if the answer is lost.
	eventually(g.t, "there is a token to replace "+of.id, func() error {
		if made = g.laurel("cluster", "token", "--replace", of.id); made.code != 0 {
			return errors.New(made.String())
		}
		return nil
	})
	token := strings.TrimSpace(made.out)
	g.secret(token)
	g.env = append(g.all, "LAUREL_JOIN_TOKEN="+token)
	f := &frontend{
		id: of.id, data: filepath.Join(g.dir, of.id+"-new"), secure: true, more: []string{"--replace"}, group: g.group,
		entry: []string{"--join", urls(g.running())},
	}
	f.move(freePort(g.t), freePort(g.t))
	return f
}

// laurel runs laurel as the operator.
func (g *secureGroup) laurel(args ...string) result {
	g.t.Helper()
	env := []string{"LAUREL_URL=" + g.running()[0].url, "LAUREL_TOKEN=" + g.operator}
	return commandEnv(g.t, env, "laurel", args...)
}

func TestADeadVoterIsReplacedInOneStepAndALivingOneIsNot(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 4)
	g.post(g.frontends[0])
	dead := g.follower()
	imposter := g.replacement(dead).start()
	eventually(t, "the new one is told that the old one lives", func() error {
		if !strings.Contains(imposter.output(t), "is connected, and only a dead one is replaced") {
			return errors.New(imposter.output(t))
		}
		return nil
	})
	imposter.Kill()
	eventually(t, "the living one serves", func() error {
		m, err := g.master().member(dead.id)
		switch {
		case err != nil:
			return err
		case m.Peer != dead.peer:
			t.Fatalf("the living %s is %+v", dead.id, m)
		case m.State != score.Serving:
			return fmt.Errorf("it is %+v", m)
		}
		return nil
	})

	// Until now a frontend that a busy machine held up for seconds was not dead.
	if o := g.laurel("cluster", "autopilot", "set", "--stabilize", "5s"); o.code != 0 {
		t.Fatal(o)
	}
	dead.Kill()
	lives := g.replacement(dead)
	lives.start().waitReady()
	eventually(t, "it is a voter of four in the place of the dead one", func() error {
		s, err := g.running()[0].status()
		if err != nil {
			return err
		}
		voters := 0
		for _, m := range s.Frontends {
			if m.Voter && m.State == score.Serving && m.Peer != dead.peer {
				voters++
			}
		}
		if voters != 4 || len(s.Frontends) != 4 || s.FailureTolerance != 1 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	g.post(lives)
	if o := g.laurel("audit"); o.code != 0 || strings.Count(o.out, " takes the place of "+dead.id+"@") != 1 {
		t.Errorf("the audit trail: %v", o)
	}

	// The machine of the dead one comes back with the old disk.
	dead.start()
	if code := dead.exit(t); code != 5 {
		t.Errorf("with the old disk it ended with exit code %d; want 5\n%s", code, dead.output(t))
	}
	g.post(lives)
	g.expectSecretsKept()
}
