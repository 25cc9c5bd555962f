package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"laurel/trust/access"
)

// recoverOperator recovers an operator on the machine of a frontend, and returns the token.
func (g *secureGroup) recoverOperator(f *frontend) (token string) {
	g.t.Helper()
	token = strings.TrimSpace(mustRun(g.t, "laurel", "access", "recover", "--data", f.data))
	g.secret(token)
	return token
}

// operates returns an error unless a token is an operator's at a frontend.
func operates(f *frontend, token string) error {
	a, err := ask("GET", f.url+"/v1/access", "", "Authorization", "Bearer "+token)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", f.id, a.status, a.body)
	}
	return err
}

func TestAnOperatorIsRecoveredOnTheMachineOfAVoter(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 3)
	lost := g.operator
	for _, f := range []*frontend{g.follower(), g.master()} {
		token := g.recoverOperator(f)
		eventually(t, "the token is refused", func() error {
			err := operates(f, token)
			if err == nil {
				t.Fatalf("the token is an operator's before %s has started again", f.id)
			}
			if !strings.Contains(err.Error(), "401") { // there may be no master at the moment
				return err
			}
			return nil
		})
		f.stop()
		f.start().waitReady()
		for _, other := range g.frontends {
			eventually(t, "the token is an operator's at "+other.id, func() error { return operates(other, token) })
		}
		eventually(t, "the request is gone", func() error {
			if _, err := os.Stat(filepath.Join(f.data, "operator.recovery")); !errors.Is(err, os.ErrNotExist) {
				return errors.New("it is not")
			}
			return nil
		})
		g.operator = token
		trail := g.must(f, "GET", "/v1/audit?limit=1000", "").body
		if !strings.Contains(trail, "recovered the role operator on the machine of "+f.id) ||
			!strings.Contains(trail, fmt.Sprintf("%q:%q", "by", f.id)) {
			t.Errorf("the trail does not name %s: %s", f.id, trail)
		}
	}
	// The lost token is revoked by the recovered one, which is then the last.
	id := func(token string) string {
		b, err := access.ParseBearerToken(token)
		if err != nil {
			t.Fatal(err)
		}
		return b.ID
	}
	f := g.frontends[0]
	eventually(t, "the lost token is revoked", func() error {
		a, err := g.ask(f, "DELETE", "/v1/access/grants/"+id(lost), "")
		if err == nil && a.status != http.StatusOK && !strings.Contains(a.body, "already revoked") {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if err := operates(f, lost); err == nil {
		t.Error("the lost token is still an operator's")
	}
	g.post(f)
	g.expectSecretsKept()
}

func TestAnOperatorIsRecoveredWhenTheGroupHasAMasterAgain(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 2)
	first, second := g.frontends[0], g.frontends[1]
	token := g.recoverOperator(second)
	first.Kill()
	second.Kill()
	second.start()
	eventually(t, "it waits for a master", func() error {
		if output := second.output(t); !strings.Contains(output, "waiting for the group to make an operator") {
			return errors.New(output)
		}
		return nil
	})
	first.start().waitReady()
	eventually(t, "the token is an operator's", func() error { return operates(first, token) })
	g.expectSecretsKept()
}

func TestAnOperatorIsRecoveredAtAVoterOnly(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newSecureGroup(t, 1)
	g.joinToken(1)
	reader := g.addSecure()
	reader.entry = append(reader.entry, "--nonvoter")
	reader.start().waitReady()
	open := newGroup(t, 1).frontends[0]
	for what, dir := range map[string]string{
		"a non-voter": reader.data, "insecure": open.data, "nothing": t.TempDir(),
	} {
		if o := command(t, "laurel", "access", "recover", "--data", dir); o.code != 2 || o.out != "" {
			t.Errorf("%s: %v; want wrong usage", what, o)
		}
		if _, err := os.Stat(filepath.Join(dir, "operator.recovery")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a request was left: %v", what, err)
		}
	}
}

func TestAVoteIsTakenAwayByNoFlag(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newGroup(t, 3)
	f := g.frontends[1]
	if g.master() == f {
		f = g.frontends[2] // not f1, whose command makes the group
	}
	join := []string{"cluster", "join", "--id", f.id, "--peer", f.peer, "--url", f.url, "--to", g.master().url}
	// There may be no master for a moment.
	eventually(t, "cluster join --voter=false is wrong usage, and says why", func() error {
		o := command(t, "laurel", append(slices.Clone(join), "--voter=false")...)
		if o.code == 0 {
			t.Fatalf("cluster join --voter=false: %v", o)
		}
		if o.code != 2 || o.out != "" || !strings.Contains(o.err, "has a vote") {
			return errors.New(o.String())
		}
		return nil
	})
	eventually(t, "with its vote it is harmless", func() error {
		if o := command(t, "laurel", join...); o.code != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	f.stop()
	entry := f.entry
	f.entry = append([]string{"--nonvoter"}, entry...)
	if code := f.start().exit(t); code != 2 || !strings.Contains(f.output(t), "laurel cluster leave") {
		t.Errorf("--nonvoter: exit code %d; want 2, and what to do\n%s", code, f.output(t))
	}
	f.entry = entry
	f.start().waitReady()
	if m, err := g.master().member(f.id); err != nil || !m.Voter {
		t.Errorf("%s is %+v, %v; want a voter", f.id, m, err)
	}
}
