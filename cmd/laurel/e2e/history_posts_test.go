package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// post makes an event and posts it, first to the client's frontend. If the outcome is
// unknown, it either repeats the post at any frontend until it is acknowledged, as a feed
// does, or gives up, as a person may.
func (c *client) post() bool {
	c.posts++
	c.seq++
	id := fmt.Sprintf("%s-%d", c.name, c.posts)
	r, body := c.event(id)
	call := c.h.now()
	revision := c.postOnce(c.url, body)
	at := c.url
	for again := c.rand.IntN(2) == 0; revision == 0; {
		// If this event was not applied, the next one of this source would leave a gap.
		if !again || c.h.now()-call > int64(patience) {
			c.h.unknown(call, r)
			c.open = append(c.open, body)
			c.feed, c.seq = c.feed+1, 0
			return false
		}
		<-time.After(writePause)
		at = c.all[c.rand.IntN(len(c.all))]
		revision = c.postOnce(at, body)
	}
	c.h.acked(call, r, revision)
	return at == c.url
}

// event returns the next event for the specification and for Laurel.
func (c *client) event(id string) (request, string) {
	data, kind, contest := `{"competitor":"GAU","delta":1}`, score.TypeScorePlay, anyContest(c.rand)
	r := request{thing: contest, verb: add, event: id, how: c.name}
	switch n := c.rand.IntN(100); {
	case n < 10:
		r.verb, r.to = set, int64(c.rand.IntN(1000))
		kind, data = score.TypeScoreSet, fmt.Sprintf(`{"result":{"GAU":%d},"reason":"the sages have looked again"}`,
			r.to)
	case n < 20:
		i := c.rand.IntN(meets)
		r.thing, contest = medalsOfGaul(i), ceremonies(i)
		kind, data = score.TypeMedalAward, gold(id)
	}
	// The time is given, as a repeat must be the same event.
	return r, fmt.Sprintf(`{"id":%q,"source":"%s.%d","seq":%d,"time":%q,"type":%q,"contest_id":%q,"data":%s}`,
		id, c.name, c.feed, c.seq, time.Now().UTC().Format(time.RFC3339Nano), kind, contest, data)
}

func gold(award string) string {
	return fmt.Sprintf(`{"award_id":%q,"medal":"GOLD","organisation":"GAU"}`, award)
}

// postOnce returns the revision of the event, or 0 if the outcome is unknown.
func (c *client) postOnce(url, body string) uint64 {
	a, err := c.do("POST", url+"/v1/events", body)
	switch {
	case err != nil:
		c.h.count("post: " + failureKind(err))
		return 0
	case a.status >= 500:
		var p score.Problem
		_ = json.Unmarshal([]byte(a.body), &p) // an answer without a problem counts as one without a code
		c.h.count("post: " + cmp.Or(string(p.Code), http.StatusText(a.status)))
		return 0
	}
	var p posted
	err = json.Unmarshal([]byte(a.body), &p)
	if a.status != http.StatusOK || err != nil || len(p.Results) != 1 || p.Results[0].Revision == 0 {
		c.h.addError(fmt.Errorf("POST %s: %d %s", body, a.status, a.body))
		return 0
	}
	c.h.count("post: " + p.Results[0].Status)
	return p.Results[0].Revision
}

// setUp makes the objects before any fault.
func setUp(t testing.TB, f *frontend, h *history) {
	t.Helper()
	event := func(thing string, v verb, id, kind, contest, data string) {
		call := h.now()
		p := apply(t, f, fmt.Sprintf(`{"id":%q,"type":%q,"contest_id":%q,"data":%s}`, id, kind, contest, data))
		h.acked(call, request{thing: thing, verb: v, event: id, how: "setup"}, p.Results[0].Revision)
	}
	for i := range meets {
		for j := range contestsOfMeet {
			id := contestOf(i, j)
			name := strings.ReplaceAll(id, "/", "-")
			event(id, set, "define-"+name, "contest.define", id, `{"kind":"head_to_head","sport":"stone-curling",
 "competitors":[{"code":"GAU","organisation":"GAU"},{"code":"ROM","organisation":"ROM"}]}`)
			event(id, set, "start-"+name, "contest.status", id, `{"schedule_status":"RUNNING","result_status":"LIVE"}`)
		}
		first := "first-" + meet(i)
		event(medalsOfGaul(i), add, first, "medal.award", ceremonies(i), gold(first))
	}
}

// timelines returns the revision of each event by its id, according to f.
func (f *frontend) timelines(t testing.TB) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	for i := range meets {
		ids := []string{ceremonies(i)}
		for j := range contestsOfMeet {
			ids = append(ids, contestOf(i, j))
		}
		for _, id := range ids {
			f.pages(t, "/v1/timeline/"+id+"?limit=1000", func(a answer) {
				for _, e := range decode[struct {
					Events []score.TimelineEvent `json:"events"`
				}](t, a).Events {
					if was, twice := all[e.ID]; twice {
						t.Errorf("%s: %s is there twice, at revisions %d and %d", f.id, e.ID, was, e.Revision)
					}
					all[e.ID] = e.Revision
				}
			})
		}
	}
	return all
}

// lookAtAll has a last client read each object at each frontend.
func lookAtAll(t testing.TB, frontends []*frontend, h *history) {
	for _, f := range frontends {
		newClient("last", f.url, nil, h, nil).lookAtAll(t)
	}
}

// lookAtAll makes a client read each object once.
func (c *client) lookAtAll(t testing.TB) {
	t.Helper()
	for i := range meets {
		for j := range contestsOfMeet {
			id := contestOf(i, j)
			eventually(t, "an answer about "+id, func() error { return answered(c.readContest(id, "")) })
			eventually(t, "the timeline of "+id, func() error { return answered(c.readTimeline(id)) })
		}
		eventually(t, "the list of "+meet(i), func() error { return answered(c.readList(i, "")) })
		eventually(t, "the medals of "+meet(i), func() error { return answered(c.readMedals(i)) })
	}
}

func answered(yes bool) error {
	if !yes {
		return fmt.Errorf("no answer")
	}
	return nil
}
