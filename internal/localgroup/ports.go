package localgroup

import (
	"fmt"
	"net"
	"strconv"
)

// The first ports are those that the commands and the documentation take for granted.
// They lie below the range that systems use for outgoing connections, so that a restarted
// frontend finds its ports free.
const (
	firstHTTP = 8001
	firstPeer = 9001
	// portCount is the number of ports of each kind.
	portCount = 900
	// blockSize is the number of ports of each kind that a group of children takes
	// together. The group listens on the block's claim address, which reserves all of the
	// block, also the ports of a frontend that is down at the moment.
	blockSize = 10
)

// claimAddress returns the address that claims the block of the n-th ports, counted from
// 0: the last peer port of the block, which no frontend uses.
func claimAddress(n int) string { return loopback(firstPeer + n/blockSize*blockSize + blockSize - 1) }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func isFree(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// claimBlock claims a block that has enough free addresses for size frontends.
func claimBlock(size int) (claim net.Listener, https, peers []string, err error) {
	for from := 0; from < portCount; from += blockSize {
		claim, err := net.Listen("tcp", claimAddress(from))
		if err != nil {
			continue
		}
		https, peers := freeInBlock(firstHTTP+from), freeInBlock(firstPeer+from)
		if min(len(https), len(peers)) >= size {
			return claim, https, peers, nil
		}
		claim.Close()
	}
	return nil, nil, nil, fmt.Errorf("no %d ports of 127.0.0.1 are free together from %d to %d and from %d to %d",
		size, firstHTTP, firstHTTP+portCount-1, firstPeer, firstPeer+portCount-1)
}

// freeInBlock lists the free addresses of a block, without its last, which is for the
// claim.
func freeInBlock(from int) (list []string) {
	for port := from; port < from+blockSize-1; port++ {
		if addr := loopback(port); isFree(addr) {
			list = append(list, addr)
		}
	}
	return list
}

// findPorts finds addresses for a new detached frontend outside of claimed blocks. Those of
// known are taken even while these are down.
func findPorts(known []*member) (http, peer string, err error) {
	taken := make(map[string]bool)
	for _, m := range known {
		taken[m.f.HTTP], taken[m.f.Peer] = true, true
	}
	for n := range portCount {
		http, peer, claim := loopback(firstHTTP+n), loopback(firstPeer+n), claimAddress(n)
		if taken[http] || taken[peer] || peer == claim || !isFree(claim) || !isFree(http) || !isFree(peer) {
			continue
		}
		return http, peer, nil
	}
	return "", "", fmt.Errorf("no port of 127.0.0.1 between %d and %d is free together with the one %d above it",
		firstHTTP, firstHTTP+portCount-1, firstPeer-firstHTTP)
}
