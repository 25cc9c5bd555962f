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

// cpuDuring returns when the span is over or ctx is done.
func cpuDuring(ctx context.Context, s span, servers func() (time.Duration, error)) (cores, error) {
	var at [2]time.Time
	var server, own, whole [2]time.Duration
	for i, t := range []time.Time{s.from, s.until} {
		select {
		case <-ctx.Done():
			return cores{}, context.Cause(ctx)
		case <-time.After(time.Until(t)):
		}
		var err1, err2, err3 error
		at[i] = time.Now()
		server[i], err1 = servers()
		own[i], err2 = ownCPU()
		whole[i], err3 = machineCPU()
		if err := errors.Join(err1, err2, err3); err != nil {
			return cores{}, err
		}
	}
	per := func(d [2]time.Duration) float64 { return (d[1] - d[0]).Seconds() / at[1].Sub(at[0]).Seconds() }
	return cores{per(server), per(own), max(0, per(whole)-per(server)-per(own))}, nil
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

// cpu is the time that the process has spent on a processor.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%s has ended; its log says:\n%s", p.name, p.tail())
	}
	// The name, in parentheses, may have spaces; user and system time are fields 12 and 13 after it, in hundredths of a second.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", p.cmd.Process.Pid, len(fields))
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
