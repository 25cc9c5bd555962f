package handler

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"laurel/httpapi/fastpath"
	"laurel/score"
)

// Bodies reads the bodies of a frontend's requests and bounds them, each and all
// together.
type Bodies struct {
	MaxBytes int           // of one body
	MaxTotal int           // of all that are held, see smallBody
	Timeout  time.Duration // for one body; Open sets the deadline
	Linger   time.Duration // 0: the constant linger
	// Full is called when a body is refused because MaxTotal is reached.
	Full func()

	held atomic.Int64
}

const (
	// smallBody is the size up to which a body is not counted in Bodies.MaxTotal, so that
	// clients that send large bodies slowly do not keep others from posting single
	// events.
	smallBody = 4 << 10
	// maxPooled is the size above which a buffer is not used again.
	maxPooled = 64 << 10
)

// Buffer is a byte slice that is used again: first for a body, then for its answer.
type Buffer struct {
	B []byte

	bodies *Bodies // that count the memory; nil if it is not counted
	held   int
}

var buffers = sync.Pool{New: func() any { return &Buffer{B: make([]byte, 0, 2<<10)} }}

// NewBuffer returns an empty buffer. It must be freed once.
func NewBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Free gives the buffer back. B must not be used any more.
func (b *Buffer) Free() {
	if b.bodies != nil {
		b.bodies.held.Add(-int64(b.held))
		b.bodies, b.held = nil, 0
	}
	if cap(b.B) <= maxPooled {
		b.B = b.B[:0]
		buffers.Put(b)
	}
}

// Held returns how many bytes bodies take now, without small ones.
func (l *Bodies) Held() int64 { return l.held.Load() }

// Hold counts n bytes more. It reports whether there is room for them, and counts nothing
// if not.
func (l *Bodies) Hold(n int) bool {
	if l.held.Add(int64(n)) <= int64(l.MaxTotal) {
		return true
	}
	l.held.Add(-int64(n))
	return false
}

func (l *Bodies) holdFor(b *Buffer, n int) bool {
	if !l.Hold(n) {
		return false
	}
	b.bodies, b.held = l, b.held+n
	return true
}

func (l *Bodies) full() *score.Problem {
	l.Full()
	return score.Problemf(score.RateLimited, "overloaded: the bodies of the posts under way take %d bytes; "+
		"this request was not processed; retry it", l.held.Load())
}

// MediaType returns the one of want that the Content-Type of the body names. It refuses
// other types and encoded bodies.
func (r *Request) MediaType(want ...string) (string, error) {
	if r.http != nil {
		encoding := r.http.Header.Get("Content-Encoding")
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return "", unsupported("Content-Encoding", "got %s; send the body unencoded", Quoted(encoding))
		}
	}
	given := r.ContentType
	if slices.Contains(want, given) {
		return given, nil
	}
	types := strings.Join(want, " or ")
	if given == "" {
		return "", unsupported("Content-Type", "missing; want %s", types)
	}
	parsed, params, err := mime.ParseMediaType(given)
	if charset := params["charset"]; err == nil && charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", unsupported("Content-Type", "got the charset %s; JSON is UTF-8", Quoted(charset))
	}
	switch {
	case err == nil && slices.Contains(want, parsed):
		return parsed, nil
	case parsed == "application/x-www-form-urlencoded":
		return "", unsupported("Content-Type", "got %s, the default of curl; want %s: curl -H 'Content-Type: %s' "+
			"--data-binary @FILE ...",
			parsed, types, want[0])
	}
	return "", unsupported("Content-Type", "got %s; want %s", Quoted(given), types)
}

func unsupported(name, format string, args ...any) *score.Problem {
	p := FieldProblem(name, format, args...)
	p.Status = http.StatusUnsupportedMediaType
	return p
}

// ReadBody returns the whole body. It uses b if the body is not in memory yet.
func (r *Request) ReadBody(b *Buffer) ([]byte, error) {
	if r.http == nil {
		return r.body, nil
	}
	if err := r.bodies.read(r.http, b); err != nil {
		return nil, err
	}
	return b.B, nil
}

