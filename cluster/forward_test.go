package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"laurel/cluster/batch"
	"laurel/cluster/forward"
	"laurel/score"
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
	for _, n := range g.nodes {
		eventually(t, "the master answers at "+n.opts.ID, func() error {
			master := g.master()
			from, revision, err := ask(t, n)
			if err == nil && revision != "3" {
				t.Fatalf("asked at %s, %s answered %s", n.opts.ID, from, revision)
			}
			if err == nil && from != master.opts.ID {
				err = fmt.Errorf("%s answered, and %s is the master", from, master.opts.ID)
			}
			return err
		})
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

func TestTooLargeBodyIsNotForwarded(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 2)
	n := g.others(g.master())[0]
	w := httptest.NewRecorder()
	body := strings.NewReader(strings.Repeat("x", forward.MaxBody+1))
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
		g.refusedByMaster(score.InvalidEvent, func(master *Member) error {
			var answers []batch.Outcome
			return m.port.Call(t.Context(), master.Peer(), http.MethodPost, postsPath, bytes.NewReader(body), &answers)
		})
	}
	g.agree(0)
}
