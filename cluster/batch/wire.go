package batch

import (
	"encoding/binary"
	"errors"
	"fmt"

	"laurel/fsm/entry"
	"laurel/score"
)

// Encode returns the body with which a batch is forwarded: each post with its length
// before it.
func Encode(batch []*Post) (body []byte) {
	for _, p := range batch {
		body = binary.AppendUvarint(body, uint64(p.Size()))
		body = append(body, p.Bytes()...)
	}
	return body
}

// Decode returns the forwarded posts of a body.
func Decode(body []byte) (batch []*Post, err error) {
	for len(body) > 0 {
		size, n := binary.Uvarint(body)
		if n <= 0 || size > uint64(len(body)-n) {
			return nil, errors.New("the forwarded posts are truncated")
		}
		post, latest, err := entry.ParsePost(body[n : n+int(size)])
		if err != nil {
			return nil, fmt.Errorf("forwarded post %d: %w", len(batch), err)
		}
		body = body[n+int(size):]
		p := NewPost(post)
		p.Forwarded, p.Latest = true, latest
		batch = append(batch, p)
	}
	return batch, nil
}

// Answer is the master's answer to one forwarded post.
type Answer struct {
	Results []score.Result `json:"results,omitzero"`
	Problem *score.Problem `json:"problem,omitzero"` // refuses the whole post
	Unsent  bool           `json:"unsent,omitzero"`  // the member asked is not the master
	Unknown bool           `json:"unknown,omitzero"` // it was when it proposed the post
}

// Answer returns the answer that has the outcome.
func (o Outcome) Answer() Answer {
	var p *score.Problem
	switch {
	case o.Err == nil:
		return Answer{Results: o.Results}
	case errors.Is(o.Err, ErrNoMaster), errors.Is(o.Err, ErrStopping):
		return Answer{Unsent: true}
	case errors.As(o.Err, &p):
		return Answer{Problem: p}
	}
	return Answer{Unknown: true}
}

// Outcome returns the outcome that the answer has.
func (a Answer) Outcome() Outcome {
	switch {
	case a.Unsent:
		return Outcome{Err: ErrNoMaster}
	case a.Unknown:
		return Outcome{Err: ErrUnknown}
	case a.Problem != nil:
		return Outcome{Err: a.Problem}
	}
	return Outcome{Results: a.Results}
}
