package address

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyTheNamesOfThisMachineAreAllowed(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8001": true, "LocalHost:8001": true, "localhost:": true,
		"127.0.0.1": true, "127.0.0.1:8001": true, "::1": true, "127.1.2.3:8001": true, "[::1]": true, "[::1]:8001": true,
		"[0:0:0:0:0:0:0:1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"scores.example": true, "scores.example:8001": true, "SCORES.example": true,

		"": false, ":8001": false, "evil.example": false, "evil.example:8001": false, "evil.localhost": false,
		"localhost.evil.example": false, "localhost.": false, "127.0.0.1.evil.example": false,
		"127.0.0.1.": false, "0.0.0.0:8001": false, "[::]:8001": false, "10.0.0.1": false, "[::2]": false,
		"evil.scores.example": false, "scores.example.": false, "scores.example.evil.example": false,
		"127.1": false, "2130706433": false, "0x7f.0.0.1": false, "127.0.0.01": false,
		"localhost:80:evil.example": false, "localhost@evil.example": false, "[::1]evil.example": false,
		"[::1": false, "::1]": false, "[": false, "]": false, "[]": false, ":": false, " localhost": false,
	} {
		if got := NamesThisMachine([]byte(host), "scores.example"); got != want {
			t.Errorf("%q: %t; want %t", host, got, want)
		}
	}
	if NamesThisMachine([]byte("scores.example"), "") || NamesThisMachine(nil, "") {
		t.Error("another name is allowed where there is none")
	}
	if !NamesThisMachine([]byte("[2001:db8::1]:443"), "2001:db8::1") {
		t.Error("an IPv6 address as the name is not allowed")
	}
}

func TestUsualHostsCostNoAllocation(t *testing.T) {
	for _, host := range []string{"localhost:8001", "127.0.0.1:8001", "[::1]:8001", "scores.example"} {
		b := []byte(host)
		if n := testing.AllocsPerRun(100, func() { NamesThisMachine(b, "scores.example") }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}

func TestTheHandlerRefusesOtherNames(t *testing.T) {
	h := OnlyThisMachine(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), "f1.test")
	for host, want := range map[string]int{"localhost:1": 200, "f1.test:1": 200, "evil.example:1": 403, "": 403} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: status %d; want %d", host, w.Code, want)
		}
	}
}
