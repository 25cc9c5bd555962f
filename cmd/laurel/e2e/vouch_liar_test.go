package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/client/verify"
	"laurel/trust/keyfile"
	"laurel/witness"
)

// liar is a frontend that a spy has: what its public port answers is altered, and the spy
// has its key.
type liar struct {
	*frontend
	server *httptest.Server
	key    *witness.Key
	lie    atomic.Pointer[lie]
	old    atomic.Pointer[[]byte] // the first true answer
}

// lie makes an answer to a question of the true one.
type lie func(l *liar, w http.ResponseWriter, r *http.Request, q *asked, s *statement)

type (
	asked     = witness.Question
	statement = witness.Statement
)

// newLiar starts a proxy in front of f that does not lie yet.
func newLiar(t testing.TB, f *frontend) *liar {
	t.Helper()
	private, err := keyfile.Read(filepath.Join(f.data, "witness.key"))
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{frontend: f}
	if l.key, err = witness.NewKey(f.id, private); err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell := l.lie.Load()
		if r.URL.Path != "/v1/vouch" || tell == nil {
			proxy.ServeHTTP(w, r)
			return
		}
		l.answer(w, r, *tell)
	}))
	t.Cleanup(func() {
		l.server.CloseClientConnections()
		l.server.Close()
	})
	return l
}

func (l *liar) answer(w http.ResponseWriter, r *http.Request, tell lie) {
	body, err := io.ReadAll(r.Body)
	var q witness.Question
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	var s witness.Statement
	if err == nil {
		err = vouchOf(r.Context(), l.url, body, &s)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	tell(l, w, r, &q, &s)
}

// vouchOf asks the frontend at a URL.
func vouchOf(ctx context.Context, at string, body []byte, s *witness.Statement) error {
	r, err := http.NewRequestWithContext(ctx, "POST", at+"/v1/vouch", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers with status %d", at, a.StatusCode)
	}
	return json.UnmarshalRead(a.Body, s)
}

// others returns the frontends that do not lie, if l is the only one that does.
func (l *liar) others() (list []*frontend) {
	for _, f := range l.group.frontends {
		if f != l.frontend {
			list = append(list, f)
		}
	}
	return list
}

// says answers with a statement, which it signs with its own key if sign is set.
func (l *liar) says(w http.ResponseWriter, q *witness.Question, s *witness.Statement, sign bool) {
	if sign {
		if err := l.key.Vouch(q, s); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	body, err := json.Marshal(s)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// altered returns a body that says something false.
func altered(body string) string {
	return strings.NewReplacer("GAU", "ROM", "ROM", "GAU", "2888", "31", "31", "2888").Replace(body)
}

const huge = 1 << 60

// lies are what one frontend can say to readers, and what they say of it.
var lies = []struct {
	what string
	tell lie
	why  error // of the objector; nil: any
}{
	{"body altered", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Body = altered(s.Body)
		l.says(w, q, s, false)
	}, verify.ErrInvalid},
	{"body altered and signed", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Body = altered(s.Body)
		l.says(w, q, s, true)
	}, verify.ErrDiffers},
	{"revision altered", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Revision++
		l.says(w, q, s, false)
	}, verify.ErrInvalid},
	{"a huge revision, signed", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Revision = huge
		l.says(w, q, s, true)
	}, verify.ErrAhead},
	{"a huge revision, false, signed", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Revision, s.Body = huge, altered(s.Body)
		l.says(w, q, s, true)
	}, verify.ErrAhead},
	{"signature altered", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Signature[3] ^= 1
		l.says(w, q, s, false)
	}, verify.ErrInvalid},
	{"an old answer", func(l *liar, w http.ResponseWriter, _ *http.Request, _ *asked, s *statement) {
		old, err := json.Marshal(s)
		if err == nil {
			l.old.CompareAndSwap(nil, &old)
			_, _ = w.Write(*l.old.Load())
		}
	}, verify.ErrInvalid},
	{"404, signed", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Status, s.Body = 404, `{"type":"about:blank","title":"Not found","status":404,"code":"not_found","detail":"no"}`
		l.says(w, q, s, true)
	}, verify.ErrDiffers},
	{"404", func(_ *liar, w http.ResponseWriter, _ *http.Request, _ *asked, _ *statement) {
		http.Error(w, "no such path", http.StatusNotFound)
	}, nil},
	{"another store", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Store = "another"
		l.says(w, q, s, true)
	}, verify.ErrInvalid},
	{"in another's name", func(l *liar, w http.ResponseWriter, _ *http.Request, q *asked, s *statement) {
		s.Body = altered(s.Body)
		if l.key.Vouch(q, s) == nil {
			s.Frontend = l.others()[0].id
		}
		l.says(w, q, s, false)
	}, verify.ErrInvalid},
	{"another's answer", func(l *liar, w http.ResponseWriter, r *http.Request, q *asked, s *statement) {
		if body, err := json.Marshal(q); err == nil && vouchOf(r.Context(), l.others()[0].url, body, s) == nil {
			l.says(w, q, s, false)
		}
	}, verify.ErrSilent},
	{"junk", func(_ *liar, w http.ResponseWriter, _ *http.Request, _ *asked, _ *statement) {
		_, _ = w.Write([]byte(`{"frontend":["`))
	}, verify.ErrInvalid},
	{"nothing", func(_ *liar, _ http.ResponseWriter, r *http.Request, _ *asked, _ *statement) {
		<-r.Context().Done()
	}, verify.ErrSilent},
}
