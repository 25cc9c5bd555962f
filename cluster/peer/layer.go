package peer

import (
	"context"
	"net"
)

// layer is the listener of one protocol behind the port.
type layer struct {
	*Port
	conns  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func (p *Port) layer(conns chan net.Conn) *layer {
	l := &layer{Port: p, conns: conns}
	l.ctx, l.cancel = context.WithCancel(p.ctx)
	return l
}

// Accept waits for a connection.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close stops the layer. It leaves the port open for the other protocols.
func (l *layer) Close() error {
	l.cancel()
	return nil
}
