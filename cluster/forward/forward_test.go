package forward

import (
	"bytes"
	"cmp"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
)

// newForwarder returns a Forwarder of a member with a peer port, which knows no master.
func newForwarder(t *testing.T) *Forwarder {
	t.Helper()
	p, err := peer.Listen(peer.Config{Address: "127.0.0.1:0", ServerID: "f1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	scale := func(d time.Duration) time.Duration { return 20 * d }
	return New(Config{Port: p, Scale: scale, Logger: slog.New(slog.DiscardHandler)})
}

// fakeMaster serves h on a peer port and returns its address.
func fakeMaster(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	// The member that forwards to it may be held up between the connection and the request.
	p, err := peer.Listen(peer.Config{Address: "127.0.0.1:0", ServerID: "pretender", HandshakeTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	p.HandleHTTP(h, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { p.Close() })
	return p.Addr().String()
}

func TestWholeBodyIsSentToTheNextMaster(t *testing.T) {
	t.Parallel()
	f := newForwarder(t)
	none := fakeMaster(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set(NotMasterHeader, "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	echo := fakeMaster(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	w, body := httptest.NewRecorder(), []byte("the whole body")
	r := httptest.NewRequest(http.MethodPost, "/v1/cluster/members", bytes.NewReader(body))
	sent, err := f.forwardTo(none, nil, w, r, body, "")
	if sent || score.CodeOf(err) != score.NoMaster {
		t.Errorf("who is not the master has acted on it: %v", err)
	}
	_, err = f.forwardTo(echo, nil, w, r, body, "")
	if err != nil || w.Body.String() != string(body) {
		t.Errorf("%q came through: %v", w.Body, err)
	}
}

func TestForwardedRequestNamesItsCallerWhateverTheClientSends(t *testing.T) {
	t.Parallel()
	f := newForwarder(t)
	var got http.Header
	master := fakeMaster(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got = r.Header.Clone()
		maps.Copy(got, r.Trailer)
	})
	const name = access.CallerHeader
	for what, sent := range map[string]http.Header{
		"nothing":         {},
		"the field":       {name: {"f9@lie"}},
		"two of them":     {name: {"f9@lie", "f8@lie"}},
		"in lower case":   {strings.ToLower(name): {"f9@lie"}},
		"both":            {strings.ToLower(name): {"f9@lie"}, name: {"f8@lie"}},
		"hop by hop":      {name: {"f9@lie"}, "Connection": {name}},
		"in a list":       {"Connection": {"keep-alive, laurel-caller", "close"}},
		"upgrade":         {"Connection": {"upgrade, " + name}, "Upgrade": {name}},
		"other fields":    {"Laurel-Removed": {"7"}, "LAUREL-X": {"1"}, NotMasterHeader: {"1"}},
		"a trailer field": {"Trailer": {name}, "Te": {"trailers"}},
	} {
		for _, member := range []string{"", "f2@abc"} {
			body := []byte("a body")
			r := httptest.NewRequest(http.MethodPost, "/v1/cluster/members", bytes.NewReader(body))
			r.Header, r.Trailer = sent.Clone(), http.Header{name: {"f9@lie"}}
			sent, err := f.forwardTo(master, nil, httptest.NewRecorder(), r, body, member)
			if err != nil {
				t.Fatalf("%s: %v, %v", what, sent, err)
			}
			want := cmp.Or(member, access.NoMember)
			for field, values := range got {
				if strings.HasPrefix(strings.ToLower(field), "laurel-") && !slices.Equal(values, []string{want}) {
					t.Errorf("%s, for %q: the master got %s: %q", what, member, field, values)
				}
			}
			if !slices.Equal(got[name], []string{want}) {
				t.Errorf("%s, for %q: the master got %v", what, member, got)
			}
		}
	}
}

// The host that a client has asked is a name of the frontend that forwards the request.
func TestAForwardedRequestNamesTheMastersHost(t *testing.T) {
	t.Parallel()
	f := newForwarder(t)
	master := fakeMaster(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://scores.example/v1/scores", nil)
	if _, err := f.forwardTo(master, nil, w, r, nil, ""); err != nil || w.Body.String() != master {
		t.Errorf("the master at %s was asked as %q: %d, %v", master, w.Body, w.Code, err)
	}
}

func TestChangeOfTheMasterDoesNotBreakOffAnAnswer(t *testing.T) {
	t.Parallel()
	f := newForwarder(t)
	proceed := make(chan struct{})
	master := fakeMaster(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-proceed
		io.WriteString(w, "last")
	})
	changed := make(chan struct{})
	w := &begun{httptest.NewRecorder(), make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		_, err := f.forwardTo(master, changed, w, r, nil, "")
		done <- err
	}()
	select {
	case <-w.begun:
	case err := <-done:
		close(proceed)
		t.Fatalf("nothing came through: %v", err)
	}
	close(changed)
	close(proceed)
	if err := <-done; err != nil || w.Body.String() != "first last" {
		t.Errorf("%q came through: %v", w.Body, err)
	}
}

// begun is closed when the header is written.
type begun struct {
	*httptest.ResponseRecorder
	begun chan struct{}
}

func (b *begun) WriteHeader(status int) {
	b.ResponseRecorder.WriteHeader(status)
	close(b.begun)
}
