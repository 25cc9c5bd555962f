package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// marathonTable is what the marathon took, and what each frontend held after it.
type marathonTable struct {
	events   uint64
	took     time.Duration
	memories []memory
}

// memory is what the kernel says of a process, in KiB.
type memory struct {
	name                  string
	rss, anon, file, peak int64
}

func (b *bench) memory(ctx context.Context) error {
	t, err := b.measureMemory(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(b.out, t.markdown())
	return nil
}

// measureMemory sings the marathon to the master at full speed, waits until every frontend has all of it, and reads their memory.
func (b *bench) measureMemory(ctx context.Context) (*marathonTable, error) {
	in, err := b.openMarathon()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	dir := filepath.Join(b.work, "memory")
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	g, err := startFrontends(ctx, b.laurel, dir, b.frontendArgs)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the marathon took longer than five minutes"))
	defer cancel()
	t := &marathonTable{}
	source := ""
	if source, err = t.sing(ctx, g, in, uint64(b.window)); err != nil {
		return nil, err
	}
	if err := verify(ctx, g.lastSeq, source, t.events); err != nil {
		return nil, err
	}
	if err := g.processes[0].await(ctx, func(ctx context.Context) error { return g.all(ctx, t.events) }); err != nil {
		return nil, err
	}
	for _, p := range g.processes {
		m, err := memoryOf(p)
		if err != nil {
			return nil, err
		}
		t.memories = append(t.memories, m)
	}
	return t, nil
}

// sing streams all of in to the master.
func (t *marathonTable) sing(ctx context.Context, g *frontends, in io.Reader, window uint64) (source string, err error) {
	addrs, err := g.targets(ctx, toMaster, 1)
	if err != nil {
		return "", err
	}
	w, err := dial(ctx, addrs[0])
	if err != nil {
		return "", err
	}
	defer w.Close()
	lines := bufio.NewScanner(in)
	next := func(dst []byte) ([]byte, error) {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return dst, err
			}
			return dst, io.EOF
		}
		if source == "" {
			var first struct {
				Source string `json:"source"`
			}
			if err := json.Unmarshal(lines.Bytes(), &first); err != nil {
				return dst, err
			}
			source = first.Source
		}
		return append(dst, lines.Bytes()...), nil
	}
	began := time.Now()
	s := stream{wire: w, next: next, window: window, meter: newMeter(began, began.Add(time.Hour)), patience: streamPatience}
	t.events, err = s.run(ctx)
	t.took = time.Since(began)
	return source, err
}

// all tells whether every frontend has applied so many events.
func (g *frontends) all(ctx context.Context, events uint64) error {
	list, err := g.members(ctx)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.Revision != events {
			return fmt.Errorf("%s is at revision %d of %d", f.ID, f.Revision, events)
		}
	}
	return nil
}

type marathon struct {
	*gzip.Reader
	file *os.File
}

func (m *marathon) Close() error { return m.file.Close() }

func (b *bench) openMarathon() (*marathon, error) {
	data := b.data
	if data == "" {
		data = filepath.Join(b.root, "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(data, "marathon", "events.ndjson.gz"))
	if err != nil {
		return nil, fmt.Errorf("the marathon (give --data DIR, or LAUREL_GAMES): %w", err)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return &marathon{z, f}, nil
}

// memoryOf reads /proc/PID/status.
func memoryOf(p *process) (memory, error) {
	m := memory{name: p.name}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return m, err
	}
	fields := map[string]*int64{"VmRSS": &m.rss, "RssAnon": &m.anon, "RssFile": &m.file, "VmHWM": &m.peak}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if to := fields[name]; to != nil {
			if *to, err = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err != nil {
				return m, fmt.Errorf("/proc/%d/status: %s: %w", p.cmd.Process.Pid, name, err)
			}
		}
	}
	if m.rss == 0 {
		return m, fmt.Errorf("%s has ended; its log says:\n%s", p.name, p.tail())
	}
	return m, nil
}

func (t *marathonTable) markdown() string {
	var rows [][]string
	for _, m := range t.memories {
		row := []string{m.name}
		for _, kib := range []int64{m.rss, m.anon, m.file, m.peak} {
			row = append(row, strconv.FormatFloat(float64(kib)/1024, 'f', 0, 64))
		}
		rows = append(rows, row)
	}
	return fmt.Sprintf("The marathon, %s events in one stream: %.1f s, %s events/s. Memory of the frontends after it:\n\n%s",
		thousands(float64(t.events)), t.took.Seconds(), thousands(float64(t.events)/t.took.Seconds()),
		markdown([]string{"frontend", "VmRSS MiB", "RssAnon MiB", "RssFile MiB", "VmHWM MiB (peak)"}, rows))
}
