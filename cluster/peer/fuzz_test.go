package peer

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
)

// FuzzPreamble checks that a preamble names a protocol and this member, or is refused.
func FuzzPreamble(f *testing.F) {
	const me = "f1@one"
	p := &Port{config: Config{ServerID: me}}
	f.Add(append([]byte{ProtocolHTTP}, "GET / HTTP/1.1\r\n"...))
	for _, to := range []raft.ServerID{me, "f2@two", ""} {
		f.Add(Preamble(ProtocolRaft, to))
		f.Add(append(Preamble(ProtocolPush, me), to...))
	}
	f.Add([]byte{ProtocolRaft, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		protocol, err := p.readPreamble(bytes.NewReader(b))
		switch {
		case err != nil && protocol != 0:
			t.Errorf("%q is refused and taken", b)
		case err == nil && protocol != b[0],
			err == nil && protocol != ProtocolHTTP && !bytes.HasPrefix(b, Preamble(protocol, me)):
			t.Errorf("%q is taken for what it is not", b)
		}
	})
}
