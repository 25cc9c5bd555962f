package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"laurel/cluster/peer"
)

// attack is one kind of attack by many connections. They come from the loopback
// interface, which is exempt from limits per address, so the frontends must cope without
// them.
type attack struct {
	name       string
	conns      int // at once, at each frontend
	masterOnly bool
	kib        int // of a frontend's memory that each connection may take
	goroutines int // that each connection may take
	// do is the life of one connection; when it returns, another one begins. It calls
	// settled, once or more often, when the connection has reached its lasting state.
	do func(ctx context.Context, f *frontend, settled func()) error
}

var attacks = []attack{
	{name: "slow headers", conns: 2000, kib: 32, goroutines: 2, do: slowHeader},
	{name: "slow bodies", conns: 1000, kib: 64, goroutines: 2, do: slowBody},
	{name: "large slow bodies", conns: 300, kib: 2048, goroutines: 2, do: largeSlowBody},
	{name: "silent streams", conns: 1000, kib: 64, goroutines: 3, do: silentStream},
	{name: "endless lines", conns: 16, kib: 2048, goroutines: 3, do: endlessLine},
	{name: "half-open connections", conns: 2000, kib: 32, goroutines: 2, do: halfOpen},
	{name: "TLS begun and left", conns: 2000, kib: 64, goroutines: 2, do: halfTLS},
	{name: "huge headers", conns: 30, kib: 1024, goroutines: 2, do: hugeHeader},
	{name: "HTTP/2 rapid reset", conns: 4, kib: 4096, goroutines: 120, do: rapidReset},
	{name: "10,000 idle connections", conns: 10_000, masterOnly: true, kib: 48, goroutines: 2, do: idle},
	{name: "junk on the peer port", conns: 400, kib: 64, goroutines: 2, do: peerJunk},
}

// The attackers are slow, as they use the same processors as the group.
const (
	attackPause = time.Second // before an attacker connects again
	drip        = 500 * time.Millisecond
	// resets is the number of streams that an attacker opens and resets, at intervals of
	// resetPause.
	resets, resetPause = 250, 50 * time.Millisecond
)

// attackers are the running connections of an attack.
type attackers struct {
	ended   atomic.Int64 // connections that a frontend has closed
	settled atomic.Int64
	all     int64
}

func (s *attackTest) launch(ctx context.Context, all *sync.WaitGroup, a attack, targets []*frontend) *attackers {
	n := &attackers{all: int64(a.conns * len(targets))}
	for _, f := range targets {
		for range a.conns {
			all.Go(func() {
				settled := sync.OnceFunc(func() { n.settled.Add(1) })
				for ctx.Err() == nil {
					_ = a.do(ctx, f, settled) // the error is how the frontend closed the connection
					settled()
					if ctx.Err() == nil {
						n.ended.Add(1)
					}
					select {
					case <-ctx.Done():
					case <-time.After(attackPause):
					}
				}
			})
		}
	}
	return n
}

// wait returns when every attacker has settled or was closed once.
func (n *attackers) wait(t testing.TB) {
	t.Helper()
	eventually(t, "all attack", func() error {
		if got := n.settled.Load(); got < n.all {
			return fmt.Errorf("%d of %d", got, n.all)
		}
		return nil
	})
}

// approach connects to a frontend until ctx ends.
func approach(ctx context.Context, addr string) (net.Conn, func(), error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	_ = c.(*net.TCPConn).SetLinger(0) // otherwise ports in TIME_WAIT would run out
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() {
		stop()
		c.Close()
	}, nil
}

// stay keeps a connection until the frontend closes it, and sends some bytes now and
// then.
func stay(c net.Conn, more string) error {
	b := make([]byte, 512)
	for {
		if more != "" {
			_ = c.SetReadDeadline(time.Now().Add(drip)) // if the connection is closed, Read fails
		}
		if _, err := c.Read(b); err != nil && !isTimeout(err) {
			return err
		}
		if more != "" {
			if _, err := io.WriteString(c, more); err != nil {
				return err
			}
		}
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// says connects, sends some bytes and stays; more is sent now and then.
func says(ctx context.Context, addr, first, more string, settled func()) error {
	c, end, err := approach(ctx, addr)
	if err != nil {
		return err
	}
	defer end()
	if _, err := io.WriteString(c, first); err != nil {
		return err
	}
	settled()
	return stay(c, more)
}

const postHead = "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: "

func slowHeader(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, "GET /v1/scores HTTP/1.1\r\nHost: a\r\nX: ", "x", settled)
}

func slowBody(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, postHead+"application/json\r\nContent-Length: 100000\r\n\r\n[", " ", settled)
}

