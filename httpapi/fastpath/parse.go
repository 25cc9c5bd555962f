package fastpath

import (
	"bytes"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Request is a whole request in a buffer. It is valid until the Handler returns.
type Request struct {
	Method string // GET or POST
	// Path has no escapes. Query is what follows the first question mark, unchanged.
	Path, Query []byte
	// Header fields without the white space around them. There was at most one of each.
	Host, Accept, IfNoneMatch, CacheControl, ContentType, Authorization, Cookie, Origin []byte
	// ForwardedFor and ForwardedProto are X-Forwarded-For and X-Forwarded-Proto, nil if
	// they are missing. Only a trusted proxy is believed.
	ForwardedFor, ForwardedProto []byte

	Body []byte
	// Peer is the other end of the connection. The Handler may set it to the client behind
	// a proxy.
	Peer *Peer
	// Pause may be set by the Handler: the connection is not read for that long after the
	// answer, which slows down its client.
	Pause time.Duration
	// Wait may be set by the Handler: how long the answer asks the client to wait. It may
	// be longer than Pause.
	Wait time.Duration
	// Written may be set by the Handler: it is called once the answer has been written, or
	// could not be.
	Written func()
	// Early is true if the client was asked to wait by the previous answer and did not.
	Early bool

	contentLength []byte

	length  int
	peer    *Peer // of the connection
	closing *atomic.Bool
	last    bool // the answer has Connection: close
}

// verdict is the result of parse.
type verdict int

const (
	whole   verdict = iota
	partial         // it may become whole with more bytes
	other           // net/http must handle it
)

// parse parses the first request of b. size is 0 if the head is not complete.
func (r *Request) parse(b []byte) (size int, v verdict) {
	*r = Request{closing: r.closing, peer: r.peer, Peer: r.peer}
	line, rest, v := cutLine(b)
	if v == partial && !begins(b, "GET /") && !begins(b, "POST /") {
		v = other
	}
	if v != whole {
		return 0, v
	}
	if !r.requestLine(line) {
		return 0, other
	}
	for {
		if line, rest, v = cutLine(rest); v != whole {
			return 0, v
		}
		if len(line) == 0 {
			break
		}
		if !r.headerLine(line) {
			return 0, other
		}
	}
	// HTTP/1.1 requires a Host. The body of a GET has no meaning, but must not be parsed
	// as the next request.
	if r.Host == nil || r.length > 0 && r.Method == http.MethodGet {
		return 0, other
	}
	size = len(b) - len(rest) + r.length
	if len(b) < size {
		return size, partial
	}
	r.Body = rest[:r.length]
	return size, whole
}

// cutLine cuts a line from b. A line ends with CR LF.
func cutLine(b []byte) (line, rest []byte, v verdict) {
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0:
		return nil, nil, partial
	case i == 0 || b[i-1] != '\r':
		return nil, nil, other
	}
	return b[:i-1], b[i+1:], whole
}

// begins reports whether b may become a line that begins with start.
func begins(b []byte, start string) bool {
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

func (r *Request) requestLine(line []byte) bool {
	target, ok := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	switch {
	case !ok:
		return false
	case bytes.HasPrefix(target, []byte("GET /")):
		r.Method, target = http.MethodGet, target[len("GET "):]
	case bytes.HasPrefix(target, []byte("POST /")):
		r.Method, target = http.MethodPost, target[len("POST "):]
	default:
		return false
	}
	r.Path, r.Query, _ = bytes.Cut(target, []byte("?"))
	return all(r.Path, inPath) && all(r.Query, inQuery)
}

// headerLine parses one header field. It reports false if the field is not plain, or has
// a meaning for which the request goes to net/http.
func (r *Request) headerLine(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " ")
	if !all(name, inName) || !all(value, inValue) {
		return false
	}
	var low [24]byte
	if len(name) > len(low) {
		return true
	}
	for i, c := range name {
		low[i] = c | 0x20 // lower case; this maps no other bytes of a name to letters
	}
	switch string(low[:len(name)]) {
	case "host":
		return once(&r.Host, value) && len(value) > 0 && all(value, inHost)
	case "content-length":
		return once(&r.contentLength, value) && r.setLength(value)
	case "accept":
		return once(&r.Accept, value)
	case "if-none-match":
		return once(&r.IfNoneMatch, value)
	case "cache-control":
		return once(&r.CacheControl, value)
	case "content-type":
		return once(&r.ContentType, value)
	case "authorization":
		return once(&r.Authorization, value)
	case "cookie":
		return once(&r.Cookie, value)
	case "origin":
		return once(&r.Origin, value)
	case "x-forwarded-for":
		return once(&r.ForwardedFor, value)
	case "x-forwarded-proto":
		return once(&r.ForwardedProto, value)
	case "connection":
		return bytes.EqualFold(value, []byte("keep-alive"))
	// These change the framing of the message, the protocol of the connection, or the
	// answer. Laurel ignores all others.
	case "transfer-encoding", "te", "trailer", "upgrade", "http2-settings", "expect", "content-encoding", "pragma",
		"range", "if-range", "if-match", "if-modified-since", "if-unmodified-since":
		return false
	}
	return true
}

// once sets a field that may be given once, even if its value is empty.
func once(field *[]byte, value []byte) bool {
	if *field != nil {
		return false
	}
	*field = value
	if value == nil {
		*field = []byte{}
	}
	return true
}

func (r *Request) setLength(value []byte) bool {
	n, err := strconv.ParseUint(string(value), 10, 20) // a body in a buffer is much smaller
	r.length = int(n)
	return err == nil
}

// Sets of bytes by where they may occur. Each is smaller than the set that HTTP allows.
const (
	inName = 1 << iota
	inValue
	inPath
	inQuery
	inHost
)

var places = func() (t [256]uint8) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	set := func(place uint8, bytes string) {
		for i := range len(bytes) {
			t[bytes[i]] |= place
		}
	}
	set(inName, letters+"!#$%&'*+-.^_`|~")
	for c := ' '; c <= '~'; c++ {
		t[c] |= inValue
	}
	set(inPath, letters+"-._~/:@!$&'()*+,;=")
	set(inQuery, letters+"-._~/:@!$&'()*+,;=?%")
	set(inHost, letters+"-._:[]")
	return t
}()

func all(b []byte, place uint8) bool {
	for _, c := range b {
		if places[c]&place == 0 {
			return false
		}
	}
	return true
}

// AppendStatus appends the status line of an answer to dst.
func AppendStatus(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(append(dst, ' '), http.StatusText(status)...)
	return append(dst, "\r\n"...)
}

// AppendEnd appends the header fields of the connection and the end of the head.
func (r *Request) AppendEnd(dst []byte) []byte {
	dst = append(dst, "Date: "...)
	dst = append(dst, formatDate(time.Now())...)
	if r.closing != nil && r.closing.Load() {
		r.last = true
		dst = append(dst, "\r\nConnection: close"...)
	}
	return append(dst, "\r\n\r\n"...)
}

// httpDate is a second formatted for the header field Date.
type httpDate struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[httpDate]

func formatDate(now time.Time) string {
	d := lastDate.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &httpDate{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return d.text
}
