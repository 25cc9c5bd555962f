package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// mediaType is the one of want that the body is of. A body of another kind, or one that is packed, is refused.
func mediaType(r *http.Request, want ...string) (string, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return "", unsupported("Content-Encoding", "got %s; bodies are taken as they are, so unpack it before posting", quoted(encoding))
	}
	given := r.Header.Get("Content-Type")
	if slices.Contains(want, given) {
		return given, nil
	}
	kinds := strings.Join(want, " or ")
	if given == "" {
		return "", unsupported("Content-Type", "missing; want %s", kinds)
	}
	parsed, params, err := mime.ParseMediaType(given)
	if charset := params["charset"]; err == nil && charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", unsupported("Content-Type", "got the charset %s; JSON is UTF-8", quoted(charset))
	}
	switch {
	case err == nil && slices.Contains(want, parsed):
		return parsed, nil
	case parsed == "application/x-www-form-urlencoded":
		return "", unsupported("Content-Type", "got %s, which curl puts in by itself; want %s: curl -H 'Content-Type: %s' --data-binary @FILE ...", parsed, kinds, want[0])
	}
	return "", unsupported("Content-Type", "got %s; want %s", quoted(given), kinds)
}

func unsupported(field, format string, args ...any) *score.Problem {
	p := fieldProblem(field, format, args...)
	p.Status = http.StatusUnsupportedMediaType
	return p
}

// buffer is a byte slice that is used again: first for a body, then for its answer.
type buffer struct {
	b    []byte
	of   *load // that the memory is counted in; nil: it is not
	held int
}

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 2<<10)} }}

// smallBody is what a body may take beside MaxPostBytes: so those who send large ones slowly keep nobody from posting an event.
const smallBody = 4 << 10

// maxPooled keeps a few large bodies from holding their memory for ever.
const maxPooled = 64 << 10

// Whether a body may be left out.
const (
	required = false
	optional = true
)

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) free() {
	if b.of != nil {
		b.of.bytes.Add(-int64(b.held))
		b.of, b.held = nil, 0
	}
	if cap(b.b) <= maxPooled {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// readBody reads a JSON body into b. Memory follows what arrives, not what the header announces.
func (p *port) readBody(w http.ResponseWriter, r *http.Request, b *buffer) error {
	most := p.limits.MaxBodyBytes
	if r.ContentLength > int64(most) {
		return bodyTooLarge(most)
	}
	// At the end of the body net/http takes the deadline away again. Not supported where there is no connection: nothing to bound then.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(p.limits.BodyTimeout))
	b.b = b.b[:0]
	if cap(b.b) > smallBody && !p.holdFor(b, cap(b.b)) { // it is large from an earlier body
		b.b = make([]byte, 0, smallBody)
	}
	for {
		if len(b.b) == cap(b.b) {
			more := cap(b.b)
			if 2*more > smallBody && !p.holdFor(b, more) {
				return p.bodiesFull()
			}
			b.b = slices.Grow(b.b, more)
		}
		n, err := r.Body.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if len(b.b) > most {
			return bodyTooLarge(most)
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return score.Problemf(score.InvalidEvent, "the body did not arrive within %s; %d bytes did", p.limits.BodyTimeout, len(b.b))
		case err != nil:
			return score.Problemf(score.InvalidEvent, "the body breaks off after %d bytes: %s", len(b.b), err)
		}
	}
}

func bodyTooLarge(most int) *score.Problem {
	return score.Problemf(score.TooLarge, "the body has more than %d bytes; post a long list of events as %s, which has no end", most, typeNDJSON)
}

// decodeBody reads a small JSON object, all members known, into v. It may be left out where mayLack.
func (p *port) decodeBody(w http.ResponseWriter, r *http.Request, v any, mayLack bool) error {
	if mayLack && r.ContentLength == 0 {
		return nil
	}
	if _, err := mediaType(r, typeJSON); err != nil {
		return err
	}
	b := newBuffer()
	defer b.free()
	if err := p.readBody(w, r, b); err != nil {
		return err
	}
	err := json.Unmarshal(b.b, v, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &semantic):
		field := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		if errors.Is(semantic.Err, json.ErrUnknownName) {
			return fieldProblem(field, "unknown member")
		}
		return fieldProblem(field, "got a JSON %s, which does not fit here", semantic.JSONKind)
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return score.Problemf(score.InvalidEvent, "not valid JSON at byte %d: %s", syntax.ByteOffset, strings.TrimPrefix(syntax.Err.Error(), "jsontext: "))
	}
	return score.Problemf(score.InvalidEvent, "not valid JSON: %s", err)
}
