package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/witness"
)

// verified asks a frontend for a certified answer, and returns it and its round.
func (g *vouchedGroup) verified(f *frontend, key string) (answer string, round *witness.Round, err error) {
	g.t.Helper()
	a, err := ask("GET", f.url+"/v1/proof/"+key, "")
	if err != nil {
		return "", nil, err
	}
	if a.status != http.StatusOK {
		return "", nil, fmt.Errorf("%s answers %d %s", f.id, a.status, a.body)
	}
	var proven witness.Proven
	if err := json.Unmarshal([]byte(a.body), &proven); err != nil {
		return "", nil, err
	}
	var body []byte
	if proven.Answer != nil {
		body = []byte(*proven.Answer)
	}
	r := witness.Reader{Policy: g.policy}
	round, _, err = r.Verify(key, body, proven.Proof, time.Now())
	return string(body), round, err
}

// expectCertified waits until frontends prove what GET answers of a key.
func (g *vouchedGroup) expectCertified(key string, frontends ...*frontend) (round uint64) {
	g.t.Helper()
	for _, f := range frontends {
		eventually(g.t, f.id+" proves the present answer to "+key, func() error {
			want := get(g.t, f.url+"/v1/"+key).body
			answer, of, err := g.verified(f, key)
			switch {
			case err != nil:
				return err
			case answer != want:
				return fmt.Errorf("it proves %s; the present one is %s", answer, want)
			}
			round = max(round, of.Number)
			return nil
		})
	}
	return round
}

func TestThreeOfFourFrontendsCertifyWhenTheMasterIsKilled(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	c := g.client(g.urls()...)
	g.define(c)
	const key = "scores/OG50BC/CUR-1"
	last := g.expectCertified(key, g.frontends...)
	g.expectCertified("roster", g.frontends...)
	g.expectCertified("medals/OG50BC", g.frontends...)
	g.expectCertified("bards/bard/desk", g.frontends...)
	eventually(t, "it is proven that there is no such contest", func() error {
		answer, _, err := g.verified(g.frontends[0], "scores/OG50BC/NO")
		if answer != "" {
			t.Fatalf("what there is not: %q", answer)
		}
		return err
	})
	for i := range 2 {
		master := g.master()
		master.Kill()
		e, p := score.Decode([]byte(`{"type":"score.play","contest_id":"OG50BC/CUR-1","data":{"competitor":"GAU","delta":1}}`))
		if p != nil {
			t.Fatal(p)
		}
		e.Source, e.Seq = "bard/desk", uint64(9+i)
		g.post(c, e)
		round := g.expectCertified(key, g.running()...)
		if round <= last {
			t.Errorf("round %d after %d", round, last)
		}
		master.start().waitReady()
		last = g.expectCertified(key, g.frontends...)
	}
	eventually(t, "the group says which round is certified", func() error {
		var group score.Frontends
		if err := json.Unmarshal([]byte(get(t, g.frontends[0].url+"/v1/frontends").body), &group); err != nil {
			return err
		}
		for _, f := range group.Frontends {
			if f.Certified < last || f.CertifiedMS > 5000 {
				return errors.New(f.ID + " has an older one, or it is not renewed")
			}
		}
		return nil
	})
}
