package httpapi

import (
	"strings"
	"testing"
)

const isText = "Accept: text/plain"

func TestFrontPageNamesWhatThereIs(t *testing.T) {
	_, s := start(t)
	a := ask(t, s, "GET", "/", "")
	for _, want := range []string{"curl " + s.URL + "/v1/scores", "/v1/events", "/v1/medals/", "/v1/bards/",
		"/v1/timeline/", "/v1/frontends", "/v1/cluster", "/livez", "/readyz", "/metrics"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("missing: %s", want)
		}
	}
}
