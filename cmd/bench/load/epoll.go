package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
)

// epoll reads many connections that Go's poller does not know, with one goroutine. C is
// the state of a connection.
type epoll[C any] struct {
	fd     int
	conns  map[int32]*rawConn[C]
	events []syscall.EpollEvent
	buf    []byte
}

type rawConn[C any] struct {
	fd    int
	rest  []byte // the beginning of a message
	state C
}

func newEpoll[C any]() (*epoll[C], error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &epoll[C]{
		fd:     fd,
		conns:  map[int32]*rawConn[C]{},
		events: make([]syscall.EpollEvent, 512),
		buf:    make([]byte, MaxAnswer),
	}, nil
}

func (e *epoll[C]) close() {
	for _, c := range e.conns {
		syscall.Close(c.fd)
	}
	syscall.Close(e.fd)
}

// open connects to a host:port, sends the first bytes, and reads the connection from then
// on.
func (e *epoll[C]) open(addr string, first []byte, state C) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c := &rawConn[C]{fd: fd, state: state}
	e.conns[int32(fd)] = c
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return fmt.Errorf("connect to %s: %w", addr, err)
	}
	if _, err := syscall.Write(fd, first); err != nil {
		return fmt.Errorf("send to %s: %w", addr, err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return err
	}
	event := &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	if err := syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_ADD, fd, event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// wait waits for at most millis, and calls take with what each connection has got. take
// returns how many bytes it has consumed.
func (e *epoll[C]) wait(millis int, take func(c *rawConn[C], data []byte) (int, error)) error {
	n, err := syscall.EpollWait(e.fd, e.events, millis)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, event := range e.events[:max(n, 0)] {
		c := e.conns[event.Fd]
		// One read. Epoll reports a connection again that has more.
		n, err := syscall.Read(c.fd, e.buf)
		switch {
		case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("%w; the last bytes were: %s", io.ErrUnexpectedEOF, Clip(c.rest))
		}
		data := e.buf[:n]
		if len(c.rest) > 0 {
			c.rest = append(c.rest, data...)
			data = c.rest
		}
		used, err := take(c, data)
		if err != nil {
			return err
		}
		c.rest = append(c.rest[:0], data[used:]...)
	}
	return nil
}

// AllowFiles raises this process's limit of open files for n connections. Processes
// started later inherit it.
func AllowFiles(n int) error {
	const others = 500
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if need := uint64(n + others); l.Max < need {
		return fmt.Errorf("%d connections need %d open files, and the hard limit is %d; raise it (ulimit -Hn) or use fewer",
			n, need, l.Max)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", l.Max, err)
	}
	return nil
}
