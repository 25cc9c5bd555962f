// Package proofs answers readers of a sworn group with what a quorum of its frontends has
// certified, and with the proof.
package proofs

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/witness"
)

// Certifier has the certificates of a sworn group. An error is a *score.Problem: the group is
// not sworn, or this frontend has no certificate that it may show.
type Certifier interface {
	// Prove returns the answer for a key as of the newest certified round, as GET of
	// /v1/ and the key answers it, and the text of its proof. body is nil if there is none.
	// If the answer has changed since and is not known any more, Prove waits for the next
	// certificate, for a bounded time.
	Prove(ctx context.Context, key string) (body []byte, proof string, err error)
	// Checkpoint returns the newest certificate; changed is closed when there is another one.
	Checkpoint() (note []byte, changed <-chan struct{}, err error)
}

// Handlers answer requests for proofs and certificates.
type Handlers struct {
	Certifier Certifier // nil for a member that has no part in certificates

	kept kept
}

// Proof answers with what a key had in the newest certified round, and with the proof. Its
// readers trust neither this frontend nor its master, so it is never forwarded.
func (h *Handlers) Proof(ctx context.Context, r *handler.Request) (handler.Response, error) {
	key, err := provableKey(r.Name)
	if err != nil {
		return handler.Response{}, err
	}
	if h.Certifier == nil {
		return handler.Response{}, notCertified()
	}
	body, proof, err := h.Certifier.Prove(ctx, key)
	if err != nil {
		return handler.Response{}, err
	}
	a := handler.Response{Type: handler.TypeText, Body: []byte(proof)}
	if r.WantsText() {
		a.ETag = handler.ETag(a.Body)
	} else {
		a.Type = handler.TypeJSON
		if a.Body, a.ETag, err = h.kept.encode(key, body, proof); err != nil {
			return handler.Response{}, err
		}
	}
	a.VaryAccept = true
	return unlessMatched(r, a), nil
}

// Checkpoint answers with the newest certificate.
func (h *Handlers) Checkpoint(_ context.Context, r *handler.Request) (handler.Response, error) {
	if h.Certifier == nil {
		return handler.Response{}, notCertified()
	}
	note, _, err := h.Certifier.Checkpoint()
	if err != nil {
		return handler.Response{}, err
	}
	return unlessMatched(r, handler.Response{Type: handler.TypeText, Body: note, ETag: handler.ETag(note)}), nil
}

// unlessMatched completes a response that a client may keep if it asks each time whether it
// is still the newest: a certificate is renewed each second.
func unlessMatched(r *handler.Request, a handler.Response) handler.Response {
	a.CacheControl = "no-cache"
	if handler.MatchesETag(r.IfNoneMatch, a.ETag) {
		a.Status, a.Body = http.StatusNotModified, nil
	}
	return a
}

func notCertified() error {
	return score.Problemf(score.NotFound, "the group is not sworn, so nobody certifies its answers; ask with GET")
}

// provableKey returns the key of an answer that certificates cover: what there may be at the
// path /v1/ with the key, except for lists and what depends on parameters. Proving that
// there is no other key would only mislead.
func provableKey(name string) (string, error) {
	switch kind, _, _ := strings.Cut(name, "/"); {
	case name == "roster", name == "keys":
		return name, nil
	case kind == "scores", kind == "bards", kind == "medals":
		q, err := question.ParseRead(name, "")
		if err != nil || q.Tag == "" || kind == "bards" {
			return q.Key, err
		}
	}
	return "", score.Problemf(score.NotFound, "no answer with the key %s is certified; those of contests, "+
		"medal tables, bards, the roster and the keys are", handler.Quoted(name))
}

// maxProven bounds the answers that are kept with their proofs, in bytes.
const maxProven = 16 << 20

// kept keeps encoded answers with proofs, because many readers ask for the same
// one. It keeps none of what there is not: of that somebody can ask for ever more. The zero
// value is empty.
type kept struct {
	mu    sync.Mutex
	byKey map[string]encoded
	size  int
}

type encoded struct {
	proof string
	body  []byte
	etag  string
}

// encode returns the body of a response, and its tag.
func (k *kept) encode(key string, answer []byte, proof string) (body []byte, etag string, err error) {
	k.mu.Lock()
	known := k.byKey[key]
	k.mu.Unlock()
	if known.proof == proof {
		return known.body, known.etag, nil
	}
	proven := witness.Proven{Proof: proof}
	if answer != nil {
		text := string(answer)
		proven.Answer = &text
	}
	if body, err = queries.Encode(&proven); err != nil {
		return nil, "", err
	}
	if etag = handler.ETag(body); answer == nil {
		return body, etag, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next := encoded{proof, body, etag}
	before, had := k.byKey[key]
	if had {
		k.size -= before.bytes()
	}
	if k.size += next.bytes(); k.byKey == nil || k.size > maxProven {
		k.byKey, k.size = map[string]encoded{}, next.bytes()
	}
	k.byKey[key] = next
	return body, etag, nil
}

func (e *encoded) bytes() int { return len(e.body) + len(e.proof) }
