package main

import (
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

// machine tells the facts without which the figures mean nothing.
func (b *bench) machine() (string, error) {
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
	if b.loads(etcdName) {
		version, err := exec.Command(b.etcd, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("%s --version: %w", b.etcd, err)
		}
		first, _, _ := strings.Cut(string(version), "\n")
		facts = append(facts, "etcd "+strings.TrimPrefix(first, "etcd Version: "))
	}
	facts = append(facts, fmt.Sprintf("fdatasync of a 4 KiB append %s ms (p50)", millis(sync)),
		"servers and load generator on this one machine", time.Now().Format(time.DateOnly))
	return strings.Join(facts, "; ") + ".", nil
}

// firstWords is the name and the version of a program that says them on its first line after -v.
func firstWords(program string) string {
	out, _ := exec.Command(program, "-v").CombinedOutput() // wrk says that this was a failure
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, " [")
	return strings.TrimPrefix(line, "nginx version: ")
}

// syncTime is the median time of a small durable append where the data directories are.
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

// procValue is the first value of a name in a file of "name : value" lines, or a question mark.
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
