package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// cores is how many cores were in use in a span, on average. They tell what a figure was paid with, and whether the machine was otherwise idle.
type cores struct{ servers, own, others float64 }

func (c cores) String() string { return fmt.Sprintf("%.2f + %.2f + %.2f", c.servers, c.own, c.others) }

const coresHead = "cores: servers + generator + others"

// usage is what had been used of the processor at a time.
type usage struct {
	at                  time.Time
	server, own, others time.Duration
}

func used(servers func() (time.Duration, error)) (u usage, err error) {
	var err1, err2, err3 error
	u.at = time.Now()
	u.server, err1 = servers()
	u.own, err2 = ownCPU()
	u.others, err3 = machineCPU()
	u.others -= u.server + u.own
	return u, errors.Join(err1, err2, err3)
}

// since is what was used since an earlier time. Child is of programs that the bench started meanwhile and that have ended: it is the generator's.
func (u usage) since(before usage, child time.Duration) cores {
	per := func(d time.Duration) float64 { return d.Seconds() / u.at.Sub(before.at).Seconds() }
	return cores{per(u.server - before.server), per(u.own - before.own + child), max(0, per(u.others-before.others-child))}
}

// cpuDuring returns when the span is over or ctx is done.
func cpuDuring(ctx context.Context, s span, servers func() (time.Duration, error)) (cores, error) {
	var u [2]usage
	for i, t := range []time.Time{s.from, s.until} {
		select {
		case <-ctx.Done():
			return cores{}, context.Cause(ctx)
		case <-time.After(time.Until(t)):
		}
		var err error
		if u[i], err = used(servers); err != nil {
			return cores{}, err
		}
	}
	return u[1].since(u[0], 0), nil
}

func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// tick is the unit of processor time in /proc.
const tick = 10 * time.Millisecond

// machineCPU is the time that all cores together have been busy.
func machineCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line)
	// cpu user nice system idle iowait irq softirq steal ...
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("/proc/stat starts with %q", clip(line))
	}
	var busy int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		busy += n
	}
	return time.Duration(busy) * tick, nil
}

// cpu is the time that the process and its children have spent on a processor.
func (p *process) cpu() (time.Duration, error) {
	pid := p.cmd.Process.Pid
	sum, err := cpuOf(pid)
	if err != nil {
		return 0, fmt.Errorf("%s has ended; its log says:\n%s", p.name, p.tail())
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for _, f := range bytes.Fields(children) {
		child, err := strconv.Atoi(string(f))
		if err != nil {
			return 0, err
		}
		d, err := cpuOf(child)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may have spaces; user and system time are fields 12 and 13 after it, in hundredths of a second.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

func sumCPU(list []*process) (time.Duration, error) {
	var sum time.Duration
	for _, p := range list {
		d, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
