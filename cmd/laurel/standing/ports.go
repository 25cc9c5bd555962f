package standing

import (
	"fmt"
	"net"
	"strconv"
)

// The ports tried first are those that the commands and the documentation take for granted.
const (
	firstHTTP = 8001
	firstPeer = 9001
	most      = 900
	// demoBlock is how many ports a demo reserves, by listening on the last peer port of the block: those of a frontend of
	// the demo that is down are free only for a moment.
	demoBlock = 10
)

// places finds addresses for new frontends.
type places struct {
	n     int
	taken map[string]bool // by frontends that may be down
}

func newPlaces(known []*Frontend) *places {
	p := &places{taken: make(map[string]bool)}
	for _, f := range known {
		p.taken[f.HTTP], p.taken[f.Peer] = true, true
	}
	return p
}

func (p *places) next() (http, peer string, err error) {
	for ; p.n < most; p.n++ {
		http, peer := local(firstHTTP+p.n), local(firstPeer+p.n)
		reserved := local(firstPeer + p.n/demoBlock*demoBlock + demoBlock - 1)
		if p.taken[http] || p.taken[peer] || peer == reserved || !free(reserved) || !free(http) || !free(peer) {
			continue
		}
		p.n++
		return http, peer, nil
	}
	return "", "", fmt.Errorf("no port of 127.0.0.1 between %d and %d is free together with the one %d above it", firstHTTP, firstHTTP+most-1, firstPeer-firstHTTP)
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