func largeSlowBody(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, postHead+"application/json\r\nContent-Length: 4000000\r\n\r\n["+strings.Repeat(" ", 1<<20),
		" ", settled)
}

func silentStream(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, postHead+"application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n", "", settled)
}

func halfOpen(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, "", "", settled)
}

func halfTLS(ctx context.Context, f *frontend, settled func()) error {
	return says(ctx, f.http, clientHello(), "", settled)
}

// clientHello returns the first message of a TLS client.
var clientHello = sync.OnceValue(func() string {
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		_ = tls.Client(a, &tls.Config{InsecureSkipVerify: true}).Handshake() // there is no answer
		a.Close()
	}()
	hello := make([]byte, 16<<10)
	n, _ := b.Read(hello) // the client writes it at once
	return string(hello[:n])
})

func hugeHeader(ctx context.Context, f *frontend, settled func()) error {
	c, end, err := approach(ctx, f.http)
	if err != nil {
		return err
	}
	defer end()
	settled()
	line := "X: " + strings.Repeat("x", 8<<10) + "\r\n"
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"); err != nil {
		return err
	}
	for range 10 << 20 / len(line) {
		if _, err := io.WriteString(c, line); err != nil {
			return err
		}
	}
	return nil
}

func endlessLine(ctx context.Context, f *frontend, settled func()) error {
	c, end, err := approach(ctx, f.http)
	if err != nil {
		return err
	}
	defer end()
	if _, err := io.WriteString(c, postHead+"application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		return err
	}
	settled()
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 32<<10, strings.Repeat(" x", 16<<10))
	for {
		if _, err := io.WriteString(c, chunk); err != nil {
			return err
		}
	}
}

// rapidReset sends requests and resets their streams at once, 5,000 times a second.
func rapidReset(ctx context.Context, f *frontend, settled func()) error {
	c, end, err := approach(ctx, f.http)
	if err != nil {
		return err
	}
	defer end()
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	settled()
	go func() { _, _ = io.Copy(io.Discard, secure) }()
	b := bytes.NewBufferString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame := func(kind, flags byte, stream uint32, payload string) {
		n := len(payload)
		b.Write([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16),
			byte(stream >> 8), byte(stream)})
		b.WriteString(payload)
	}
	const headers, reset, settings = 1, 3, 4
	frame(settings, 0, 0, "")
	// GET, https, a path and the authority a, by the indexes of HPACK's table.
	path := "/v1/scores?limit=1000"
	ask := "\x82\x87\x04" + string(rune(len(path))) + path + "\x01\x01a"
	for id := uint32(1); id < 1<<30; id += 2 {
		frame(headers, 4|1, id, ask)          // the end of them and of the stream
		frame(reset, 0, id, "\x00\x00\x00\b") // CANCEL
		if id/2%resets != resets-1 {
			continue
		}
		if _, err := secure.Write(b.Bytes()); err != nil {
			return err
		}
		b.Reset()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resetPause):
		}
	}
	return nil
}

// idle makes one request and keeps the connection. Every fourth one uses TLS.
func idle(ctx context.Context, f *frontend, settled func()) error {
	c, end, err := approach(ctx, f.http)
	if err != nil {
		return err
	}
	defer end()
	if rand.IntN(4) == 0 {
		secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		c = secure
	}
	if _, err := io.WriteString(c, "GET /v1/scores/OG50BC/SIEGE-0 HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 2048)); err != nil {
		return err
	}
	settled()
	return stay(c, "")
}

// peerJunk sends to the peer port what no member sends.
func peerJunk(ctx context.Context, f *frontend, settled func()) error {
	switch rand.IntN(5) {
	case 0:
		return says(ctx, f.peer, "", "", settled)
	case 1:
		return says(ctx, f.peer, clientHello(), "", settled)
	case 2:
		return says(ctx, f.peer, string(peer.ProtocolHTTP)+"GET /peer/v1/status HTTP/1.1\r\nHost: a\r\n\r\n", "", settled)
	case 3:
		junk := make([]byte, 1<<rand.IntN(14))
		for i := range junk {
			junk[i] = byte(rand.Uint32())
		}
		return says(ctx, f.peer, string(junk), "x", settled)
	}
	c, end, err := approach(ctx, f.peer)
	if err != nil {
		return err
	}
	defer end()
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // without a certificate
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	settled()
	if _, err := secure.Write([]byte{peer.ProtocolRaft, 0xff, 0, 0xff}); err != nil {
		return err
	}
	return stay(secure, "x")
}
