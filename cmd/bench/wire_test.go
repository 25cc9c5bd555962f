package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readFrom is a connection on which only reading works.
type readFrom struct {
	net.Conn
	io.Reader
}

func (r readFrom) Read(b []byte) (int, error) { return r.Reader.Read(b) }

func TestAnAnswerIsReadHoweverItArrives(t *testing.T) {
	body := `{"revision":9,"results":[{"status":"applied"}]}` + strings.Repeat(" ", 5000)
	text := "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 5047\r\nRetry-After: 3\r\nETag: \"x\"\r\n" +
		"Laurel-Revision: 8123\r\nlaurel-cache: hit\r\nLaurel-Mode:push\r\n\r\n" + body
	for name, in := range map[string]io.Reader{
		"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"with the end of the connection": iotest.DataErrReader(strings.NewReader(text)),
	} {
		w := wire{Conn: readFrom{Reader: in}, buf: make([]byte, 16)}
		a, err := w.answer()
		if err != nil || a.status != 429 || a.retryAfter != 3*time.Second || string(a.body) != body {
			t.Errorf("%s: %d, %s, %d bytes, %v", name, a.status, a.retryAfter, len(a.body), err)
		}
		if a.revision != 8123 || string(a.cache) != "hit" || string(a.mode) != "push" {
			t.Errorf("%s: the revision %d, cache %q, mode %q", name, a.revision, a.cache, a.mode)
		}
	}
}

func TestAnAnswerThatIsNotWholeOrNotHTTPIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"": "unexpected EOF",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab":                     "unexpected EOF",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab":                     "1 bytes more",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":              "no Content-Length",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":                      "Content-Length",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n":             "Content-Length",
		"SSH-2.0-OpenSSH\r\n\r\n":                                            "want HTTP/1.1",
		"HTTP/1.1 200 OK\r\nLaurel-Revision: -1\r\n\r\n":                     "Laurel-Revision",
		"HTTP/1.1 2x0 OK\r\n\r\n":                                            "status",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxAnswer) + "\r\n": "longer than",
	} {
		w := wire{Conn: readFrom{Reader: strings.NewReader(text)}, buf: make([]byte, 16)}
		if _, err := w.answer(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v; want %q", text, err, want)
		}
	}
}
