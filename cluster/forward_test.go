package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"laurel/cluster/batch"
	"laurel/cluster/peer"
	"laurel/score"
	"laurel/trust/access"
)

// ask asks a node for the revision over HTTP. It returns the frontend that answered.
func ask(t testing.TB, n *node) (from, revision string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.server.URL+"/v1/scores", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.server.Client().Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return resp.Header.Get("Laurel-Frontend"), string(body), err
}

func TestEveryMemberLetsTheMasterAnswer(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 3))
	master := g.master()
	for _, n := range g.nodes {
		from, revision, err := ask(t, n)
		if err != nil || from != master.opts.ID || revision != "3" {
			t.Errorf("asked at %s, %s answered %s: %v", n.opts.ID, from, revision, err)
		}
	}
}

func TestReadDuringAFailoverIsAnsweredByTheNextMaster(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	mustPost(t, g.nodes[0], alerts("bard/a", 1, 3))
	lost := g.master()
	asked := g.others(lost)[0]
	lost.stop()
	eventually(t, "it is answered", func() error {
		from, revision, err := ask(t, asked)
		if err == nil && (from == lost.opts.ID || revision != "3") {
			t.Errorf("%s answered %s", from, revision)
		}
		return err
	})
}

func TestForwardingWithoutAMasterIsAProblem(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, func(o *Options) { o.TimeScale = 1 })
	n := g.others(g.master())[0]
	for _, other := range g.others(n) {
		other.stop()
	}
	w := httptest.NewRecorder()
	eventually(t, "the loss is noticed", func() error {
		if master, _ := n.member().leader.Current(); master != "" {
			return errors.New("it is not")
		}
		return nil
	})
	refused(t, n.member().Forward(w, httptest.NewRequest(http.MethodGet, "/v1/scores", nil), ""), score.NoMaster)
	if w.Body.Len() > 0 {
		t.Errorf("%q was written", w.Body)
	}
	if err := n.member().Ready(context.Background()); err == nil {
		t.Error("it is ready without a master")
	}
}

// fakeMaster serves h on a peer port and returns its address.
func fakeMaster(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	p, err := peer.Listen(peer.Config{Address: "127.0.0.1:0", ServerID: "pretender"})
	if err != nil {
		t.Fatal(err)
	}
	p.HandleHTTP(h, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { p.Close() })
	return p.Addr().String()
}

func TestWholeBodyIsSentToTheNextMaster(t *testing.T) {
	t.Parallel()
	n := newGroup(t, 1).nodes[0]
	none := fakeMaster(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set(notMasterHeader, "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	echo := fakeMaster(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	w, body := httptest.NewRecorder(), []byte("the whole body")
	r := httptest.NewRequest(http.MethodPost, "/v1/cluster/members", bytes.NewReader(body))
	sent, err := n.member().forwarder.forwardTo(none, nil, w, r, body, "")
	if sent || score.CodeOf(err) != score.NoMaster {
		t.Errorf("who is not the master has acted on it: %v", err)
	}
	_, err = n.member().forwarder.forwardTo(echo, nil, w, r, body, "")
	if err != nil || w.Body.String() != string(body) {
		t.Errorf("%q came through: %v", w.Body, err)
	}
}

func TestForwardedRequestNamesItsCallerWhateverTheClientSends(t *testing.T) {
	t.Parallel()
	n := newGroup(t, 1).nodes[0]
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
		"other fields":    {"Laurel-Removed": {"7"}, "LAUREL-X": {"1"}, notMasterHeader: {"1"}},
		"a trailer field": {"Trailer": {name}, "Te": {"trailers"}},
	} {
		for _, member := range []string{"", "f2@abc"} {
			body := []byte("a body")
			r := httptest.NewRequest(http.MethodPost, "/v1/cluster/members", bytes.NewReader(body))
			r.Header, r.Trailer = sent.Clone(), http.Header{name: {"f9@lie"}}
			sent, err := n.member().forwarder.forwardTo(master, nil, httptest.NewRecorder(), r, body, member)
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
	n := newGroup(t, 1).nodes[0]
	master := fakeMaster(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://scores.example/v1/scores", nil)
	if _, err := n.member().forwarder.forwardTo(master, nil, w, r, nil, ""); err != nil || w.Body.String() != master {
		t.Errorf("the master at %s was asked as %q: %d, %v", master, w.Body, w.Code, err)
	}
}

func TestChangeOfTheMasterDoesNotBreakOffAnAnswer(t *testing.T) {
	t.Parallel()
	n := newGroup(t, 1).nodes[0]
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
		_, err := n.member().forwarder.forwardTo(master, changed, w, r, nil, "")
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

func TestTooLargeBodyIsNotForwarded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	n := g.others(g.master())[0]
	w := httptest.NewRecorder()
	body := strings.NewReader(strings.Repeat("x", maxForwarded+1))
	r := httptest.NewRequest(http.MethodPost, "/v1/cluster/members", body)
	refused(t, n.member().Forward(w, r, ""), score.TooLarge)
}

func TestTruncatedForwardedPostsAreRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	m := g.others(g.master())[0].member()
	e := encoded(t, 10)
	whole := append([]byte{0, byte(e.Size())}, e.Bytes()...)
	if e.Size() > 127 {
		t.Fatal("the test's varint is one byte")
	}
	for _, body := range [][]byte{
		slices.Concat(whole, []byte{0, 5, 1}),
		slices.Concat(whole, []byte{0, 2, 0xff, 0xff}),
		slices.Concat(whole, []byte{0}),
		slices.Concat(whole, []byte{5, 1}),
		{0xff},
		append([]byte{65}, make([]byte, 65)...),
	} {
		var answers []batch.Outcome
		master := g.master().member().Peer()
		err := m.port.Call(t.Context(), master, http.MethodPost, postsPath, bytes.NewReader(body), &answers)
		refused(t, err, score.InvalidEvent)
	}
	g.agree(0)
}
