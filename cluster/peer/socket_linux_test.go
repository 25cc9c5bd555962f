//go:build linux && !race

package peer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// Callers cannot tell a quick connection from the connection that it is.
func TestQuickConnectionBehavesAsTheConnectionThatItIs(t *testing.T) {
	past := time.Unix(1, 0)
	fill := func(c net.Conn) error { // until the kernel takes no more, in writes of the largest quick size
		for {
			if _, err := c.Write(make([]byte, maxQuick)); err != nil {
				return err
			}
		}
	}
	for _, c := range []struct {
		name string
		do   func(c net.Conn, far *net.TCPConn) (int, error)
		want error // nil for any error that net's connection does not have
	}{
		{"read at the end", func(c net.Conn, far *net.TCPConn) (int, error) {
			far.Close()
			return c.Read(make([]byte, 8))
		}, io.EOF},
		{"read after a reset", func(c net.Conn, far *net.TCPConn) (int, error) {
			far.SetLinger(0)
			far.Close()
			return c.Read(make([]byte, 8))
		}, syscall.ECONNRESET},
		{"write after a reset", func(c net.Conn, far *net.TCPConn) (int, error) {
			far.SetLinger(0)
			far.Close()
			c.Read(make([]byte, 8))
			return 0, fill(c)
		}, syscall.EPIPE},
		{"read after its deadline", func(c net.Conn, far *net.TCPConn) (int, error) {
			far.Write([]byte("x"))
			c.SetReadDeadline(past)
			return c.Read(make([]byte, 8))
		}, os.ErrDeadlineExceeded},
		{"read until its deadline", func(c net.Conn, far *net.TCPConn) (int, error) {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			return c.Read(make([]byte, 8))
		}, os.ErrDeadlineExceeded},
		{"write until its deadline", func(c net.Conn, far *net.TCPConn) (int, error) {
			c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			return 0, fill(c)
		}, os.ErrDeadlineExceeded},
		{"read after it is closed", func(c net.Conn, far *net.TCPConn) (int, error) {
			c.Close()
			return c.Read(make([]byte, 8))
		}, net.ErrClosed},
		{"closed during a read", func(c net.Conn, far *net.TCPConn) (int, error) {
			time.AfterFunc(time.Millisecond, func() { c.Close() })
			return c.Read(make([]byte, 8))
		}, net.ErrClosed},
		{"closed during a write", func(c net.Conn, far *net.TCPConn) (int, error) {
			time.AfterFunc(20*time.Millisecond, func() { c.Close() })
			return 0, fill(c)
		}, net.ErrClosed},
	} {
		a, far := tcpPair(t)
		n, err := c.do(quick(a), far)
		b, far := tcpPair(t)
		if wantN, want := c.do(b, far); !errors.Is(want, c.want) || n != wantN {
			t.Errorf("%s: %d, and net's connection %d with the error %v", c.name, n, wantN, want)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: the error is %v; want %v", c.name, err, c.want)
		}
		if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, os.ErrDeadlineExceeded) && (!ok || !timeout.Timeout()) {
			t.Errorf("%s: %v is no timeout", c.name, err)
		}
	}
}

// The reader is slow, so the kernel takes parts of a write.
func TestQuickConnectionPassesAllBytesInOrder(t *testing.T) {
	a, b := tcpPair(t)
	a.SetWriteBuffer(4 << 10)
	var sent bytes.Buffer
	go func() {
		c := quick(a)
		defer c.Close()
		for n := 1; n <= 4*maxQuick; n = 2*n + 1 { // the largest are not quick
			part := make([]byte, n)
			for i := range part {
				part[i] = byte(i * n)
			}
			sent.Write(part)
			if wrote, err := c.Write(part); wrote != n || err != nil {
				t.Errorf("of %d bytes %d are written: %v", n, wrote, err)
			}
		}
	}()
	got, err := io.ReadAll(io.LimitReader(quick(b), 16*maxQuick))
	if err != nil || !bytes.Equal(got, sent.Bytes()) {
		t.Errorf("%d bytes came of %d, or others, with the error %v", len(got), sent.Len(), err)
	}
}
