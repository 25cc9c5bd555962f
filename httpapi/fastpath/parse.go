package fastpath

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"time"
)

// Request is a request that stands whole in a buffer. All of it is valid only until the Handler returns.
type Request struct {
	Method string // GET or POST
	// Path has no escapes in it. Query is what follows the first question mark, as it came.
	Path, Query []byte
	// Of each of these fields there was one at most; white space around it is gone.
	Accept, IfNoneMatch, CacheControl, ContentType, Authorization, Origin []byte

	Body []byte
	Peer *Peer
	// Pause may be set by the Handler: for so long the connection is not read after the answer. Who asks too much is slowed down by it.
	Pause time.Duration
	// Wait may be set by the Handler: for so long its answer asks the client to wait, which may be longer than Pause.
	Wait time.Duration
	// Early tells that the client was asked to wait by the answer before, and did not.
	Early bool

	length  int
	seen    uint
	closing *atomic.Bool
	last    bool // the answer said that the connection ends
}

// verdict is what a request looks like so far.
type verdict int

const (
	whole   verdict = iota
	partial         // it may become whole
	other           // it is for net/http to judge
)

// maxBody keeps the arithmetic of lengths far from any bound; what fits a buffer is much less.
const maxBody = 1 << 20

// parse reads the first request of b. Its size is 0 where the head is not complete yet.
func (r *Request) parse(b []byte) (size int, v verdict) {
	*r = Request{closing: r.closing, Peer: r.Peer}
	line, rest, v := cutLine(b)
	if v != whole {
		return 0, r.begins(b, v)
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
	// HTTP/1.1 wants a host. A body of a GET means nothing, but must not be taken for the next request.
	if r.seen&seenHost == 0 || r.length > 0 && r.Method == http.MethodGet {
		return 0, other
	}
	size = len(b) - len(rest) + r.length
	if len(b) < size {
		return size, partial
	}
	r.Body = rest[:r.length]
	return size, whole
}

// cutLine cuts a line, which ends with CR LF and nothing less, from b.
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

// begins is partial where b may be the beginning of a request line.
func (r *Request) begins(b []byte, v verdict) verdict {
	for _, start := range [...]string{"GET /", "POST /"} {
		n := min(len(b), len(start))
		if v == partial && string(b[:n]) == start[:n] {
			return partial
		}
	}
	return other
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

// The fields that may come once at most.
const (
	seenHost = 1 << iota
	seenLength
	seenAccept
	seenIfNoneMatch
	seenCacheControl
	seenContentType
	seenAuthorization
	seenOrigin
)

// headerLine takes in one header field. False: it is not plain, or means something that is not understood here.
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
		low[i] = c | 0x20 // the small letter of a capital one; no two of a name's bytes become the same letter otherwise
	}
	switch string(low[:len(name)]) {
	case "host":
		return r.once(seenHost, nil, value) && len(value) > 0 && all(value, inHost)
	case "content-length":
		return r.once(seenLength, nil, value) && r.setLength(value)
	case "accept":
		return r.once(seenAccept, &r.Accept, value)
	case "if-none-match":
		return r.once(seenIfNoneMatch, &r.IfNoneMatch, value)
	case "cache-control":
		return r.once(seenCacheControl, &r.CacheControl, value)
	case "content-type":
		return r.once(seenContentType, &r.ContentType, value)
	case "authorization":
		return r.once(seenAuthorization, &r.Authorization, value)
	case "origin":
		return r.once(seenOrigin, &r.Origin, value)
	case "connection":
		return bytes.EqualFold(value, []byte("keep-alive"))
	// These change how the message is framed, what the connection becomes, or what the answer must be. All others mean nothing to Laurel.
	case "transfer-encoding", "te", "trailer", "upgrade", "http2-settings", "expect", "content-encoding", "pragma", "range", "if-range",
		"if-match", "if-modified-since", "if-unmodified-since":
		return false
	}
	return true
}

func (r *Request) once(field uint, to *[]byte, value []byte) bool {
	if r.seen&field != 0 {
		return false
	}
	r.seen |= field
	if to != nil {
		*to = value
	}
	return true
}

func (r *Request) setLength(value []byte) bool {
	for _, c := range value {
		if c < '0' || c > '9' || r.length > maxBody {
			return false
		}
		r.length = 10*r.length + int(c-'0')
	}
	return len(value) > 0
}

// Where a byte may stand. Each set is smaller than what HTTP allows.
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
