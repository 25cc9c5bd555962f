//go:build spy

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/client/verify"
	"laurel/score"
	"laurel/witness"
)

// spiedGroup is a group in which every frontend has a spy, and one of them takes orders. It
// is the same one in all rows: one of four may be corrupt.
type spiedGroup struct {
	*vouchedGroup
	liar      *frontend
	honest    []*frontend
	bard      *laurel.Client // of the honest frontends
	said, seq uint64         // by it: events, and the last one that counts
	now       *verify.Reader
	certified *verify.Certified
	page      *pageReader       // in the table of lies
	token     string            // of an operator
	backs     map[*frontend]int // how often frontends have gone back because of a lie
	leads     bool              // the liar lies as the master

	posted, seen atomic.Int64 // points that were posted to the busy contest, and that are certified
}

func newSpiedGroup(t testing.TB, env ...string) *spiedGroup {
	t.Helper()
	g := &spiedGroup{vouchedGroup: vouch(swear(&group{t: t, dir: t.TempDir(), logs: logs(t), env: env, spied: true}))}
	g.liar, g.honest = g.frontends[0], g.frontends[1:]
	g.bard = g.client(g.urls()[1:]...)
	g.token = g.cli(0, g.key, "access", "grant", "desk", "--role", "operator")
	readers := g.client(g.urls()...) // the liar first
	g.now, g.certified = verify.New(readers, g.policy), verify.NewCertified(readers, g.policy, "")
	g.begin(other)
	g.begin(busy)
	return g
}

// stop ends all frontends.
func (g *spiedGroup) stop() {
	for _, f := range g.frontends {
		f.Kill()
	}
}

// order has the spy in a frontend tell a lie.
func (f *frontend) order(t testing.TB, lie map[string]any) {
	t.Helper()
	if err := f.obey(lie); err != nil {
		t.Fatal(err)
	}
}

// tell has the liar tell a lie, as the master if it must be: a busy machine may take that away.
func (g *spiedGroup) tell(lie map[string]any) {
	g.t.Helper()
	eventually(g.t, "the spy obeys", func() error {
		if g.leads {
			g.lead(g.liar)
		}
		return g.liar.obey(lie)
	})
}

