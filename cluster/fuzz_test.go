package cluster

import (
	"bufio"
	"bytes"
	"net"
	"testing"

	"github.com/hashicorp/raft"
)

// FuzzHello: the first bytes on a connection name what it carries, and for whom, or it is nobody's.
func FuzzHello(f *testing.F) {
	const me = "f1@one"
	p := &port{serverID: me, raft: make(chan net.Conn), push: make(chan net.Conn), http: make(chan net.Conn)}
	f.Add([]byte("HGET / HTTP/1.1\r\n"))
	for _, to := range []raft.ServerID{me, "f2@two", ""} {
		f.Add(hello(carriesRaft, to))
		f.Add(append(hello(carriesPush, me), to...))
	}
	f.Add([]byte{carriesRaft, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		to, err := p.readHello(bytes.NewReader(b))
		switch {
		case err != nil && to != nil:
			t.Errorf("%q is refused and taken", b)
		case err == nil && to == p.http && b[0] != carriesHTTP,
			err == nil && to == p.raft && !bytes.HasPrefix(b, hello(carriesRaft, me)),
			err == nil && to == p.push && !bytes.HasPrefix(b, hello(carriesPush, me)):
			t.Errorf("%q is taken for what it is not", b)
		}
	})
}

// FuzzCommitted: what a follower is told of the log is read as it was written, or not at all.
func FuzzCommitted(f *testing.F) {
	f.Add(appendCommitted(nil, committed{}))
	f.Add(appendCommitted(nil, committed{1 << 63, 7}))
	f.Add([]byte{2, kindCommitted, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if len(body) == 0 || len(body) > len(b) {
			t.Fatalf("%d bytes were read of %d", len(body), len(b))
		}
		last, is := parseCommitted(body)
		if !is {
			return
		}
		again, err := readFrame(bufio.NewReader(bytes.NewReader(appendCommitted(nil, last))))
		if got, is := parseCommitted(again); err != nil || !is || got != last {
			t.Errorf("%v became %v: %v", last, got, err)
		}
	})
}
