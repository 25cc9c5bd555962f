package forming

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/internal/address"
	"laurel/score"
)

const (
	// groupPath is where every frontend tells its group, to clients, too.
	groupPath = "/v1/frontends"
	// nonceField has a random text of the one who asks, which the answer authenticates.
	nonceField = "Laurel-Forming"
	// maxAnswer bounds an answer, in bytes, and maxHeader the header of a question.
	maxAnswer = 1 << 20
	maxHeader = 4 << 10
	maxNonce  = 64
	maxMember = 130
	// retryAfter is how long others are to wait, in seconds, as a header has it.
	retryAfter = "1"
)

// answer is the answer of a frontend at groupPath. One without a group has Forming.
type answer struct {
	score.Frontends
	Forming jsontext.Value `json:"forming,omitzero"` // a Hello
	MAC     []byte         `json:"mac,omitzero"`     // of Forming and the nonce, by the secret
}

// mac authenticates what a frontend says by the secret that all of them share.
func mac(secret, nonce string, hello []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "laurel forming 1\n%d %s\n", len(nonce), nonce)
	h.Write(hello)
	return h.Sum(nil)
}

// Handler answers other frontends, and everybody else that this one is not ready.
func (f *Frontend) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET "+groupPath, func(w http.ResponseWriter, r *http.Request) {
		hello, err := json.Marshal(f.Hello())
		nonce := r.Header.Get(nonceField)
		if err != nil || len(nonce) > maxNonce {
			http.Error(w, "invalid "+nonceField, http.StatusBadRequest)
			return
		}
		a := answer{Frontends: score.Frontends{Mode: score.Push, Frontends: []score.Frontend{}}, Forming: hello}
		if f.Secret != "" {
			a.MAC = mac(f.Secret, nonce, hello)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.MarshalWrite(w, &a) // the one who asked may be gone
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		p := score.Problemf(score.NotReady, "this frontend waits for others, with which it is to form a group; "+
			"GET %s tells for how many", groupPath)
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(p.Status)
		_ = json.MarshalWrite(w, p)
	})
	return mux
}

// Server returns a server of the Handler, with limits on what it takes.
func (f *Frontend) Server() *http.Server {
	h := f.Handler()
	if f.Secret == "" {
		h = address.OnlyThisMachine(h, "")
	}
	return &http.Server{
		Handler: h, ReadTimeout: askTimeout, WriteTimeout: askTimeout, IdleTimeout: time.Second,
		MaxHeaderBytes: maxHeader,
	}
}

var errNotFellow = errors.New("it has no group, and does not form one with the secret of this frontend")

// askHTTP asks the frontend at a URL. It asks in the clear, because a frontend without a
// group has no certificate: what it says is authenticated by the secret. Whether there is a
// group is not: the group proves itself when it is joined.
func askHTTP(ctx context.Context, url, nonce, secret string) (a Answer, err error) {
	at, err := address.Parse(url)
	if err != nil {
		return a, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.HostPort()+at.Path+groupPath, nil)
	if err != nil {
		return a, err
	}
	q.Header.Set(nonceField, nonce)
	q.Close = true
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r, err := transport.RoundTrip(q) // follows no redirects
	if err != nil {
		return a, err
	}
	defer r.Body.Close()
	switch r.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized: // a private group
		return Answer{Group: true, Master: true}, nil // it does not report whether it has a master
	default:
		return a, fmt.Errorf("%s answered %s", url, r.Status)
	}
	var got answer
	if err := json.UnmarshalRead(io.LimitReader(r.Body, maxAnswer), &got); err != nil {
		return a, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if len(got.Frontends.Frontends) > 0 {
		return Answer{Group: true, Master: got.Master != ""}, nil
	}
	if got.Forming == nil || secret != "" && !hmac.Equal(got.MAC, mac(secret, nonce, got.Forming)) {
		return a, errNotFellow
	}
	h := new(Hello)
	if err := json.Unmarshal(got.Forming, h); err != nil || len(h.Member) > maxMember || len(h.For) > maxMember {
		return a, fmt.Errorf("%s answered no hello (%v)", url, err)
	}
	return Answer{Hello: h}, nil
}
