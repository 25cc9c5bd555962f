package httpapi

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/witness"
)

// proofTimeout is how long a proof may wait for the next certificate.
const proofTimeout = 3 * time.Second

// proof answers with what a key had in the newest certified round, and with the proof. Its
// readers trust neither this frontend nor its master, so it is never forwarded.
func (s *server) proof(ctx context.Context, r *handler.Request) (handler.Response, error) {
	key, err := provableKey(r.Name)
	if err != nil {
		return handler.Response{}, err
	}
	if s.group.Certifier == nil {
		return handler.Response{}, notCertified()
	}
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	body, proof, err := s.group.Certifier.Prove(ctx, key)
	if err != nil {
		if ctx.Err() != nil && score.CodeOf(err) == "" {
			err = score.Problemf(score.NotReady, "no certificate within %s; retry, or ask another frontend", proofTimeout)
		}
		return handler.Response{}, err
	}
	a := handler.Response{Type: handler.TypeText, Body: []byte(proof)}
	if r.WantsText() {
		a.ETag = handler.ETag(a.Body)
	} else {
		a.Type = handler.TypeJSON
		if a.Body, a.ETag, err = s.proofs.encode(key, body, proof); err != nil {
			return handler.Response{}, err
		}
	}
	a.VaryAccept = true
	return unlessMatched(r, a), nil
}

// checkpoint answers with the newest certificate.
func (s *server) checkpoint(_ context.Context, r *handler.Request) (handler.Response, error) {
	if s.group.Certifier == nil {
		return handler.Response{}, notCertified()
	}
	note, _, err := s.group.Certifier.Checkpoint()
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
	return "", score.Problemf(score.NotFound, "no answer with the key %s is certified; those of contests, medal tables, "+
		"bards, the roster and the keys are", handler.Quoted(name))
}

// maxProven bounds the answers that are kept with their proofs, in bytes.
const maxProven = 16 << 20

// provenAnswers keeps encoded answers with proofs, because many readers ask for the same
// one. The zero value is empty.
type provenAnswers struct {
	mu    sync.Mutex
	byKey map[string]provenAnswer
	size  int
}

type provenAnswer struct {
	proof string
	body  []byte
	etag  string
}

// encode returns the body of a response, and its tag.
func (p *provenAnswers) encode(key string, answer []byte, proof string) (body []byte, etag string, err error) {
	p.mu.Lock()
	kept := p.byKey[key]
	p.mu.Unlock()
	if kept.proof == proof {
		return kept.body, kept.etag, nil
	}
	proven := witness.Proven{Proof: proof}
	if answer != nil {
		text := string(answer)
		proven.Answer = &text
	}
	if body, err = queries.Encode(&proven); err != nil {
		return nil, "", err
	}
	etag = handler.ETag(body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size += len(body) - len(p.byKey[key].body); p.byKey == nil || p.size > maxProven {
		p.byKey, p.size = map[string]provenAnswer{}, len(body)
	}
	p.byKey[key] = provenAnswer{proof, body, etag}
	return body, etag, nil
}
