package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// TestTheCheckerFindsAStaleScoreShownAsCurrent cuts a frontend off and reads a stale
// answer from it, as a client may ask for. With its age the history is valid; taken as
// current, the same history must be found impossible.
func TestTheCheckerFindsAStaleScoreShownAsCurrent(t *testing.T) {
	needsProcesses(t)
	t.Parallel()
	if !inOwnNetwork() {
		if err := runInOwnNetwork(t); err != nil {
			skipOrFail(t, "a frontend is cut off by a network of the test's own: %v", err)
		}
		return
	}
	cuts := newNetwork(t, members+1)
	g := newPlacedGroup(t, cuts)
	h := newHistory()
	setUp(t, g.frontends[0], h)
	alone := g.follower()
	reader := newClient("reader", alone.url, nil, h, nil)
	id := contestOf(0, 0)
	eventually(t, "an answer", func() error { return answered(reader.readContest(id, "")) })

	i := slices.Index(g.frontends, alone)
	cuts.isolate(i, members)
	other := g.frontends[(i+1)%members]
	writer := newClient("writer", other.url, nil, h, nil)
	call := h.now()
	var revision uint64
	body := fmt.Sprintf(`{"id":"new","type":"score.play","contest_id":%q,"data":{"competitor":"GAU","delta":1}}`, id)
	eventually(t, "the others take a play", func() error {
		revision = writer.postOnce(writer.url, body)
		return answered(revision > 0)
	})
	h.acked(call, request{thing: id, verb: add, event: "new", how: "writer"}, revision)
	eventually(t, "an old score is shown to a caller that is authorised to read it", func() error {
		reader.readContest(id, "?max_stale=10m") // older than any election of a busy machine makes it
		return answered(h.counts[string(score.Push)+"/stale/aged"] > 0)
	})
	// Without asking for a stale answer a client gets none.
	before := len(h.known)
	for range 2 {
		reader.readContest(id, "")
	}
	if len(h.known) != before {
		t.Errorf("cut off, %s answers with the truth", alone.id)
	}

	h.chain()
	if err := h.check(); err != nil {
		t.Errorf("a stale score with its age is found wrong: %v", err)
	}
	for _, o := range h.aged {
		// As if the answer had not admitted its age: the call time is the real one.
		o.Call = o.Metadata.(int64)
		h.known = append(h.known, o)
	}
	err := h.check()
	if err == nil {
		t.Fatal("an old score taken for the truth is not noticed")
	}
	if !strings.Contains(err.Error(), "Illegal") || !strings.Contains(err.Error(), "first [") {
		t.Errorf("the judge does not show why: %v", err)
	}
	t.Logf("as it should be: %v", err)
}
