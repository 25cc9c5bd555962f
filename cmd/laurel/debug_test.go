package main

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"laurel/internal/cli"
)

func TestDebugIsForLoopbackAddressesOnly(t *testing.T) {
	for _, addr := range []string{":6060", "0.0.0.0:6060", "10.0.0.1:6060", "[::]:6060", "scores.example:6060",
		"127.0.0.1"} {
		t.Run(addr, func(t *testing.T) {
			args := []string{"frontend", "--id", "f1", "--data", t.TempDir(),
				"--bootstrap", "--insecure", "--debug", addr}
			if code, _, errs, _ := run(t, answers(""), args...); code != cli.ExitUsage ||
				!strings.Contains(errs, "--debug") {
				t.Errorf("exit code %d, stderr %q; want wrong usage", code, errs)
			}
			t.Setenv("LAUREL_DEBUG", addr)
			if code, _, errs, _ := run(t, answers(""), args[:7]...); code != cli.ExitUsage ||
				!strings.Contains(errs, "--debug") {
				t.Errorf("LAUREL_DEBUG: exit code %d, stderr %q; want wrong usage", code, errs)
			}
		})
	}
}

func TestTheDebugServerServesProfilesUntilItIsStopped(t *testing.T) {
	var log strings.Builder
	stop, err := serveDebug("127.0.0.1:0", http.NewServeMux(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	_, url, _ := strings.Cut(log.String(), "url=")
	url = strings.TrimSpace(url)
	get := func(url, host string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if status, body := get(url+"goroutine?debug=1", ""); status != http.StatusOK ||
		!strings.Contains(body, "goroutine profile") {
		t.Errorf("%d %s", status, body)
	}
	for host, want := range map[string]int{"localhost:6060": 200, "localhost": 200, "[::1]:6060": 200,
		"evil.example": 403, "evil.example:6060": 403} {
		if status, _ := get(url, host); status != want {
			t.Errorf("host %s: status %d; want %d", host, status, want)
		}
	}
	stop()
	if _, err := http.Get(url); err == nil {
		t.Error("the stopped server still answers")
	}
}

func TestTheDebugServerServesTheMetrics(t *testing.T) {
	var log strings.Builder
	mux := http.NewServeMux()
	stop, err := serveDebug("127.0.0.1:0", mux, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	// The frontend, and with it the metrics, comes after the profiles.
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "laurel_epoch 1") })
	_, url, _ := strings.Cut(log.String(), "url=")
	url = strings.TrimSuffix(strings.TrimSpace(url), "debug/pprof/") + "metrics"
	for host, want := range map[string]int{"localhost": 200, "evil.example": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || (want == 200) != (string(b) == "laurel_epoch 1") {
			t.Errorf("host %s: %d %s; want %d", host, res.StatusCode, b, want)
		}
	}
}

func TestMetricsAtTheDebugAddressNeedOne(t *testing.T) {
	for line, want := range map[string]string{
		"--metrics debug":                        "--debug",
		"--metrics nowhere":                      "--metrics",
		"--metrics debug --debug 10.0.0.1:6060":  "--debug",
		"--metrics= --debug 127.0.0.1:6060":      "--metrics",
		"--metrics DEBUG --debug 127.0.0.1:6060": "--metrics",
	} {
		args := append([]string{"frontend", "--id", "f1", "--data", t.TempDir(), "--bootstrap", "--insecure"},
			strings.Fields(line)...)
		if code, _, errs, _ := run(t, answers(""), args...); code != cli.ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", line, code, errs, want)
		}
	}
}

func TestVersionIsPrintedByFlagAndCommand(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if code, out, errs, _ := run(t, answers(""), args...); code != cli.ExitOK ||
			!strings.HasPrefix(out, "laurel ") || !strings.Contains(out, cli.Version()) {
			t.Errorf("laurel %s: exit code %d, %q %q", args[0], code, out, errs)
		}
	}
}
