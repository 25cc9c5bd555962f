package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine returns the facts without which the figures mean nothing.
func (b *bench) machine(ctx context.Context) (string, error) {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	sync, err := syncTime(b.work)
	if err != nil {
		return "", err
	}
	facts := []string{
		fmt.Sprintf("%d cores (%s), %s", runtime.NumCPU(), procValue("/proc/cpuinfo", "model name"), procValue("/proc/meminfo", "MemTotal")),
		"Linux " + strings.TrimSpace(string(kernel)),
		runtime.Version(),
	}
	for _, c := range [][]string{{b.etcd, "--version"}, {"wrk", "-v"}, {"redis-server", "-v"}} {
		if v := version(ctx, c); v != "" {
			facts = append(facts, v)
		}
	}
	facts = append(facts,
		fmt.Sprintf("fdatasync of a 4 KiB append %s ms (p50)", millis(float64(sync))),
		"servers and load generator on this one machine",
		time.Now().Format(time.DateOnly))
	return strings.Join(facts, "; ") + ".", nil
}

// version returns the first line that a program prints about itself, or "" if there is no
// such program.
func version(ctx context.Context, command []string) string {
	out, _ := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput() // wrk -v exits with 1
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, " [")
	return line
}

// syncTime returns the median time of a small durable append where the data directories
// are.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	for range 300 {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// procValue returns the first value of a name in a file of "name : value" lines, or "?".
func procValue(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(b)) {
		if n, v, _ := strings.Cut(line, ":"); strings.TrimSpace(n) == name {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}
