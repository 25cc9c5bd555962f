//go:build linux && !race

package peer

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// maxQuick bounds the bytes of a system call that the scheduler does not learn of: it can
// give the processor to nobody else meanwhile.
const maxQuick = 64 << 10

// socket is a TCP connection that is read and written without telling Go's scheduler of
// the system calls, which never block. Each system call that it learns of in an idle
// process wakes the runtime's monitor, which then stays awake for a while: that took a third
// of an idle frontend.
type socket struct {
	net.Conn
	raw         syscall.RawConn
	read, write direction
}

// direction is one direction of a socket. Its fields are passed to and from step, which
// exists once, so that no call allocates.
type direction struct {
	mu   sync.Mutex // one call at a time
	b    []byte     // the rest to read into, or to write
	n    int
	err  error
	step func(fd uintptr) (done bool)
}

// quick returns a connection that is c, with fewer switches between threads.
func quick(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	s := &socket{Conn: c, raw: raw}
	s.read.step = func(fd uintptr) bool { return s.read.call(syscall.SYS_READ, "read", fd) }
	s.write.step = func(fd uintptr) bool {
		for s.write.call(syscall.SYS_WRITE, "write", fd) {
			if len(s.write.b) == 0 || s.write.err != nil {
				return true
			}
		}
		return false
	}
	return s
}

// call makes one system call. It returns false if the socket is not ready.
func (d *direction) call(trap uintptr, name string, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&d.b[0])), uintptr(min(len(d.b), maxQuick)))
		switch errno {
		case 0:
			d.b, d.n = d.b[n:], d.n+int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			d.err = os.NewSyscallError(name, errno)
			return true
		}
	}
}

// run calls step, as waits lets it, until it is done with b.
func (d *direction) run(b []byte, waits func(func(uintptr) bool) error) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.b, d.n, d.err = b, 0, nil
	err = waits(d.step)
	d.b = nil
	if err == nil {
		err = d.err
	}
	return d.n, err
}

// Read reads as net.TCPConn does.
func (s *socket) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err = s.read.run(b, s.raw.Read)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, s.opError("read", err)
}

// Write writes as net.TCPConn does.
func (s *socket) Write(b []byte) (n int, err error) {
	if len(b) == 0 || len(b) > maxQuick {
		return s.Conn.Write(b)
	}
	n, err = s.write.run(b, s.raw.Write)
	return n, s.opError("write", err)
}

func (s *socket) opError(op string, err error) error {
	if _, failed := err.(*os.SyscallError); !failed {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}