// read reads a body into b. The memory grows with what arrives, not with the announced
// length.
func (l *Bodies) read(r *http.Request, b *Buffer) error {
	if r.ContentLength > int64(l.MaxBytes) {
		return l.tooLarge()
	}
	b.B = b.B[:0]
	if cap(b.B) > smallBody && !l.holdFor(b, cap(b.B)) { // large from an earlier body
		b.B = make([]byte, 0, smallBody)
	}
	for {
		if len(b.B) == cap(b.B) {
			more := cap(b.B)
			if 2*more > smallBody && !l.holdFor(b, more) {
				return l.full()
			}
			b.B = slices.Grow(b.B, more)
		}
		n, err := r.Body.Read(b.B[len(b.B):cap(b.B)])
		b.B = b.B[:len(b.B)+n]
		if len(b.B) > l.MaxBytes {
			return l.tooLarge()
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return score.Problemf(score.InvalidEvent,
				"the body did not arrive within %s; got %d bytes", l.Timeout, len(b.B))
		case err != nil:
			return score.Problemf(score.InvalidEvent, "the body breaks off after %d bytes: %s", len(b.B), err)
		}
	}
}

// Body is the body of a request of net/http. An answer does not wait for the rest of it,
// and the connection of HTTP/1.1 is closed if there is a rest.
type Body struct {
	io.ReadCloser
	control *http.ResponseController // whose methods fail without a connection
	peer    *fastpath.Peer           // of the connection
	http1   bool
	linger  time.Duration
	arrives bool        // it has a length, and the client sends it without waiting
	begun   atomic.Bool // the body is being read
	ended   atomic.Bool // the body was read to its end
	closed  atomic.Bool
}

// Open returns r with a Body that has a deadline, nil if r has none. The request is not
// changed, because net/http looks at its body.
func (l *Bodies) Open(w http.ResponseWriter, r *http.Request) (*http.Request, *Body) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	b := &Body{
		ReadCloser: r.Body,
		control:    http.NewResponseController(w),
		peer:       fastpath.PeerOf(r),
		http1:      r.ProtoMajor == 1,
		linger:     cmp.Or(l.Linger, linger),
		arrives:    r.ContentLength > 0 && r.Header.Get("Expect") == "",
	}
	_ = b.control.EnableFullDuplex()
	_ = b.control.SetReadDeadline(time.Now().Add(l.Timeout)) // net/http resets it at the end of the body
	opened := *r
	opened.Body = b
	return &opened, b
}

// Read reads from the body.
func (b *Body) Read(to []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.begun.Store(true)
	n, err := b.ReadCloser.Read(to)
	if err == io.EOF {
		b.ended.Store(true)
	}
	return n, err
}

// Close ends the reading. It does not wait for the rest of the body, as that of net/http
// does.
func (b *Body) Close() error {
	b.closed.Store(true)
	return nil
}

// BeforeAnswer sets the header fields of an answer that does not wait for the rest of the
// body. A body that nobody reads, but that has come with the header, is dropped. That is
// not tried with chunks: net/http could then not read what follows within linger.
func (b *Body) BeforeAnswer(h http.Header) {
	if b == nil || !b.http1 || b.ended.Load() {
		return
	}
	if !b.begun.Load() && b.arrives && b.control.SetReadDeadline(time.Unix(1, 0)) == nil {
		_, _ = io.Copy(io.Discard, b) // the error is that there is more, which has not come
	}
	if !b.ended.Load() {
		h.Set("Connection", "close")
	}
}

// linger is how long a client may go on sending what is not read, so that it can read the
// answer before the connection is closed.
const linger = time.Second

// AfterAnswer bounds the time for the rest of the body. Where the body was being read,
// net/http cannot read on: the connection does.
func (b *Body) AfterAnswer() {
	if b != nil && !b.ended.Load() {
		_ = b.control.SetReadDeadline(time.Now().Add(b.linger))
		if b.http1 && b.begun.Load() {
			b.peer.Linger(b.linger)
		}
	}
}

func (l *Bodies) tooLarge() *score.Problem {
	return score.Problemf(score.TooLarge,
		"the body has more than %d bytes; post a long list of events as %s, which is not limited",
		l.MaxBytes, TypeNDJSON)
}

// Decode decodes a small JSON body into v. It refuses unknown members. An empty body is
// an error.
func (r *Request) Decode(v any) error {
	if _, err := r.MediaType(TypeJSON); err != nil {
		return err
	}
	b := NewBuffer()
	defer b.Free()
	body, err := r.ReadBody(b)
	if err != nil {
		return err
	}
	if p := score.ReadJSON(body, v); p != nil {
		return p
	}
	return nil
}

// DecodeOptional is Decode, but leaves v as it is if the body is empty.
func (r *Request) DecodeOptional(v any) error {
	if r.http != nil && r.http.ContentLength == 0 || r.http == nil && len(r.body) == 0 {
		return nil
	}
	return r.Decode(v)
}
