package peer

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestStalledRequestEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := &acceptedConn{Conn: near, stallTimeout: time.Second}
		defer c.Close()
		b := make([]byte, 8)
		read := func() error { _, err := c.Read(b); return err }
		go func() {
			time.Sleep(time.Hour) // virtual: no message has begun
			far.Write([]byte{1})
			time.Sleep(time.Second - 1)
			far.Write([]byte{2}) // progress
			far.Read(make([]byte, 1))
			time.Sleep(time.Hour) // it was answered, and the next has not begun
			far.Write([]byte{3})
			time.Sleep(time.Hour)
			far.Write([]byte{4})
		}()
		for range 2 {
			if err := read(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Write([]byte{9}); err != nil {
			t.Fatal(err)
		}
		if err := read(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("a message without progress ended after %v with %v", time.Since(began), err)
		}
		// Bytes that arrive late are not the beginning of another message.
		time.Sleep(2 * time.Hour)
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the rest of the message was read: %v", err)
		}
	})
}

func TestWriteThatNobodyReadsTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := &dialedConn{Conn: near, stallTimeout: time.Second}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Hour)) // as the transport does for a large snapshot
		go far.Read(make([]byte, 1))
		began := time.Now()
		_, err := c.Write([]byte{1, 2})
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("it ended after %v with %v", time.Since(began), err)
		}
	})
}
