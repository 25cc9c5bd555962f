package main

import (
	"strings"
	"testing"
	"time"
)

const wrkSays = `Running 2s test @ http://127.0.0.1:18999/v1/scores/one
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.64ms    3.78ms  32.14ms   88.69%
    Req/Sec    19.75k     5.30k   31.58k    60.00%
  Latency Distribution
     50%  820.00us
     75%    3.37ms
     90%    6.87ms
     99%   19.39ms
  78978 requests in 2.03s, 71.18MB read
Requests/sec:  38980.33
Transfer/sec:     35.13MB
`

func TestWhatWrkMeasuredIsRead(t *testing.T) {
	m, err := parseWrk(wrkSays)
	if err != nil || m.perSecond != 38980.33 || m.p50 != 820*time.Microsecond || m.p99 != 19390*time.Microsecond {
		t.Errorf("%v, %v", m, err)
	}
	m, err = parseWrk(strings.NewReplacer("820.00us", "1.02s", "19.39ms", "1.50m").Replace(wrkSays))
	if err != nil || m.p50 != 1020*time.Millisecond || m.p99 != 90*time.Second {
		t.Errorf("%v, %v", m, err)
	}
}

func TestARunOfWrkWithErrorsOrWithoutFiguresIsNoMeasurement(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"Requests/sec:", "  Non-2xx or 3xx responses: 42754\nRequests/sec:", "42754"},
		{"Requests/sec:", "  Socket errors: connect 0, read 3, write 0, timeout 1\nRequests/sec:", "read 3"},
		{"Requests/sec:  38980.33", "", "not what wrk"},
		{"38980.33", "0.00", "a second"},
		{"19.39ms", "-nan", "-nan"},
		{"     99%   19.39ms\n", "", "not what wrk"},
		{wrkSays, "unable to connect", "not what wrk"},
	} {
		if _, err := parseWrk(strings.Replace(wrkSays, c.old, c.new, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v; want %q", c.new, c.old, err, c.want)
		}
	}
}
