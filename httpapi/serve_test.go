package httpapi

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// newPatientAPI returns the API of a group, which does not care how slow the machine is. It
// is closed at the end of the test.
func newPatientAPI(t testing.TB, g Group, o Options) *API {
	// A busy machine refuses nothing, and ends no connection or stream on which the test is slow.
	o.Limits.LateDelay = cmp.Or(o.Limits.LateDelay, time.Hour)
	o.Limits.HeaderTimeout = cmp.Or(o.Limits.HeaderTimeout, patience/2)
	o.Limits.FirstEventTimeout = cmp.Or(o.Limits.FirstEventTimeout, patience/2)
	a := New(g, o)
	a.releaseTimeout, a.catchUpTimeout = time.Hour, patience // a busy machine releases late, and is behind for long
	t.Cleanup(a.Close)
	return a
}

// serve serves a handler over TCP.
func serve(t testing.TB, a *API, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config = a.Server(h)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// start returns a fake group and a server of its API.
func start(t testing.TB) (*testMember, *httptest.Server) {
	g, a := newTestAPI(t, Options{})
	return g, serve(t, a, a.Handler())
}

// pipes is a listener and the dialer that connects to it. Unlike those of the system, its
// connections can be used in a bubble of synctest, where a goroutine that waits for one
// lets time pass.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- &pipeConn{far, p.Addr()}:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeConn is a connection from this machine, as far as the server knows.
type pipeConn struct {
	net.Conn
	from net.Addr
}

func (c *pipeConn) RemoteAddr() net.Addr { return c.from }

// serveVirtually serves a handler as serve does, but in virtual time.
func serveVirtually(t *testing.T, a *API, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config = a.Server(h)
	s.Listener.Close()
	p := newPipes()
	s.Listener = p
	s.Start()
	transport := s.Client().Transport.(*http.Transport)
	transport.DialContext = p.dial
	t.Cleanup(s.Close)
	return s
}
