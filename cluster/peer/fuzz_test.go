package peer

import (
	"bytes"
	"net"
	"testing"

	"github.com/hashicorp/raft"
)

// FuzzPreamble checks that a preamble names a protocol and this member, or is refused.
func FuzzPreamble(f *testing.F) {
	const me = "f1@one"
	p := &Port{
		config: Config{ServerID: me},
		raft:   make(chan net.Conn), push: make(chan net.Conn), http: make(chan net.Conn),
	}
	f.Add([]byte("HGET / HTTP/1.1\r\n"))
	for _, to := range []raft.ServerID{me, "f2@two", ""} {
		f.Add(Preamble(ProtocolRaft, to))
		f.Add(append(Preamble(ProtocolPush, me), to...))
	}
	f.Add([]byte{ProtocolRaft, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		to, err := p.readPreamble(bytes.NewReader(b))
		switch {
		case err != nil && to != nil:
			t.Errorf("%q is refused and taken", b)
		case err == nil && to == p.http && b[0] != ProtocolHTTP,
			err == nil && to == p.raft && !bytes.HasPrefix(b, Preamble(ProtocolRaft, me)),
			err == nil && to == p.push && !bytes.HasPrefix(b, Preamble(ProtocolPush, me)):
			t.Errorf("%q is taken for what it is not", b)
		}
	})
}
