package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wrkRun is one run of wrk: a closed loop on each of its connections.
type wrkRun struct {
	program     string
	threads     int
	connections int
	duration    time.Duration // wrk takes whole seconds
	url         string
	script      string // a file in Lua that makes the requests, or ""
}

// run returns what wrk measured, and what it took from the processor. An answer that is not 200, and a broken connection, is an error.
func (w wrkRun) run(ctx context.Context) (measurement, time.Duration, error) {
	args := []string{"--latency", "-t", strconv.Itoa(w.threads), "-c", strconv.Itoa(w.connections), "-d", strconv.Itoa(wholeSeconds(w.duration)) + "s", "--timeout", "5s"}
	if w.script != "" {
		args = append(args, "-s", w.script)
	}
	cmd := exec.CommandContext(ctx, w.program, append(args, w.url)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return measurement{}, 0, fmt.Errorf("%s %s: %w: %s", w.program, w.url, err, clip(out))
	}
	m, err := parseWrk(string(out))
	if err != nil {
		return measurement{}, 0, fmt.Errorf("%s %s: %w; it said:\n%s", w.program, w.url, err, out)
	}
	return m, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

func wholeSeconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

// parseWrk reads what wrk --latency prints.
func parseWrk(out string) (m measurement, err error) {
	const fields = 3 // that must be there
	found := 0
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		switch {
		case len(words) < 2:
		case words[0] == "Socket" && words[1] == "errors:", strings.HasPrefix(strings.TrimSpace(line), "Non-2xx"):
			return m, errors.New(strings.TrimSpace(line))
		case words[0] == "Requests/sec:":
			if m.perSecond, err = strconv.ParseFloat(words[1], 64); err != nil || m.perSecond <= 0 {
				return m, fmt.Errorf("%q: want how many requests a second", strings.TrimSpace(line))
			}
			found++
		case words[0] == "50%" || words[0] == "99%":
			// wrk's minutes are m, as those of Go.
			d, err := time.ParseDuration(words[1])
			if err != nil {
				return m, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
			}
			if words[0] == "50%" {
				m.p50 = d
			} else {
				m.p99 = d
			}
			found++
		}
	}
	if found != fields {
		return m, errors.New("not what wrk --latency prints")
	}
	return m, nil
}
