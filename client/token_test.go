package client

import (
	"errors"
	"net/http"
	"testing"
)

// recordingTransport records the Authorization header of each request by its host.
type recordingTransport map[string]string

func (t recordingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t[r.URL.Scheme+"://"+r.URL.Host] = r.Header.Get("Authorization")
	return nil, errors.New("no connection")
}

func TestTokenIsSentOnlyOverTLSOrToThisMachine(t *testing.T) {
	sent := recordingTransport{}
	b := &tokenTransport{"Bearer secret", sent}
	for url, want := range map[string]string{
		"https://scores.example":        "Bearer secret",
		"http://127.0.0.1:8001":         "Bearer secret",
		"http://[::1]:8001":             "Bearer secret",
		"http://localhost:8001":         "Bearer secret",
		"http://scores.example":         "",
		"http://10.0.0.1:8001":          "",
		"http://127.0.0.1.evil.example": "",
	} {
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.RoundTrip(r); err == nil {
			t.Fatal("the request succeeded")
		}
		if got := sent[url]; got != want {
			t.Errorf("%s was sent %q; want %q", url, got, want)
		}
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s: the caller's request was changed", url)
		}
	}
}
