package fastpath

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	head = "POST /v1/events HTTP/1.1\r\nHost: f1:8001\r\n"
	good = head + "Content-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
)

// odd are requests that must be left to net/http.
var odd = []string{
	"\r\n" + good,
	head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
	head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	head + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
	head + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello",
	head + "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
	head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	head + "Content-Length: 5\r\ncontent-length: 0\r\n\r\nhello",
	head + "Content-Length: 5, 5\r\n\r\nhello",
	head + "Content-Length: +5\r\n\r\nhello",
	head + "Content-Length: -5\r\n\r\nhello",
	head + "Content-Length: 5 5\r\n\r\nhello",
	head + "Content-Length: 0x5\r\n\r\nhello",
	head + "Content-Length: 5_0\r\n\r\nhello",
	head + "Content-Length: \t5\r\n\r\nhello",
	head + "Content-Length: 5\x00\r\n\r\nhello",
	head + "Content-Length:\r\n\r\nhello",
	head + "Content-Length: 99999999999999999999\r\n\r\nhello",
	head + "Content-Length: 18446744073709551621\r\n\r\nhello",
	head + "Content-Length : 5\r\n\r\nhello",
	head + " Content-Length: 5\r\n\r\nhello",
	head + "Content-Length\x00: 5\r\n\r\nhello",
	head + "Content-Length: 5\n\r\nhello",
	head + "X: ab\nContent-Length: 5\r\n\r\nhello",
	head + "Content-Length: 5\r\r\n\r\nhello",
	head + "Content-Length: 5\r\n\nhello",
	head + "Content-Length: 5\r\nX: a\rContent-Length: 0\r\n\r\nhello",
	head + "Content-Length: 5\r\nX\r\n\r\nhello",
	head + "Content-Length: 5\r\n: x\r\n\r\nhello",
	head + "Content-Length: 5\r\nX: a\r\n b\r\n\r\nhello",
	head + "Content-Length: 5\r\nX: a\x00b\r\n\r\nhello",
	head + "Content-Length: 5\r\nX: a\x7fb\r\n\r\nhello",
	head + "Content-Length: 5\r\nX\xe9: a\r\n\r\nhello",
	head + "Content-Length: 5\r\nHost: other\r\n\r\nhello",
	head + "Content-Length: 5\r\nAccept:\r\nAccept: a/b\r\n\r\nhello",
	head + "Content-Length: 5\r\nContent-Type: a/b\r\nContent-Type: application/json\r\n\r\nhello",
	head + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
	head + "Content-Length: 5\r\nConnection: close\r\n\r\nhello",
	head + "Content-Length: 5\r\nConnection: keep-alive, close\r\n\r\nhello",
	head + "Content-Length: 5\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nhello",
	head + "Content-Length: 5\r\nUpgrade: websocket\r\n\r\nhello",
	head + "Content-Length: 5\r\nTrailer: X\r\n\r\nhello",
	head + "Content-Length: 5\r\nTE: trailers\r\n\r\nhello",
	head + "Content-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
	head + "Content-Length: 5\r\nPragma: no-cache\r\n\r\nhello",
	"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events HTTP/1.1\r\nHost:\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events HTTP/1.1\r\nHost: a b\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events HTTP/1.2\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events HTTP/1.1 \r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events  HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST  /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST\t/v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events\r\nHost: a\r\n\r\n",
	"POST /v1/events HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello",
	"POST http://a/v1/events HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/ev%65nts HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events#x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1/events?a#x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /v1\\events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"post /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST * HTTP/1.1\r\nHost: a\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n",
	"DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}

func TestOddRequestIsLeftToNetHTTP(t *testing.T) {
	for _, s := range odd {
		var r Request
		if _, v := r.parse([]byte(s)); v != other {
			t.Errorf("%q: got verdict %d; want that it is for net/http", s, v)
		}
	}
}

func TestPlainRequestIsParsed(t *testing.T) {
	var r Request
	in := "POST /v1/events?x=%20&y HTTP/1.1\r\n" +
		"hOST: [::1]:8001\r\n" +
		"User-Agent: curl/8.1 (x; y)\r\n" +
		"Accept:  */*  \r\n" +
		"if-none-match: \"a\"\r\n" +
		"Cache-Control: max-stale=3\r\n" +
		"Content-Type: application/json\r\n" +
		"Connection: Keep-Alive\r\n" +
		"X_y~: \r\n" +
		"CONTENT-LENGTH: 5\r\n\r\n" +
		"helloPOST"
	size, v := r.parse([]byte(in))
	if v != whole || size != len(in)-4 || r.Method != "POST" ||
		string(r.Path) != "/v1/events" || string(r.Query) != "x=%20&y" || string(r.Body) != "hello" ||
		string(r.Accept) != "*/*" || string(r.IfNoneMatch) != `"a"` ||
		string(r.CacheControl) != "max-stale=3" || string(r.ContentType) != "application/json" {
		t.Errorf("got %d, verdict %d, %+v", size, v, r)
	}
}

func TestRequestIsPartialUntilItsLastByte(t *testing.T) {
	for i := range len(good) {
		var r Request
		if size, v := r.parse([]byte(good[:i])); v != partial || size != 0 && size != len(good) {
			t.Errorf("%q: got size %d, verdict %d", good[:i], size, v)
		}
	}
}

// FuzzRequests checks that net/http parses each request that parse accepts in the same way, up to
// the same byte.
func FuzzRequests(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(good + good))
	f.Add([]byte("GET /v1/scores/OG50BC/CUR?a=b&max_stale=3s HTTP/1.1\r\n" +
		"Host: a\r\nAccept: text/plain;q=0.5\r\nIf-None-Match: W/\"x\"\r\n\r\n"))
	for _, s := range odd {
		f.Add([]byte(s))
		f.Add([]byte(good + s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Request
		size, v := r.parse(in)
		if v != whole {
			return
		}
		from := bufio.NewReader(bytes.NewReader(in))
		h, err := http.ReadRequest(from)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		body, err := io.ReadAll(h.Body)
		if err != nil {
			t.Fatalf("net/http cannot read the body: %v", err)
		}
		rest, _ := io.ReadAll(from)
		if h.Method != r.Method || h.URL.Path != string(r.Path) || h.URL.RawQuery != string(r.Query) ||
			h.URL.Fragment != "" || h.URL.Host != "" || h.Proto != "HTTP/1.1" {
			t.Errorf("net/http read %s %q ? %q; parse read %s %q ? %q",
				h.Method, h.URL.Path, h.URL.RawQuery, r.Method, r.Path, r.Query)
		}
		if !bytes.Equal(body, r.Body) || !bytes.Equal(rest, in[size:]) {
			t.Errorf("net/http read the body %q and left %q; parse %q and %q", body, rest, r.Body, in[size:])
		}
		for name, got := range map[string][]byte{
			"Accept":        r.Accept,
			"If-None-Match": r.IfNoneMatch,
			"Cache-Control": r.CacheControl,
			"Content-Type":  r.ContentType,
		} {
			if want := strings.Join(h.Header.Values(name), " and "); want != string(got) {
				t.Errorf("%s: net/http read %q, parse %q", name, want, got)
			}
		}
		if h.Close || len(h.TransferEncoding) > 0 || len(h.Trailer) > 0 ||
			h.Header.Get("Expect") != "" || h.Header.Get("Upgrade") != "" || h.Host == "" {
			t.Errorf("it means more than parse knows: %+v", h)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	in := []byte(good)
	var r Request
	for b.Loop() {
		r.parse(in)
	}
}
