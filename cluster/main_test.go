package cluster

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"laurel/internal/testlock"
)

// TestMain lets seven tests run at a time, and four with the race detector. Most tests spend
// their time waiting for elections, so it is more than the number of CPUs. A test is not
// parallel if it needs all CPUs, as simulated worlds do, or if its timings are short.
func TestMain(m *testing.M) {
	flag.Parse()
	waiting, cpus := 7, runtime.GOMAXPROCS(0)
	if raced {
		waiting = 4
	}
	if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(cpus) {
		p.Value.Set(strconv.Itoa(max(waiting, cpus)))
	}
	if !testing.Short() {
		if err := testlock.Wait(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

var loopbacks atomic.Uint32

// loopback returns host:0 for a loopback host that no other node has, where the system
// has many. A node that is stopped keeps its port then: no other test can listen on it.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1:0"
	}
	n := loopbacks.Add(1)
	return fmt.Sprintf("127.%d.%d.%d:0", 1+os.Getpid()%250, n/250%250, 1+n%250)
}
