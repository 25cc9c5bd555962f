package peer

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// A browser writes the method of a request first, which a page may choose.
func TestNoRequestOfABrowserBeginsAProtocol(t *testing.T) {
	p := &Port{config: Config{ServerID: "f1@one"}}
	for c := range 256 {
		b := byte(c)
		letter := b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9'
		if !letter && !bytes.ContainsRune([]byte("!#$%&'*+-.^_`|~"), rune(b)) {
			continue
		}
		request := append([]byte{b}, "\x06f1@one GET /peer/v1/status HTTP/1.1\r\n"...)
		if protocol, err := p.readPreamble(bytes.NewReader(request)); err == nil {
			t.Errorf("a method that begins with %q is taken for the protocol %q", b, protocol)
		}
	}
}

func TestAnOpenPeerPortTakesOnlyRequestsThatNameIt(t *testing.T) {
	p, err := Listen(Config{Address: "localhost:0", ServerID: "f1@one", HandshakeTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.HandleHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler))
	for host, want := range map[string]int{
		p.Addr().String(): 200, "127.0.0.1:9001": 200, "[::1]:9001": 200, "localhost": 200,
		"evil.example": 403, "evil.example:9001": 403, "localhost.evil.example": 403, "0.0.0.0:9001": 403, "": 403,
	} {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(c, "%cPOST /v1/cluster/transfer HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", ProtocolHTTP, host)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%q: %v", host, err)
		}
		if res.StatusCode != want {
			t.Errorf("%q: status %d; want %d", host, res.StatusCode, want)
		}
	}
}
