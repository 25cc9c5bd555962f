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

	"golang.org/x/sync/errgroup"

	"laurel/cmd/bench/load"
	"laurel/internal/localgroup"
)

// usage is the processor time used up to a time.
type usage struct {
	at                  time.Time
	server, own, others time.Duration
}

// used returns what the servers, this process and all others have used so far.
func used(servers []*localgroup.Process) (u usage, err error) {
	u.at = time.Now()
	for _, p := range servers {
		d, err := processCPU(p)
		if err != nil {
			return u, err
		}
		u.server += d
	}
	var self syscall.Rusage
	err1 := syscall.Getrusage(syscall.RUSAGE_SELF, &self)
	u.own = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	all, err2 := machineCPU()
	u.others = all - u.server - u.own
	return u, errors.Join(err1, err2)
}

// since puts into f the average number of cores in use since an earlier time, and what
// the servers used for each of the events or reads whose rate f has. child is
// the time of programs that the bench started meanwhile and that have ended: they belong
// to the generator.
func (u usage) since(before usage, child time.Duration, f figures) {
	per := func(d time.Duration) float64 { return d.Seconds() / u.at.Sub(before.at).Seconds() }
	f[serverCPU] = per(u.server - before.server)
	f[ownCPU] = per(u.own - before.own + child)
	f[otherCPU] = max(0, per(u.others-before.others-child))
	if f[perSecond] > 0 {
		f[cost] = f[serverCPU] * 1e6 / f[perSecond]
	}
}

// measured runs the load and meanwhile measures the processor use within the span.
func measured(
	ctx context.Context, s load.Span, servers []*localgroup.Process, run func(context.Context) (figures, error),
) (f figures, err error) {
	var u [2]usage
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		f, err = run(ctx)
		return err
	})
	both.Go(func() (err error) {
		for i, t := range []time.Time{s.From, s.Until} {
			if err := load.Sleep(ctx, time.Until(t)); err != nil {
				return err
			}
			if u[i], err = used(servers); err != nil {
				return err
			}
		}
		return nil
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	u[1].since(u[0], 0, f)
	return f, nil
}

// measuredAround adds to the figures of a load generator of others what the servers used
// while it ran.
func measuredAround(servers []*localgroup.Process, run func() (figures, time.Duration, error)) (figures, error) {
	before, err := used(servers)
	if err != nil {
		return nil, err
	}
	f, child, err := run()
	if err != nil {
		return nil, err
	}
	after, err := used(servers)
	if err == nil {
		after.since(before, child, f)
	}
	return f, err
}

// span returns the measured time of a cell that begins now.
func (b *bench) span() load.Span {
	from := time.Now().Add(b.warmup)
	return load.Span{From: from, Until: from.Add(b.duration)}
}

// rates returns the rate and the latencies that a meter has for a span.
func rates(m *load.Meter, s load.Span) figures {
	return figures{
		perSecond: float64(m.Count()) / s.Until.Sub(s.From).Seconds(),
		p50:       float64(m.Quantile(50)),
		p99:       float64(m.Quantile(99)),
	}
}

// tick is the unit of processor time in /proc.
const tick = 10 * time.Millisecond

// machineCPU returns the time for which all cores together have been busy.
func machineCPU() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line) // cpu user nice system idle iowait irq softirq steal ...
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", load.Clip(line))
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

// processCPU returns the time that a process has used.
func processCPU(p *localgroup.Process) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("%s has ended; the end of its log:\n%s", p.Name, p.LogTail())
	}
	// The name, in parentheses, may have spaces. User and system time are fields 12 and
	// 13 behind it.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", p.PID(), len(fields))
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// residentKiB returns the memory of a process that is resident, in KiB.
func residentKiB(p *localgroup.Process) (kib float64, err error) {
	value := procValue(fmt.Sprintf("/proc/%d/status", p.PID()), "VmRSS")
	if _, err := fmt.Sscan(value, &kib); err != nil {
		return 0, fmt.Errorf("%s has ended; the end of its log:\n%s", p.Name, p.LogTail())
	}
	return kib, nil
}
