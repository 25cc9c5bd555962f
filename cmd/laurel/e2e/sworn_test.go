package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"laurel/internal/cli"
	"laurel/score"
	"laurel/trust/keyfile"
	"laurel/witness"
)

// swornGroup is a group of processes whose changes an operator signs.
type swornGroup struct {
	*group
	key string // the file with the operator's key
}

// newSwornGroup starts a sworn group of four frontends.
func newSwornGroup(t testing.TB) *swornGroup {
	t.Helper()
	return swear(&group{t: t, dir: t.TempDir(), logs: logs(t)})
}

// swear starts the four frontends of a sworn group.
func swear(unsworn *group) *swornGroup {
	unsworn.t.Helper()
	g := &swornGroup{group: unsworn}
	g.key = filepath.Join(g.dir, "getafix.key")
	public := g.cli(0, "", "operator", "key", "new", g.key)
	first := g.add()
	first.secure, first.more = true, []string{"--sworn", "--operator-key", public, "--operator-name", "getafix"}
	first.start().waitReady()
	g.env = append(g.env, "LAUREL_JOIN_TOKEN="+g.cli(0, g.key, "cluster", "token", "--uses", "3"))
	for range 3 {
		f := g.add()
		f.secure = true
		g.cli(0, g.key, "roster", "set", f.id, g.cli(0, "", "roster", "key", "--data", f.data))
		f.start().waitReady()
	}
	return g
}

// cli runs laurel with the operator's key, if one is given, and wants an exit code. It returns
// what it prints.
func (g *swornGroup) cli(want int, key string, args ...string) string {
	g.t.Helper()
	var env []string
	if running := g.group.running(); len(running) > 0 {
		env = append(env, "LAUREL_URL="+running[0].url)
	}
	if key != "" {
		env = append(env, "LAUREL_OPERATOR_KEY="+key)
	}
	var r result
	eventually(g.t, "a frontend answers laurel "+strings.Join(args, " "), func() error {
		if r = commandEnv(g.t, env, "laurel", args...); r.noAnswer() {
			return errors.New(r.String())
		}
		return nil
	})
	if r.code != want {
		g.t.Fatalf("laurel %s: exit code %d, want %d:\n%s%s", strings.Join(args, " "), r.code, want, r.out, r.err)
	}
	if want != 0 {
		return r.err
	}
	if args[0] == "access" {
		g.awaitGranted()
	}
	return strings.TrimSpace(r.out)
}

// noAnswer reports whether a command ended because no frontend could answer it within its patience,
// as on a busy machine. It can be repeated.
func (o result) noAnswer() bool {
	return o.code == cli.ExitUnreachable || o.code == cli.ExitFailed && slices.ContainsFunc(
		[]score.Code{score.NoMaster, score.NotReady, score.OutcomeUnknown},
		func(c score.Code) bool { return strings.Contains(o.err, string(c)+": ") })
}

func TestASwornGroupTakesOnlyWhatAnOperatorHasSigned(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSwornGroup(t)
	desk := g.cli(0, g.key, "access", "grant", "desk", "--role", "operator")
	for _, args := range [][]string{
		{"access", "grant", "bard/x", "--role", "bard"},
		{"access", "revoke", desk},
		{"cluster", "set", "private=true"},
		{"cluster", "token"},
		{"cluster", "autopilot", "set", "--min-voters", "3"},
	} {
		told := g.cli(1, "", append(args, "--token", desk)...)
		if !strings.Contains(told, "unsigned: ") || !strings.Contains(told, "LAUREL_OPERATOR_KEY") {
			t.Errorf("laurel %s: %s", strings.Join(args, " "), told)
		}
	}
	set := []string{"cluster", "autopilot", "set", "--min-voters", "3", "--clean-up-after", "24h", "--stabilize", "30s"}
	if told := g.cli(0, g.key, set...); told != "clean_up_after is 24h\nmin_voters is 3\nstabilize is 30s" {
		t.Errorf("laurel cluster autopilot set: %s", told)
	}
	stranger := filepath.Join(g.dir, "stranger.key")
	g.cli(0, "", "operator", "key", "new", stranger)
	g.cli(1, stranger, "access", "grant", "bard/x", "--role", "bard")

	bard := filepath.Join(g.dir, "bard.key")
	if r := command(t, "bard", "key", "new", "--out", bard); r.code != 0 {
		t.Fatal(r.err)
	}
	g.cli(0, g.key, "access", "grant", "bard/cacofonix", "--role", "bard", "--key", bard)
	alert := []string{"alert", "OG50BC/rain", "--text", "rain", "--to", g.frontends[2].url}
	eventually(t, "a signed event is taken, once that frontend knows of the grant", func() error {
		if r := command(t, "bard", append(alert, "--key", bard)...); r.code != 0 {
			return errors.New(r.err)
		}
		return nil
	})
	eventually(t, "an event by token is refused", func() error {
		switch r := command(t, "bard", append(alert, "--source", "desk", "--token", desk)...); {
		case r.noAnswer():
			return errors.New(r.err)
		case r.code != 1 || !strings.Contains(r.err, "unsigned"):
			t.Errorf("an event by token: exit code %d: %s", r.code, r.err)
		}
		return nil
	})

	if shown := g.cli(0, g.key, "cluster", "autopilot", "show"); !strings.Contains(shown, "removed after 24h, when the group was well for 30s") {
		t.Errorf("laurel cluster autopilot show: %s", shown)
	}

	f1 := g.cli(0, "", "roster", "key", "--data", g.frontends[0].data)
	if told := g.cli(1, g.key, "policy"); !strings.Contains(told, "f1=KEY") {
		t.Errorf("laurel policy with a frontend that founded the group: %s", told)
	}
	key, err := keyfile.Read(g.key)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := witness.NewKey("getafix", key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := witness.ParsePolicy([]byte(g.cli(0, g.key, "policy", "f1="+f1)+"\n"), operator.Verifier())
	if err != nil || p.Quorum != 3 || len(p.Frontends) != 4 || p.Frontends[0].Name != "f1" {
		t.Errorf("the policy is %+v, %v", p, err)
	}

	g.frontends[0].Kill()
	g.cli(0, g.key, "access", "revoke", desk) // it waits for the next master
	g.frontends[0].start().waitReady()
	for _, f := range g.frontends {
		eventually(t, "the roster of "+f.id, func() error {
			if a, err := ask("GET", f.url+"/v1/roster", ""); err != nil || strings.Count(a.body, `"name":"f`) != 4 {
				return fmt.Errorf("%d %s, %v", a.status, a.body, err)
			}
			return nil
		})
		info, err := os.Stat(filepath.Join(f.data, "witness.key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key of %s: %v, %v", f.id, info, err)
		}
	}
}

func TestAFrontendIsToldWhoseKeyTheRosterLacks(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSwornGroup(t)
	g.env = []string{"LAUREL_JOIN_TOKEN=" + g.cli(0, g.key, "cluster", "token")}
	f := g.add()
	f.secure = true
	f.start()
	key := g.cli(0, "", "roster", "key", "--data", f.data)
	eventually(t, "its log names its key", func() error {
		if !strings.Contains(f.output(t), "an operator must sign its key in, "+key) {
			return errors.New("it does not")
		}
		return nil
	})
	g.cli(0, g.key, "roster", "set", f.id, key)
	f.waitReady()
}
