package standing

import (
	"fmt"

	"laurel/cmd/laurel/local"
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
	for ; p.n < local.Ports; p.n++ {
		http, peer := local.Address(local.FirstHTTP+p.n), local.Address(local.FirstPeer+p.n)
		// A demo may have the block.
		claim := local.Claim(p.n)
		if p.taken[http] || p.taken[peer] || peer == claim || !local.Free(claim) || !local.Free(http) || !local.Free(peer) {
			continue
		}
		p.n++
		return http, peer, nil
	}
	return "", "", fmt.Errorf("no port of 127.0.0.1 between %d and %d is free together with the one %d above it",
		local.FirstHTTP, local.FirstHTTP+local.Ports-1, local.FirstPeer-local.FirstHTTP)
}
