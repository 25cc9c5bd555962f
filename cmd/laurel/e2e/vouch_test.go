package e2e

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	laurel "laurel/client"
	"laurel/client/verify"
	"laurel/score"
	"laurel/trust/keyfile"
	"laurel/witness"
)

// vouchedGroup is a sworn group with a policy for its readers, and a bard.
type vouchedGroup struct {
	*swornGroup
	policyFile, policyKey string
	policy                *witness.Policy
	bard                  ed25519.PrivateKey
}

func newVouchedGroup(t testing.TB) *vouchedGroup {
	t.Helper()
	return vouch(newSwornGroup(t))
}

// vouch makes the policy and the bard of a sworn group.
func vouch(sworn *swornGroup) *vouchedGroup {
	sworn.t.Helper()
	g, t := &vouchedGroup{swornGroup: sworn}, sworn.t
	f1 := g.cli(0, "", "roster", "key", "--data", g.frontends[0].data)
	text := g.cli(0, g.key, "policy", "f1="+f1) + "\n"
	g.policyFile = filepath.Join(g.dir, "policy")
	if err := os.WriteFile(g.policyFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	private, err := keyfile.Read(g.key)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := witness.NewKey("getafix", private)
	if err != nil {
		t.Fatal(err)
	}
	g.policyKey = operator.Verifier()
	if g.policy, err = witness.ParsePolicy([]byte(text), g.policyKey); err != nil {
		t.Fatal(err)
	}
	bard := filepath.Join(g.dir, "bard.key")
	if r := command(t, "bard", "key", "new", "--out", bard); r.code != 0 {
		t.Fatal(r.err)
	}
	g.cli(0, g.key, "access", "grant", "bard", "--role", "bard", "--key", bard)
	if g.bard, err = keyfile.Read(bard); err != nil {
		t.Fatal(err)
	}
	return g
}

// client returns a client of URLs, which signs what it posts.
func (g *vouchedGroup) client(urls ...string) *laurel.Client {
	g.t.Helper()
	c, err := laurel.New(urls, laurel.Options{Key: g.bard, Lineage: g.policy.Store})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return c
}

func (g *vouchedGroup) urls() (all []string) {
	for _, f := range g.frontends {
		all = append(all, f.url)
	}
	return all
}

// post posts a signed event, until it is applied, and returns its revision.
func (g *vouchedGroup) post(c *laurel.Client, e score.Event) uint64 {
	g.t.Helper()
	var results []score.Result
	events := []score.Event{e} // Post sets the time, which must be the same when it is repeated
	eventually(g.t, "an event is applied", func() (err error) {
		results, err = c.Post(g.t.Context(), events)
		return err
	})
	return results[0].Revision
}

const twoTeams = `{"kind":"head_to_head","sport":"stone-curling","competitors":[{"code":"GAU"},{"code":"ROM"}]}`

// define posts a contest and a score, and a race with two marks.
func (g *vouchedGroup) define(c *laurel.Client) {
	g.t.Helper()
	for seq, line := range []string{
		`{"type":"contest.define","contest_id":"OG50BC/CUR-1","data":` + twoTeams + `}`,
		`{"type":"contest.status","contest_id":"OG50BC/CUR-1","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		`{"type":"score.play","contest_id":"OG50BC/CUR-1","data":{"competitor":"GAU","delta":2}}`,
		`{"type":"medal.award","contest_id":"OG50BC/CUR-1","data":{"award_id":"A","medal":"GOLD","organisation":"GAU"}}`,
		`{"type":"contest.define","contest_id":"OG50BC/MAR","data":{"kind":"ranked","sport":"marathon","result_type":"TIME","unit":"s"}}`,
		`{"type":"contest.status","contest_id":"OG50BC/MAR","data":{"schedule_status":"RUNNING","result_status":"LIVE"}}`,
		`{"type":"result.set","contest_id":"OG50BC/MAR","data":{"competitor":"2888","split":"finish","mark":"2:11:31.2"}}`,
		`{"type":"result.set","contest_id":"OG50BC/MAR","data":{"competitor":"31","split":"finish","mark":7856.4}}`,
	} {
		e, p := score.Decode([]byte(line))
		if p != nil {
			g.t.Fatal(p)
		}
		e.Source, e.Seq = "bard/desk", uint64(seq+1)
		g.post(c, e)
	}
}

// questionsOfReaders are asked while a frontend lies.
var questionsOfReaders = []string{
	"/v1/scores/OG50BC/CUR-1", "/v1/medals/OG50BC", "/v1/leaderboard/OG50BC/MAR?around=2888&limit=3",
	"/v1/scores?competition=OG50BC",
}

func TestNoLieOfOneFrontendOfFourIsAcceptedAndTheLiarIsNamed(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	g.define(g.client(g.urls()...))
	l := newLiar(t, g.master()) // the worst one
	urls := []string{l.server.URL}
	for _, f := range g.frontends {
		if f != l.frontend {
			urls = append(urls, f.url)
		}
	}
	r := verify.New(g.client(urls...), g.policy)
	for _, c := range lies {
		l.lie.Store(nil)
		l.old.Store(nil)
		if c.what == "an old answer" { // one that another reader has got
			l.lie.Store(&c.tell)
			_, _ = r.Get(t.Context(), questionsOfReaders[0], nil)
		}
		l.lie.Store(&c.tell)
		for _, q := range questionsOfReaders {
			want := get(t, g.frontends[0].url+q).body
			// On a busy machine the liar may be slower than the grace.
			eventually(t, c.what+": "+q+" is answered, and the liar named", func() error {
				a, err := r.Get(t.Context(), q, nil)
				switch {
				case err != nil:
					return err
				case string(a.Body) != want:
					t.Fatalf("%s: %s: a reader accepted\n%s\nand it is\n%s", c.what, q, a.Body, want)
				case len(a.Objectors) != 1 || a.Objectors[0].Frontend != l.id || len(a.Agreed) != 3 ||
					c.why != nil && !errors.Is(a.Objectors[0].Err, c.why):
					return fmt.Errorf("it names %v; %v agree", a.Objectors, a.Agreed)
				}
				return nil
			})
		}
		env := []string{"LAUREL_URL=" + strings.Join(urls, ","), "LAUREL_POLICY=" + g.policyFile}
		args := []string{"scores", "OG50BC/CUR-1", "--verify=now", "--policy-key", g.policyKey}
		var verified result
		eventually(t, c.what+": the command is answered", func() error {
			if verified = commandEnv(t, env, "laurel", args...); verified.noAnswer() {
				return errors.New(verified.String())
			}
			return nil
		})
		plain := commandEnv(t, []string{"LAUREL_URL=" + g.frontends[0].url}, "laurel", args[:2]...)
		if verified.code != 0 || verified.out != plain.out || !strings.Contains(verified.err, "\n"+l.id) {
			t.Errorf("%s: exit code %d\n%s%s\nwithout --verify\n%s", c.what, verified.code, verified.out, verified.err, plain.out)
		}
	}
}

func TestTwoLiarsOfFourStopReadersAndDoNotDeceiveThem(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	g.define(g.client(g.urls()...))
	urls := g.urls()
	var liars []*liar
	for i, f := range g.frontends[2:] {
		liars = append(liars, newLiar(t, f))
		urls[2+i] = liars[i].server.URL
	}
	r := verify.New(g.client(urls...), g.policy)
	r.Timeout = 700 * time.Millisecond
	for _, c := range lies {
		for _, l := range liars {
			l.lie.Store(&c.tell)
		}
		const q = "/v1/scores/OG50BC/CUR-1"
		eventually(t, c.what+": f1 and f2 answer in time", func() error {
			a, err := r.Get(t.Context(), q, nil)
			if none, ok := errors.AsType[*verify.NoQuorumError](err); ok {
				if len(none.Opinions) == 0 || !strings.Contains(err.Error(), "f1 and f2") {
					return err
				}
				return nil
			}
			// Some lies leave the answer as it is.
			if err != nil || string(a.Body) != get(t, g.frontends[0].url+q).body {
				t.Errorf("%s: two liars had a reader accept %v, %v", c.what, a, err)
			}
			return nil
		})
	}
	l := lies[1].tell
	for _, one := range liars {
		one.lie.Store(&l)
	}
	// A busy machine may hold the answers up for longer than that.
	eventually(t, "the command says why it prints nothing", func() error {
		refused := command(t, "laurel", "scores", "OG50BC/CUR-1", "--verify=now", "--patience", "700ms",
			"--policy", g.policyFile, "--to", strings.Join(urls, ","))
		if refused.code != 3 || refused.out != "" {
			t.Fatalf("exit code %d\n%s%s", refused.code, refused.out, refused.err)
		}
		if !strings.Contains(refused.err, "nothing that can be verified") {
			return errors.New(refused.err)
		}
		return nil
	})
}

func TestAVerifiedReadNeedsThreeOfFourFrontendsUp(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	g.define(g.client(g.urls()...))
	// One URL is enough to find the others, by https.
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(get(t, g.frontends[0].url+"/v1/cluster/authority").body))
	c, err := laurel.New(g.urls()[1:2], laurel.Options{TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := verify.New(c, g.policy)
	// On a busy machine a frontend may not answer within the timeout of a read.
	eventually(t, "by one URL", func() error {
		a, err := r.Get(t.Context(), "/v1/scores/OG50BC/CUR-1", nil)
		if err == nil && len(a.Agreed) < 3 {
			err = fmt.Errorf("%v", a)
		}
		return err
	})
	eventually(t, "what there is not", func() error {
		if _, err := r.Get(t.Context(), "/v1/scores/OG50BC/NO", nil); score.CodeOf(err) != score.NotFound {
			return fmt.Errorf("it is answered with %v", err)
		}
		return nil
	})
	g.frontends[3].Kill()
	r.Grace = r.Timeout // f2 has two URLs, and f4 is named when both have answered
	eventually(t, "with f4 down", func() error {
		a, err := r.Get(t.Context(), "/v1/scores/OG50BC/CUR-1", nil)
		if err == nil && (strings.Join(a.Agreed, " ") != "f1 f2 f3" || len(a.Objectors) != 1 ||
			a.Objectors[0].Frontend != "f4") {
			err = fmt.Errorf("%v", a)
		}
		return err
	})
	g.frontends[2].Kill()
	r.Timeout = 300 * time.Millisecond
	if a, err := r.Get(t.Context(), "/v1/scores/OG50BC/CUR-1", nil); !errors.As(err, new(*verify.NoQuorumError)) {
		t.Errorf("with f3 and f4 down: %v, %v", a, err)
	}
}
