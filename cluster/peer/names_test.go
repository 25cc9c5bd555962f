package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// serveDNS answers the questions on a connection for an A record by the address that
// address returns, and says that it is valid for an hour.
func serveDNS(c net.Conn, address func() net.IP) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		const header = 12
		end := header + bytes.IndexByte(q[header:], 0) + 5 // of the question: a name, its type and class
		a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[header:end]...)
		if kind := binary.BigEndian.Uint16(q[end-4:]); kind == 1 {
			a[7] = 1
			a = append(a, 0xc0, header, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4)
			a = append(a, address().To4()...)
		}
		binary.BigEndian.PutUint16(size[:], uint16(len(a)))
		if _, err := c.Write(append(size[:], a...)); err != nil {
			return
		}
	}
}

// A pod that is started again has another address and the same name.
func TestTheNameOfAPeerIsLookedUpAtEachConnection(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, port, _ := net.SplitHostPort(first.Addr().String())
	second, err := net.Listen("tcp", "127.0.0.2:"+port)
	switch {
	case err == nil:
	case os.Getenv("LAUREL_CI") == "full":
		t.Fatalf("LAUREL_CI=full: this machine has no second loopback address: %v", err)
	default:
		t.Skipf("this machine has no second loopback address: %v", err)
	}
	defer second.Close()
	var now atomic.Value
	resolver := net.DefaultResolver
	defer func() { net.DefaultResolver = resolver }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serveDNS(theirs, func() net.IP { return now.Load().(net.IP) })
		return ours, nil
	}}
	p, err := Listen(Config{Address: "127.0.0.1:0", ServerID: "f1@one"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, at := range []net.Listener{first, second, first} {
		now.Store(at.Addr().(*net.TCPAddr).IP)
		reached := make(chan error, 1)
		go func() {
			c, err := at.Accept()
			if err == nil {
				c.Close()
			}
			reached <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if c, err := p.Dial(ctx, "f2.laurel.test:"+port, "f2@two", ProtocolRaft); err == nil {
			c.Close()
		}
		select {
		case err = <-reached:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if cancel(); err != nil {
			t.Fatalf("%s was not reached: %v", at.Addr(), err)
		}
	}
}
