package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"laurel/cmd/bench/load"
)

// target is what wrk asks a frontend for.
type target struct {
	group        *frontends
	addr         string // of the frontend
	path, script string // the script, in Lua, makes the requests; else all are for the path
}

// wrk asks for --warmup and then for --duration.
func (b *bench) wrk(ctx context.Context, t target) (figures, error) {
	if b.warmup > 0 {
		if _, _, err := runWrk(ctx, t, b.warmup); err != nil {
			return nil, err
		}
	}
	earlier, err := t.counts(ctx)
	if err != nil {
		return nil, err
	}
	f, err := measuredAround(t.group.list, func() (figures, time.Duration, error) { return runWrk(ctx, t, b.duration) })
	if err != nil {
		return nil, err
	}
	later, err := t.counts(ctx)
	for name, n := range later {
		f[name] = n - earlier[name]
	}
	if n := f[answeredBy+"stale"] + f[answeredBy+"pulled"]; n > 0 {
		return nil, fmt.Errorf("%g answers may have been stale, and nobody asked for such", n)
	}
	return f, err
}

// counts returns how the frontend has answered so far, and the elections.
func (t target) counts(ctx context.Context) (figures, error) {
	epoch, err := t.group.epoch(ctx)
	if err != nil {
		return nil, err
	}
	f, err := answers(ctx, t.addr)
	if err == nil {
		f[elections] = float64(epoch)
	}
	return f, err
}

// runWrk runs a closed loop on each connection of wrk. It returns what wrk measured and
// the processor time that it used. Any answer but 200 is an error.
func runWrk(ctx context.Context, t target, d time.Duration) (figures, time.Duration, error) {
	seconds := max(1, int((d+time.Second-1)/time.Second)) // wrk takes whole seconds
	args := []string{
		"--latency", "-t", "2", "-c", strconv.Itoa(readConnections),
		"-d", strconv.Itoa(seconds) + "s", "--timeout", "30s",
	}
	if t.script != "" {
		args = append(args, "-s", t.script)
	}
	return runTool(ctx, parseWrk, "wrk", append(args, "http://"+t.addr+t.path)...)
}

// runTool runs a load generator of others. It returns what parse finds in its output, and
// the processor time that it used.
func runTool(
	ctx context.Context, parse func(string) (figures, error), program string, args ...string,
) (figures, time.Duration, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w: %s", cmd, err, load.Clip(out))
	}
	f, err := parse(string(out))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w; it printed:\n%s", cmd, err, out)
	}
	return f, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// parseWrk reads what wrk --latency prints.
func parseWrk(out string) (figures, error) {
	f := figures{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		var err error
		switch name := words[0]; {
		case name == "Socket" && words[1] == "errors:", strings.HasPrefix(name, "Non-2xx"):
			return nil, errors.New(strings.TrimSpace(line))
		case name == "Requests/sec:":
			if f[perSecond], err = strconv.ParseFloat(words[1], 64); err == nil && f[perSecond] <= 0 {
				err = errors.New("want more than 0")
			}
		case name == "50%" || name == "99%":
			var d time.Duration
			d, err = time.ParseDuration(words[1]) // wrk writes minutes as m, as Go does
			f["p"+strings.TrimSuffix(name, "%")] = float64(d)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
	}
	if len(f) != 3 {
		return nil, errors.New("not what wrk --latency prints")
	}
	return f, nil
}
