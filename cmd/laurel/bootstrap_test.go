package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster"
	"laurel/internal/address"
	"laurel/internal/cli"
	"laurel/internal/frontend"
)

func flagsWith(t *testing.T, join ...string) *frontendFlags {
	var f frontendFlags
	f.insecure, f.HTTP = true, "127.0.0.1:1"
	f.Member = cluster.Options{
		ID: "f1", Dir: filepath.Join(t.TempDir(), "f1"), Bootstrap: true, Join: join,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	return &f
}

func TestBootstrapWithJoinMakesAGroupOnlyIfNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts its connections: it is slow
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	waiting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"mode":"push","epoch":0,"master":"","frontends":[]}`)
	}))
	defer waiting.Close()
	const nobody = "http://127.0.0.1:2"
	slow, own := "http://"+l.Addr().String(), "http://127.0.0.1:1"
	for what, c := range map[string]struct {
		join   []string
		founds bool
	}{
		"without --join":                  {nil, true},
		"nobody answers":                  {[]string{own, nobody}, true},
		"one of two is slow":              {[]string{own, nobody, slow}, false},
		"one has no group either":         {[]string{own, nobody, waiting.URL}, true},
		"one has none, and one is slow":   {[]string{own, slow, waiting.URL}, false},
		"its own address is the only one": {[]string{own}, true},
		"its own address is the second":   {[]string{nobody, own}, false},
	} {
		t.Run(what, func(t *testing.T) {
			f := flagsWith(t, c.join...)
			if err := f.chooseGroup(t.Context(), 300*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if f.Member.Bootstrap != c.founds || c.founds && len(f.Member.Join) > 0 {
				t.Errorf("bootstrap is %t, join %q; want bootstrap %t", f.Member.Bootstrap, f.Member.Join, c.founds)
			}
		})
	}
}

// Each of three frontends that name only the two others would make a group.
func TestBootstrapWithJoinIsRefusedWithoutTheOwnAddress(t *testing.T) {
	f := flagsWith(t, "http://127.0.0.1:2", "http://127.0.0.1:3")
	err := f.chooseGroup(t.Context(), time.Millisecond)
	if usage, ok := errors.AsType[*cli.ExitError](err); !ok || usage.Code != cli.ExitUsage ||
		!strings.Contains(err.Error(), f.HTTP) {
		t.Errorf("it got %v", err)
	}
	f.URL = address.URL{Scheme: "https", Host: "scores.example.org:2"}
	f.Member.Join = []string{f.URL.String()}
	if err := f.chooseGroup(t.Context(), time.Millisecond); err != nil || !f.Member.Bootstrap {
		t.Errorf("with the public address it chooses bootstrap %t, %v", f.Member.Bootstrap, err)
	}
}

// --join may name it as the others reach it, however that is written.
func TestBootstrapWithJoinKnowsTheOwnAddressOfAFrontend(t *testing.T) {
	shared := address.URL{Scheme: "https", Host: "scores.example", Path: "/live"}
	type own struct {
		http, peer, own string
		url             address.URL
	}
	list := []own{
		{":8001", "f1.laurel:9001", "https://F1.laurel:8001", shared},
		{"0.0.0.0:443", "10.0.0.1:9001", "https://10.0.0.1", shared},
		{"F1.example:8001", "10.0.0.1:9001", "https://f1.example:8001", shared},
		{"[2001:db8:0::1]:8001", "10.0.0.1:9001", "https://[2001:db8::1]:8001", address.URL{}},
	}
	if u, err := address.Of(true, ":8001", frontend.MachineName()); err != nil {
		t.Logf("not tried: %v", err)
	} else {
		list = append(list, own{":8001", "10.0.0.1:9001", "https://" + strings.ToUpper(u.Host), shared})
	}
	for _, c := range list {
		f := flagsWith(t, c.own)
		f.insecure, f.HTTP, f.URL, f.Member.Peer = false, c.http, c.url, c.peer
		if err := f.chooseGroup(t.Context(), time.Millisecond); err != nil || !f.Member.Bootstrap {
			t.Errorf("--http %s --peer %s --join %s: it chooses bootstrap %t, %v", c.http, c.peer, c.own,
				f.Member.Bootstrap, err)
		}
		for _, other := range []string{"https://f2.laurel:8001", "https://f1.laurel:8002", "https://10.0.0.2:8001"} {
			f.Member.Bootstrap, f.Member.Join = true, []string{other}
			if err := f.chooseGroup(t.Context(), time.Millisecond); err == nil {
				t.Errorf("--http %s --peer %s: %s is taken for its own address", c.http, c.peer, other)
			}
		}
	}
}

func TestBootstrapWithJoinAsksNobodyIfThereAreData(t *testing.T) {
	f := flagsWith(t)
	f.Member.Peer, f.Member.Metrics = "127.0.0.1:0", prometheus.NewRegistry()
	m, err := cluster.Start(f.Member)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.Member.Join = []string{"http://" + l.Addr().String()}
	if err := f.chooseGroup(t.Context(), time.Minute); err != nil || !f.Member.Bootstrap || len(f.Member.Join) != 1 {
		t.Errorf("with data it chooses bootstrap %t, join %q, %v", f.Member.Bootstrap, f.Member.Join, err)
	}
}

func TestFrontendThatWaitsToJoinHasNoData(t *testing.T) {
	f := flagsWith(t, "http://127.0.0.1:2")
	f.Member.Bootstrap = false
	f.Member.Peer, f.Member.Metrics = "127.0.0.1:0", prometheus.NewRegistry()
	m, err := cluster.Start(f.Member)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if has, err := cluster.HasData(f.Member.Dir); has || err != nil {
		t.Errorf("it has data: %t, %v", has, err)
	}
	if _, err := os.Stat(filepath.Join(f.Member.Dir, stableFile)); err != nil {
		t.Error(err)
	}
}
