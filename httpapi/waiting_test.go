package httpapi

import (
	"bytes"
	"net/netip"
	"strconv"
	"testing"

	"laurel/cache"
	"laurel/httpapi/fastpath"
	"laurel/trust/access"
)

// waitingRead is a read of the contest whose answer is in memory and pushed but not
// released.
func waitingRead(t *testing.T, g *testMember, a *API) (*fastHandler, *fastpath.Request, *cache.Link) {
	g.keeps = true
	h, r := hotOf(a, "/v1/scores/"+contest)
	r.Peer = fastpath.BehindProxy(netip.MustParseAddr("192.0.2.1"), true)
	h.Answer(t.Context(), nil, r) // from now on it is in memory
	lease, stream := leaseCheck(scoreRevision - 1)
	g.lease = &lease
	return h, r, stream
}

func TestReaderWhoHasTheAnswerLearnsThatAfterItsRelease(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	h, r, stream := waitingRead(t, g, a)
	r.IfNoneMatch = []byte("*")
	answer := releaseWhileWaiting(t, a, h, r, func() { stream.Receive(&cache.Release{Released: scoreRevision}, 1) })
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 304 ")) || !bytes.Contains(answer, []byte("Laurel-Cache: wait\r\n")) {
		t.Errorf("got %s", answer)
	}
}

func TestGroupThatBecomesPrivateShowsWaitingReadersNothing(t *testing.T) {
	g, a := newTestAPI(t, Options{})
	newGuardedGroup(t, g)
	h, r, stream := waitingRead(t, g, a)
	answer := releaseWhileWaiting(t, a, h, r, func() {
		g.store.change(access.SettingPrivate, strconv.FormatBool(true))
		stream.Receive(&cache.Release{Released: scoreRevision}, 1)
	})
	if bytes.Contains(answer, bodyOf(g.store, "scores/"+contest)) {
		t.Errorf("got %s", answer)
	}
}

// The time for which such a reader waits is staleTimeout, by every way.
func TestReaderWhoAcceptsAnOldAnswerDoesNotWaitForARelease(t *testing.T) {
	for _, path := range []string{"/v1/scores/" + contest, boardPath} {
		g, a := newTestAPI(t, Options{})
		g.keeps = true
		h, r := hotOf(a, path)
		h.Answer(t.Context(), nil, r)
		lease, _ := leaseCheck(1) // nothing of it is released, ever
		g.lease = &lease
		r.CacheControl = []byte("max-stale=30")
		answered := make(chan []byte, 1)
		go func() {
			answer, _ := h.Answer(t.Context(), nil, r)
			answered <- answer
		}()
		eventually(t, path+" is answered", func() bool { return len(answered) > 0 })
		if answer := <-answered; !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
			t.Errorf("%s: got %s", path, answer)
		}
	}
}
