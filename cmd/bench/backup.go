package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
)

// backups is the options of the experiment.
type backups struct {
	*bench
	players, connections int
	rate                 float64
	ways                 []string
}

// Whether the master makes backups.
const (
	backupNone   = "none"
	backupAlways = "always"
)

func backupCommand(b *bench) *cobra.Command {
	r := &backups{bench: b}
	return b.command("backup", "Posts at a steady rate, without backups and while the master makes one after another",
		"One group has a leaderboard of so many players. Events come at the rate, whether or not earlier ones were\n"+
			"answered, and latencies are from when they were due. With backups the master begins the next one a second\n"+
			"after the last was begun, or when it ends, so that it makes backups nearly all the time. Without, a file is in\n"+
			"the place of their directory, so that each fails before it reads anything.",
		func(f *pflag.FlagSet) {
			number(f, &r.players, "players", 1_000_000, 1000, 10_000_000, "players")
			number(f, &r.connections, "connections", 64, 1, 1000, "connections")
			f.Float64Var(&r.rate, "rate", 1000, "events/s")
			f.StringSliceVar(&r.ways, "backups", []string{backupNone, backupAlways}, "when backups are made, in turn")
		},
		func(ctx context.Context) error {
			err := errors.Join(between(1, 100_000, r.rate), oneOf([]string{backupNone, backupAlways}, r.ways))
			if err != nil {
				return err
			}
			return r.experiment().run(ctx, b)
		})
}

func (r *backups) experiment() *experiment[*backupServers, string] {
	return &experiment[*backupServers, string]{
		name:     "backup",
		cells:    r.ways,
		heads:    []string{"backups"},
		labels:   func(way string) []string { return []string{way} },
		compared: p99,
		columns: []column[string]{
			medianOf[string]("events/s", "good", thousands),
			medianOf[string]("p50 ms", p50, millis),
			spreadOf[string]("p99 ms", p99, millis),
			ratioTo("p99 : none", p99, func(way string) (string, bool) { return backupNone, way != backupNone }),
			sumOf[string]("refused, late or lost", "not good"),
			sumOf[string]("backups", "backups"),
			medianOf[string]("a backup takes ms", "took", millis),
			medianOf[string]("MB", "MB", oneDigit),
			coresOf[string](),
		},
		keep:    true,
		start:   r.start,
		measure: r.measure,
		long:    time.Minute + load.FloodPatience,
	}
}

// backupServers is a group with a large store, and a flood to it.
type backupServers struct {
	group *frontends
	flood *load.Flood
	dir   string // of the backups
}

func (s *backupServers) stop() {
	if s.flood != nil {
		s.flood.Close()
	}
	s.group.stop()
}

func (r *backups) start(ctx context.Context, dir string, _ string) (_ *backupServers, err error) {
	s := &backupServers{dir: filepath.Join(dir, "backups")}
	if err := s.allow(backupNone); err != nil {
		return nil, err
	}
	group := *r.bench
	group.frontendArgs = slices.Concat(r.frontendArgs, []string{"--backup", "file://" + s.dir + "?every=1s&keep=1"})
	if s.group, err = group.startFrontends(ctx, filepath.Join(dir, laurelName), groupSize, false); err != nil {
		return nil, err
	}
	if err = r.fill(ctx, s); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// allow has backups succeed from now on, or fail at once.
func (s *backupServers) allow(way string) error {
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if way == backupAlways {
		return os.Mkdir(s.dir, 0o700)
	}
	return os.WriteFile(s.dir, nil, 0o600)
}

// settled waits until the master makes backups, or has ended the last one.
func (s *backupServers) settled(ctx context.Context, way string) error {
	for last := -1.0; ; {
		f, err := s.made(ctx)
		if err != nil {
			return err
		}
		if now := f["backups"]; last >= 0 && (now > last) == (way == backupAlways) {
			return nil
		} else {
			last = now
		}
		if err := load.Sleep(ctx, 4*time.Second); err != nil { // a backup ends in that time, and what failed is begun again
			return err
		}
	}
}

// fill gives every player a mark, and opens the flood.
func (r *backups) fill(ctx context.Context, s *backupServers) error {
	addrs, err := s.group.order(ctx)
	if err != nil {
		return err
	}
	run := load.NewRun()
	marks := load.NewMarks(run, 0, r.players, "BENCH/OPEN")
	bard, err := load.NewMarker(ctx, addrs[len(addrs)-1], marks, true)
	if err != nil {
		return err
	}
	defer bard.Close()
	if err := bard.Stream(ctx, marks.EveryPlayer(), streamWindow, load.NewMeter(load.Span{})); err != nil {
		return err
	}
	all := func(ctx context.Context) error { return s.group.hasAll(ctx, marks.Seq()) }
	if err := await(ctx, s.group.list[0], all); err != nil {
		return err
	}
	first := load.NewPlays(run, 1)
	owner, err := load.NewPoster(ctx, addrs[0], first)
	if err != nil {
		return err
	}
	owner.Close()
	var plays []*load.Plays
	for i := range r.connections {
		plays = append(plays, first.Join(run, 2+i))
	}
	s.flood, err = load.NewFlood(ctx, addrs, plays, 5*time.Second)
	return err
}

func (r *backups) measure(ctx context.Context, s *backupServers, way string) (figures, error) {
	if err := s.allow(way); err != nil {
		return nil, err
	}
	if err := s.settled(ctx, way); err != nil {
		return nil, err
	}
	before, err := s.made(ctx)
	if err != nil {
		return nil, err
	}
	span := r.span()
	f, err := measured(ctx, span, s.group.list, func(ctx context.Context) (figures, error) {
		t, err := s.flood.Offer(ctx, r.rate, span)
		if err != nil {
			return nil, err
		}
		return tallied(t, r.duration), nil
	})
	if err != nil {
		return nil, err
	}
	after, err := s.made(ctx)
	if err != nil {
		return nil, err
	}
	f["not good"] = (f["offered"] - f["good"]) * r.duration.Seconds()
	if f["backups"] = after["backups"] - before["backups"]; way == backupAlways && f["backups"] < 1 {
		return nil, errors.New("no backup ended while it was measured; give it a longer --duration")
	}
	if way == backupAlways {
		f["took"], f["MB"] = (after["took"]-before["took"])/f["backups"], after["MB"]
	}
	return f, s.flood.Acked(func(source string, seq uint64, unsure bool) error {
		return verifySource(ctx, s.group, source, seq, unsure)
	})
}

// made returns what the frontends say of the backups that they have made.
func (s *backupServers) made(ctx context.Context) (figures, error) {
	f := figures{}
	for _, url := range s.group.urls {
		_, text, err := call(ctx, http.MethodGet, url+"/metrics", "", nil)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			var value float64
			name, rest, _ := strings.Cut(line, " ")
			if _, err := fmt.Sscan(rest, &value); err != nil {
				continue
			}
			switch name {
			case "laurel_backup_seconds_count":
				f["backups"] += value
			case "laurel_backup_seconds_sum":
				f["took"] += value * float64(time.Second)
			case "laurel_backup_bytes":
				f["MB"] = max(f["MB"], value/1e6)
			}
		}
	}
	return f, nil
}
