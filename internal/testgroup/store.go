package testgroup

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/trust/access"
)

// Events returns the events of contests that were applied, in the order of their
// revisions. It has every event that was acked before the call.
func (g *Group) Events(contestIDs ...string) []score.Event {
	g.tb.Helper()
	var timeline []score.TimelineEvent
	for _, id := range contestIDs {
		timeline = append(timeline, g.timeline(id)...)
	}
	slices.SortFunc(timeline, func(a, b score.TimelineEvent) int { return cmp.Compare(a.Revision, b.Revision) })
	events := make([]score.Event, len(timeline))
	for i := range timeline {
		var err error
		if events[i], err = posted(&timeline[i], g.Frontends[0].Member().Lineage()); err != nil {
			g.tb.Fatal(err)
		}
	}
	return events
}

func (g *Group) timeline(contestID string) (events []score.TimelineEvent) {
	g.tb.Helper()
	q := url.Values{"limit": {"1000"}}
	for {
		var page struct {
			Events []score.TimelineEvent `json:"events"`
			Next   string                `json:"next"`
		}
		g.call(http.MethodGet, "/v1/timeline/"+contestID+"?"+q.Encode(), nil, &page)
		events = append(events, page.Events...)
		if page.Next == "" {
			return events
		}
		q.Set("after", page.Next)
	}
}

// posted returns an event of a timeline as it was posted. Signed events were signed for
// the store with the lineage.
func posted(e *score.TimelineEvent, lineage string) (score.Event, error) {
	shown := *e
	shown.Revision, shown.Voids, shown.VoidedBy, shown.Token = 0, 0, 0, ""
	ofStore := struct {
		score.TimelineEvent
		Lineage string `json:"lineage"`
	}{TimelineEvent: shown}
	if shown.Key != "" {
		ofStore.Lineage = lineage
	}
	b, err := json.Marshal(&ofStore, json.OmitZeroStructFields(true))
	if err != nil {
		return score.Event{}, err
	}
	decoded, problem := score.Decode(b)
	if problem != nil {
		return score.Event{}, problem
	}
	return decoded, nil
}

// Register grants a bard's name to a public key. From then on the store is guarded: it
// accepts only events that the key of their source has signed, or that come with the
// token of their source.
func (g *Group) Register(name string, public ed25519.PublicKey) {
	g.tb.Helper()
	g.grant(access.Grant{ID: score.KeyID(public), Name: name, Public: public})
}

// NewToken grants a bard's name to a new token, and returns that. From then on the store
// is guarded.
func (g *Group) NewToken(name string) string {
	g.tb.Helper()
	token := access.NewBearerToken()
	g.grant(access.Grant{ID: token.ID, Name: name, Hash: token.Hash()})
	return token.Text()
}

// grant makes a grant, and waits until all running frontends know it.
func (g *Group) grant(grant access.Grant) {
	g.tb.Helper()
	grant.Role, grant.Created = access.RoleBard, time.Now().UTC()
	Eventually(g.tb, func() error {
		change := access.Change{At: grant.Created, By: "test", Grant: &grant}
		return g.Master().Member().ChangeAccess(g.tb.Context(), change)
	})
	for _, f := range g.Frontends {
		Eventually(g.tb, func() error {
			if f.up() && f.Member().Access().Grants[grant.ID] == nil {
				return fmt.Errorf("%s does not know the grant of %s", f.ID, grant.Name)
			}
			return nil
		})
	}
}

// call sends a request to a running frontend, past its proxy, until it is answered. A 404
// leaves the value as it is.
func (g *Group) call(method, path string, body []byte, value any) {
	g.tb.Helper()
	Eventually(g.tb, func() error {
		for _, f := range g.Frontends {
			if f.up() {
				return f.call(method, path, body, value)
			}
		}
		return errors.New("no frontend runs")
	})
}

func (f *Frontend) call(method, path string, body []byte, value any) error {
	r, err := http.NewRequest(method, "http://"+f.Addr()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound:
		return nil
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, strings.TrimSpace(string(b)))
	case value == nil:
		return nil
	}
	return json.Unmarshal(b, value)
}
