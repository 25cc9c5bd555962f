package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"laurel/cluster/standing"
	"laurel/score"
)

// falseTongue is a proxy before the public port of a frontend. It lies to readers, once it is
// told to.
type falseTongue struct {
	*httptest.Server
	lies   atomic.Bool
	proofs atomic.Int64 // that it was asked for
}

func newFalseTongue(t testing.TB, f *frontend) *falseTongue {
	t.Helper()
	to, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	l := &falseTongue{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			isProof := strings.HasPrefix(r.Request.URL.Path, "/v1/proof/")
			if isProof {
				l.proofs.Add(1)
			}
			if !l.lies.Load() || !isProof && !strings.HasPrefix(r.Request.URL.Path, "/v1/scores/") {
				return nil
			}
			body, err := io.ReadAll(r.Body)
			body = bytes.ReplaceAll(body, []byte("GAU"), []byte("ROM"))
			r.Body = io.NopCloser(bytes.NewReader(body))
			return err
		},
	}
	l.Server = httptest.NewServer(proxy)
	t.Cleanup(func() {
		l.CloseClientConnections()
		l.Close()
	})
	return l
}

// putOut returns whom a frontend has put out, by the reason.
func (f *frontend) putOut() (map[string]string, error) {
	s, err := f.status()
	out := map[string]string{}
	for _, m := range s.Frontends {
		if m.PutOut != nil {
			out[m.ID] = m.PutOut.Reason
		}
	}
	return out, err
}

func TestAFrontendThatLiesAtItsPublicPortIsPutOutByTheOthersAndNobodyElse(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	g := newVouchedGroup(t)
	c := g.client(g.urls()[:3]...)
	g.define(c)
	f4 := g.frontends[3]
	l := newFalseTongue(t, f4)
	f4.Kill()
	f4.more = []string{"--public-url", l.URL}
	f4.start().waitReady()

	// Honest frontends are not named while scores change.
	seq := uint64(8)
	for deadline := time.Now().Add(patience); l.proofs.Load() < 30; {
		if time.Now().After(deadline) {
			t.Fatalf("f4 was asked for %d proofs", l.proofs.Load())
		}
		e, p := score.Decode([]byte(`{"type":"score.play","contest_id":"OG50BC/CUR-1","data":{"competitor":"GAU","delta":1}}`))
		if p != nil {
			t.Fatal(p)
		}
		seq++
		e.Source, e.Seq = "bard/desk", seq
		g.post(c, e)
	}
	for _, f := range g.frontends {
		eventually(t, f.id+" tells whom it has put out", func() error {
			out, err := f.putOut()
			if len(out) > 0 {
				t.Errorf("after %d events %s has put out %v", seq, f.id, out)
			}
			return err
		})
		if log := f.output(t); strings.Contains(log, "answers readers falsely") {
			t.Errorf("%s has named an honest frontend:\n%s", f.id, log)
		}
	}

	began := time.Now()
	l.lies.Store(true)
	for _, f := range g.frontends[:3] {
		eventually(t, f.id+" puts the liar out", func() error {
			switch out, err := f.putOut(); {
			case err != nil:
				return err
			case len(out) == 0:
				return errors.New("it has put out nobody")
			case len(out) != 1 || out["f4"] != string(standing.False):
				t.Fatalf("%s has put out %v", f.id, out)
			}
			return nil
		})
	}
	t.Logf("after %d events without a finding, the liar is put out within %v", seq, time.Since(began).Round(time.Millisecond))
	eventually(t, "the liar tells whom it has put out", func() error {
		out, err := f4.putOut()
		if len(out) > 0 {
			t.Errorf("the liar has put out %v", out)
		}
		return err
	})
}
