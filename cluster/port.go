package cluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// The members talk over one port. The first byte of a connection says what it carries.
const (
	carriesRaft = 'R'
	carriesHTTP = 'H'
)

const (
	helloLimit   = 5 * time.Second // for the first byte
	peerIdle     = 2 * time.Minute
	peerConns    = 64 // idle HTTP connections kept to each other member
	acceptPause  = 10 * time.Millisecond
	unservedHTTP = 128 // HTTP connections that wait for ServeForwarded
)

type port struct {
	net.Listener
	raft   chan net.Conn
	http   chan net.Conn
	closed chan struct{}
	once   sync.Once
	server *http.Server
	client *http.Transport
}

func listenPort(addr string) (*port, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &port{Listener: l, raft: make(chan net.Conn), http: make(chan net.Conn, unservedHTTP), closed: make(chan struct{})}
	p.client = &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			var d net.Dialer
			return dial(ctx, &d, addr, carriesHTTP)
		},
		MaxIdleConnsPerHost: peerConns, IdleConnTimeout: peerIdle / 2, DisableCompression: true,
	}
	go p.accept()
	return p, nil
}

func dial(ctx context.Context, d *net.Dialer, addr string, carries byte) (net.Conn, error) {
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{carries}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (p *port) accept() {
	for {
		c, err := p.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, say: others may be closed soon.
			time.Sleep(acceptPause)
			continue
		}
		go p.sort(c)
	}
}

func (p *port) sort(c net.Conn) {
	var first [1]byte
	c.SetReadDeadline(time.Now().Add(helloLimit))
	if _, err := c.Read(first[:]); err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	to := p.http
	switch first[0] {
	case carriesRaft:
		to = p.raft
	case carriesHTTP:
	default:
		c.Close()
		return
	}
	select {
	case to <- c:
	case <-p.closed:
		c.Close()
	}
}

func (p *port) serve(h http.Handler) {
	p.server = &http.Server{Handler: h, ReadHeaderTimeout: helloLimit, IdleTimeout: peerIdle}
	go p.server.Serve(&layer{p, p.http})
}

// Close ends all connections of the port.
func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	err := p.Listener.Close()
	p.client.CloseIdleConnections()
	if p.server != nil {
		p.server.Close()
	}
	return err
}

// layer is one of the two listeners behind the port. As a raft.StreamLayer it also dials.
type layer struct {
	*port
	conns chan net.Conn
}

func (p *port) raftLayer() raft.StreamLayer { return &layer{p, p.raft} }

// Accept waits for a connection.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close leaves the port open: the other layer may still need it.
func (l *layer) Close() error { return nil }

// Dial connects to another member's Raft.
func (l *layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return dial(context.Background(), &net.Dialer{Timeout: timeout}, string(addr), carriesRaft)
}
