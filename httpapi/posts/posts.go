// Package posts takes events: as JSON, one or an array that is applied as a whole, or as
// a stream of NDJSON that is applied and answered in chunks.
package posts

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
	"laurel/score/fastjson"
)

const anonymous = "anonymous"

// Poster posts events.
type Poster interface {
	// Post applies the events of p, here or at the master. An error concerns the whole
	// post; that an event was refused is a result.
	Post(ctx context.Context, p score.Post) ([]score.Result, error)
}

// Posts takes events.
type Posts struct {
	Poster Poster
	Gate   *admission.Gate
	Logger *slog.Logger

	CountProblem func(score.Code)
	CountEvents  func([]score.Result)
}

// Handle takes one event or an array as JSON, or a stream of events as NDJSON.
func (p *Posts) Handle(ctx context.Context, r *handler.Request) (handler.Response, error) {
	mediaType, err := r.MediaType(handler.TypeJSON, handler.TypeNDJSON)
	if err != nil {
		return handler.Response{}, err
	}
	if mediaType == handler.TypeNDJSON {
		return handler.Written, p.postStream(ctx, r)
	}
	b := handler.NewBuffer()
	body, err := r.ReadBody(b)
	if err == nil {
		b.B, err = p.postJSON(ctx, r, b.B[:0], body)
	}
	if err != nil {
		b.Free()
		return handler.Response{}, err
	}
	return handler.Response{Type: handler.TypeJSON, Body: b.B, Buffer: b}, nil
}

// postJSON takes a place for a post, posts the events of a JSON body, all or none, and
// appends the answer to dst, which may share the memory of body.
func (p *Posts) postJSON(ctx context.Context, r *handler.Request, dst, body []byte) ([]byte, error) {
	if !r.Admitted {
		if problem := p.Gate.BeginPost(); problem != nil {
			return dst, problem
		}
		defer p.Gate.EndPost()
	}
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return dst, score.Problemf(score.InvalidEvent, "the body is empty; want an event or an array of events")
	}
	events, problem := score.DecodeArray(body)
	if problem != nil {
		return dst, problem
	}
	if n, problem := p.Gate.AuthorizeEvents(ctx, r.Caller, events); problem != nil {
		if len(events) > 1 {
			problem = atIndex(problem, n)
		}
		return dst, problem
	}
	charge, problem := p.Gate.Charge(r.Caller, events)
	if problem != nil {
		return dst, problem
	}
	setDefaults(events)
	results, err := p.apply(ctx, score.Post{Events: events, Mode: score.AllOrNone, Secret: r.Caller.Secret})
	charge.Settle(results, err)
	if err != nil {
		return dst, err
	}
	for i := range results {
		if results[i].Problem != nil {
			return dst, results[i].Problem
		}
	}
	return appendAnswer(dst, results), nil
}

// setDefaults sets what a bard may leave out.
func setDefaults(events []score.Event) {
	var now time.Time
	for i := range events {
		e := &events[i]
		if e.Source == "" {
			e.Source = anonymous
		}
		if e.ID == "" {
			e.ID = strings.ToLower(rand.Text())
		}
		if !e.TimeGiven {
			if now.IsZero() {
				now = time.Now().UTC()
			}
			e.Time = now
		}
	}
}

// apply has the group apply events. It returns at least one result, and one for each
// event unless the last is a refusal.
func (p *Posts) apply(ctx context.Context, post score.Post) ([]score.Result, error) {
	results, err := p.Poster.Post(ctx, post)
	if err == nil && (len(results) == 0 || len(results) < len(post.Events) && results[len(results)-1].Problem == nil) {
		err = fmt.Errorf("the group returned %d results for %d events", len(results), len(post.Events))
	}
	switch {
	case err == nil:
		p.CountEvents(results)
		return results, nil
	case score.CodeOf(err) != "" || ctx.Err() != nil:
		return nil, err
	}
	// The events may have been applied.
	p.Logger.ErrorContext(ctx, "post failed", "err", err)
	return nil, score.Problemf(score.OutcomeUnknown,
		"internal error while the result was awaited, see this frontend's log; "+
			"post the same events again: those with a source and seq, or an id, are not applied twice")
}

// appendAnswer appends the answer to a JSON post: the results and the highest of their
// revisions.
func appendAnswer(b []byte, results []score.Result) []byte {
	var revision uint64
	for i := range results {
		revision = max(revision, results[i].Revision)
	}
	w := fastjson.NewWriter(b)
	w.Uint("revision", revision)
	w.Array("results", len(results), func(i int) { w.B = appendResult(w.B, &results[i]) })
	b, _ = w.End() // bytes that are not UTF-8 have been replaced
	return append(b, '\n')
}

// appendResult appends what json.Marshal would append. It is faster, which counts because
// every event needs it.
func appendResult(b []byte, r *score.Result) []byte {
	w := fastjson.NewWriter(b)
	w.Text("id", r.ID)
	w.OptionalUint("seq", r.Seq)
	w.OptionalUint("revision", r.Revision)
	w.OptionalText("status", r.Status)
	if r.Problem != nil {
		w.Name("problem")
		w.B = handler.AppendProblem(w.B, r.Problem)
	}
	b, _ = w.End()
	return b
}