// obey returns why the spy in a frontend does not tell a lie.
func (f *frontend) obey(lie map[string]any) error {
	body, err := json.Marshal(lie)
	if err != nil {
		return err
	}
	a, err := http.Post("http://"+f.debug+"/spy", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if text, _ := io.ReadAll(a.Body); a.StatusCode != http.StatusOK {
		return fmt.Errorf("the spy does not obey %v: %s", lie, text)
	}
	return nil
}

// verdicts returns whom a frontend names.
func (f *frontend) verdicts() (list []witness.Verdict, err error) {
	a, err := http.Get("http://" + f.debug + "/spy")
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	return list, json.UnmarshalRead(a.Body, &list)
}

// expectPutOut waits until the honest frontends have put the liar out, and have a master.
func (g *spiedGroup) expectPutOut(fault witness.Fault) {
	g.t.Helper()
	for _, f := range g.honest {
		eventually(g.t, f.id+" puts the liar out", func() error {
			s, err := f.status()
			if err != nil {
				return err
			}
			for _, m := range s.Frontends {
				switch {
				case m.ID != g.liar.id && m.PutOut != nil:
					g.t.Fatalf("%s puts %s out: %+v", f.id, m.ID, m.PutOut)
				case m.ID == g.liar.id && (m.PutOut == nil || m.PutOut.Reason != string(fault)):
					return fmt.Errorf("it is %+v", m.PutOut)
				}
			}
			if s.Master == "" || s.Master == g.liar.id {
				return fmt.Errorf("its master is %q", s.Master)
			}
			return nil
		})
	}
}

// lead makes a frontend the master.
func (g *spiedGroup) lead(f *frontend) {
	g.t.Helper()
	eventually(g.t, "mastership goes to "+f.id, func() error {
		if s, err := f.status(); err == nil && s.Master == f.id {
			return nil
		}
		o := commandEnv(g.t, []string{"LAUREL_TOKEN=" + g.token, "LAUREL_URL=" + strings.Join(g.urls(), ",")},
			"laurel", "cluster", "transfer", f.id)
		if o.code != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	f.waitReady()
}

// certifiedKeys returns the keys of bards.
func (g *spiedGroup) certifiedKeys() (body string) {
	g.t.Helper()
	eventually(g.t, "the keys are certified", func() error {
		a, err := g.certified.Get(g.t.Context(), "/v1/keys", nil)
		if err == nil {
			body = string(a.Body)
		}
		return err
	})
	return body
}

// settled returns the answer of which all states of honest frontends are.
func (g *spiedGroup) settled(path string) (body string) {
	g.t.Helper()
	eventually(g.t, "the honest frontends answer alike", func() error {
		var bodies []string
		g.revive(g.honest)
		for _, f := range g.honest {
			body, err := f.own(g.t, path)
			if err != nil {
				return fmt.Errorf("%s: %w", f.id, err)
			}
			bodies = append(bodies, body)
		}
		if body = bodies[0]; len(slices.Compact(bodies)) != 1 {
			return fmt.Errorf("they say %q", bodies)
		}
		return nil
	})
	if strings.HasPrefix(path, "/v1/scores/") && romeScores([]byte(body)) {
		g.t.Fatalf("the honest frontends say %s", body)
	}
	return body
}

// romeScores reports whether an answer has points of Rome. Nobody posts any.
func romeScores(body []byte) bool {
	var r score.Record
	_ = json.Unmarshal(body, &r)
	return slices.ContainsFunc(r.Competitors, func(c score.Standing) bool {
		return c.Code == "ROM" && c.Result != nil && *c.Result != 0
	})
}

// own returns the answer of a frontend's own state.
func (f *frontend) own(t testing.TB, path string) (string, error) {
	question, err := json.Marshal(&witness.Question{Question: path, Nonce: rand.Text()})
	if err != nil {
		return "", err
	}
	var s witness.Statement
	if err = vouchOf(t.Context(), f.url, question, &s); err == nil && s.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", s.Status, s.Body)
	}
	return s.Body, err
}

// readNow asks all. If objector is not nil, the reader must name that frontend and no other.
func (g *spiedGroup) readNow(objector *frontend, path, truth string) {
	g.t.Helper()
	eventually(g.t, path+" is answered by a quorum", func() error {
		g.revive(g.honest)
		a, err := g.now.Get(g.t.Context(), path, nil)
		switch {
		case err != nil:
			return err
		case string(a.Body) != truth:
			g.t.Fatalf("a reader accepted\n%s\nand it is\n%s", a.Body, truth)
		case objector != nil && (len(a.Objectors) != 1 || a.Objectors[0].Frontend != objector.id ||
			!errors.Is(a.Objectors[0].Err, verify.ErrDiffers)):
			return fmt.Errorf("it names %v", a.Objectors)
		}
		return nil
	})
}

// readCertified reads by certificate.
func (g *spiedGroup) readCertified(path, truth string, stops bool) {
	g.t.Helper()
	patience := patience
	if stops {
		patience = 3 * time.Second
	}
	err := poll(patience, func() error {
		g.revive(g.honest)
		ctx, cancel := context.WithTimeout(g.t.Context(), 3*time.Second)
		defer cancel()
		a, err := g.certified.Get(ctx, path, nil)
		switch {
		case err != nil:
			return err
		case string(a.Body) != truth && !isOlder(string(a.Body), truth):
			g.t.Fatalf("a reader accepted by certificate\n%s\nand it is\n%s", a.Body, truth)
		case string(a.Body) != truth:
			return errors.New("it is not certified yet")
		}
		return nil
	})
	if err != nil && !stops {
		g.t.Fatalf("%s by certificate: %v", path, err)
	}
}

// isOlder reports whether an answer is of an earlier revision, and has fewer points.
func isOlder(body, truth string) bool {
	var a, b score.Record
	if json.Unmarshal([]byte(body), &a) != nil || json.Unmarshal([]byte(truth), &b) != nil || a.Revision >= b.Revision {
		return false
	}
	return !romeScores([]byte(body))
}

// readByCommand reads by the command, both ways.
func (g *spiedGroup) readByCommand(contest, truth string, stops bool) {
	g.t.Helper()
	env := []string{
		"LAUREL_URL=" + strings.Join(g.urls(), ","), "LAUREL_POLICY=" + g.policyFile, "XDG_CACHE_HOME=" + g.dir,
	}
	for _, how := range []string{"--verify=now", "--verify"} {
		args := []string{"scores", contest, how, "--json", "--patience", "3s", "--policy-key", g.policyKey}
		read := func() error {
			o := commandEnv(g.t, env, "laurel", args...)
			switch {
			case o.code == 3: // nothing that can be verified
				return errors.New(o.String())
			case o.code != 0 || o.out != truth:
				g.t.Fatalf("laurel %s: %s\nand it is\n%s", strings.Join(args, " "), o, truth)
			}
			return nil
		}
		if stops && how == "--verify" {
			_ = read() // there may be nothing
			continue
		}
		eventually(g.t, "laurel scores "+how, read)
	}
}

// names returns an error unless f has a verdict on the liar, and none on anybody else.
func names(f, liar *frontend, fault witness.Fault) error {
	list, err := f.verdicts()
	if err != nil {
		return err
	}
	found := false
	for _, v := range list {
		found = found || v.Frontend == liar.id && v.Fault == fault
		if v.Frontend != liar.id && v.Frontend != "" {
			return fmt.Errorf("it names %s as well: %+v", v.Frontend, list)
		}
	}
	if !found {
		return errors.New("its verdicts are " + strconv.Quote(fmt.Sprintf("%+v", list)))
	}
	return nil
}

// namesHonest returns an error if f names an honest frontend, or does not answer.
func (g *spiedGroup) namesHonest(f *frontend) error {
	list, err := f.verdicts()
	if err != nil {
		return err
	}
	for _, v := range list {
		if v.Frontend != g.liar.id && v.Frontend != "" {
			return fmt.Errorf("it names %s: %+v", v.Frontend, list)
		}
	}
	return putsOutOnly(f, g.liar.id)
}

// putsOutOnly returns an error if f has put another frontend out than the one with an id, or
// does not answer.
func putsOutOnly(f *frontend, id string) error {
	s, err := f.status()
	if err != nil {
		return err
	}
	for _, m := range s.Frontends {
		if m.ID != id && m.PutOut != nil {
			return fmt.Errorf("it puts %s out: %+v", m.ID, m.PutOut)
		}
	}
	return nil
}
