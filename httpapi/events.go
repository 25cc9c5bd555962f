package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

// anonymous is the source of events whose poster names none.
const anonymous = "anonymous"

// Header values that many answers share. Nothing changes them.
var (
	headerJSON   = []string{typeJSON}
	headerNDJSON = []string{typeNDJSON}
)

// postEvents takes one event or an array as JSON, or a stream of events as NDJSON.
func (p *port) postEvents(w http.ResponseWriter, r *http.Request) error {
	if !p.forwards && !p.group.Master() {
		return p.notMaster()
	}
	kind, err := mediaType(r, typeJSON, typeNDJSON)
	if err != nil {
		return err
	}
	if kind == typeNDJSON {
		return p.postStream(w, r)
	}
	b := newBuffer()
	defer b.free()
	if err := p.readBody(w, r, b); err != nil {
		return err
	}
	if problem := p.beginPost(); problem != nil {
		return problem
	}
	defer p.endPost()
	if b.b, err = p.postJSON(r.Context(), callerOf(r), b.b[:0], b.b); err != nil {
		return err
	}
	h := w.Header()
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(b.b))}
	_, err = w.Write(b.b)
	return err
}

// postJSON posts what a JSON body has, all or none, and appends the answer to dst, which may share the memory of body. With an error nothing
// was appended.
func (p *port) postJSON(ctx context.Context, who *caller, dst, body []byte) ([]byte, error) {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return dst, score.Problemf(score.InvalidEvent, "the body is empty; want an event, or an array of them")
	}
	events, _, problem := score.DecodeArray(body)
	if problem != nil {
		return dst, problem
	}
	if n, problem := p.vouched(ctx, who, events); problem != nil {
		if len(events) > 1 {
			problem = atIndex(problem, n)
		}
		return dst, problem
	}
	if problem := p.withinRate(events); problem != nil {
		return dst, problem
	}
	complete(events)
	results, err := p.post(ctx, score.Post{Events: events, Mode: score.AllOrNone})
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

// complete fills in what a bard may leave out.
func complete(events []score.Event) {
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

// post hands events to the group. There is at least one result, and one for each event unless the last is a refusal.
func (p *port) post(ctx context.Context, post score.Post) ([]score.Result, error) {
	results, err := p.group.Post(ctx, post)
	if err == nil && (len(results) == 0 || len(results) < len(post.Events) && results[len(results)-1].Problem == nil) {
		err = fmt.Errorf("the group gave %d results for %d events", len(results), len(post.Events))
	}
	if err != nil {
		return nil, p.postError(ctx, err)
	}
	p.metrics.events.count(results)
	return results, nil
}

// postError makes sure that an error which is no problem does not look as if nothing had happened.
func (p *port) postError(ctx context.Context, err error) error {
	var problem *score.Problem
	if errors.As(err, &problem) || ctx.Err() != nil {
		return err
	}
	p.log.ErrorContext(ctx, "post failed", "err", err)
	return score.Problemf(score.OutcomeUnknown, "the frontend failed while it waited, and has logged why; post the same again: with a source and seq, or an id, nothing counts twice")
}

// appendAnswer appends the answer to a JSON post: all results, and the highest of their revisions.
func appendAnswer(b []byte, results []score.Result) []byte {
	var revision uint64
	for i := range results {
		revision = max(revision, results[i].Revision)
	}
	b = append(b, `{"revision":`...)
	b = strconv.AppendUint(b, revision, 10)
	b = append(b, `,"results":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, &results[i])
	}
	return append(b, "]}\n"...)
}

// appendResult appends what json.Marshal would, at a fraction of the cost: this is on the way of every event.
func appendResult(b []byte, r *score.Result) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	if r.Seq != 0 {
		b = append(b, `,"seq":`...)
		b = strconv.AppendUint(b, r.Seq, 10)
	}
	if r.Revision != 0 {
		b = append(b, `,"revision":`...)
		b = strconv.AppendUint(b, r.Revision, 10)
	}
	if r.Status != "" {
		b = append(b, `,"status":`...)
		b = appendString(b, r.Status)
	}
	if r.Problem != nil {
		b = append(b, `,"problem":`...)
		b = appendProblem(b, r.Problem)
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // an error says only that bytes which are not UTF-8 were replaced
	return b
}
