package client_test

import (
	"errors"
	"strings"
	"testing"

	"laurel/client"
	"laurel/score"
)

func TestAClientSignsForTheLineageOfItsOptions(t *testing.T) {
	t.Parallel()
	g, c := signingGroup(t, 1)
	lineage := g.Frontends[0].Member().Lineage()
	if got, err := c.Lineage(t.Context()); err != nil || got != lineage {
		t.Fatalf("the lineage is %q (%v); want %q", got, err, lineage)
	}
	for of, refused := range map[string]bool{lineage: false, "rehearsal": true} {
		c := newClient(t, client.Options{Key: privateKey(), Lineage: of,
			TrustLineage: func(string) error { return errors.New("a frontend was asked") }}, g.URLs()...)
		_, err := c.Post(t.Context(), []score.Event{alertOf("for " + of)})
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), `signed for the store "rehearsal"`) {
			t.Errorf("for %s: %v", of, err)
		}
	}
	if _, err := client.New(g.URLs(), client.Options{Key: privateKey(), Lineage: "Re-hearsal"}); err == nil {
		t.Error("a client signs for a store that cannot be")
	}
}

func TestAClientSignsNothingForAStoreThatItsUserDoesNotTrust(t *testing.T) {
	t.Parallel()
	g, _ := signingGroup(t, 1)
	asked := 0
	trust := errors.New("not that store")
	c := newClient(t, client.Options{Key: privateKey(), TrustLineage: func(lineage string) error {
		if asked++; lineage != g.Frontends[0].Member().Lineage() {
			t.Errorf("asked about %q", lineage)
		}
		return trust
	}}, g.URLs()...)
	if _, err := c.Post(t.Context(), []score.Event{alertOf("one")}); !errors.Is(err, trust) {
		t.Errorf("posted: %v", err)
	}
	s := c.Stream(t.Context(), client.StreamOptions{})
	e := alertOf("two")
	e.Seq = 1
	if err := s.Send(&e); !errors.Is(err, trust) {
		t.Errorf("sent: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// Once trusted, the store is not asked about again.
	trust, asked = nil, 0
	for range 3 {
		if _, err := c.Post(t.Context(), []score.Event{alertOf("three")}); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.Events("OG50BC"); asked != 1 || len(got) != 3 {
		t.Errorf("asked %d times; %d events", asked, len(got))
	}
}
