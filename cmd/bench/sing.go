package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"laurel/cmd/bench/load"
)

const bardName = "bard"

// sing is the options of the experiment.
type sing struct {
	*bench
	bards   []string // programs, for each of laurel
	runners int
	files   []string
}

func singCommand(b *bench) *cobra.Command {
	s := &sing{bench: b}
	return b.command("sing", "bard sing posts a marathon to three frontends",
		"Each run gets a new group. bard posts a file of events, as fast as it can. Without --events that is a\n"+
			"marathon that is made here: each runner gets a mark at nine splits, in the order of time. At the end every\n"+
			"frontend must have all events.",
		func(f *pflag.FlagSet) {
			f.StringSliceVar(&s.bards, "bard", nil, "the bard `PROGRAM`, or one for each of --laurel (default: built)")
			number(f, &s.runners, "runners", 16_000, 1, 100_000, "runners of the marathon")
			f.StringSliceVar(&s.files, "events", nil, "`FILE` of events instead, or several, in turn")
		},
		func(ctx context.Context) error {
			if err := s.prepare(ctx); err != nil {
				return err
			}
			x := &experiment[*frontends, string]{
				name:    "sing",
				cells:   s.files,
				heads:   []string{"events of"},
				labels:  func(file string) []string { return []string{filepath.Base(filepath.Dir(file))} },
				servers: func(file string) string { return file },
				columns: append([]column[string]{medianOf[string]("events", "events", thousands)}, eventColumns[string]()...),
				start: func(ctx context.Context, dir string, _ string) (*frontends, error) {
					return s.startFrontends(ctx, dir, groupSize, false)
				},
				measure: s.measure,
				long:    5 * time.Minute,
			}
			return x.run(ctx, b)
		})
}

// prepare builds bard and makes the marathon, where they are not given.
func (s *sing) prepare(ctx context.Context) error {
	if len(s.bards) == 0 {
		bard, err := s.build(ctx, bardName)
		if err != nil {
			return err
		}
		s.bards = []string{bard}
	}
	if len(s.bards) == 1 {
		s.bards = slices.Repeat(s.bards, len(s.programs))
	}
	if len(s.bards) != len(s.programs) {
		return fmt.Errorf("got %d of bard for %d of laurel; want one, or as many", len(s.bards), len(s.programs))
	}
	if len(s.files) > 0 {
		return nil
	}
	dir := filepath.Join(s.work, "marathon")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s.files = []string{filepath.Join(dir, "events.ndjson")}
	return os.WriteFile(s.files[0], load.Marathon(s.runners), 0o600)
}

func (s *sing) measure(ctx context.Context, g *frontends, file string) (figures, error) {
	f, err := measuredAround(g.list, func() (figures, time.Duration, error) {
		to := strings.Join(g.urls, ",")
		return runTool(ctx, parseSing, s.bards[s.program], "sing", "--to", to, "--run-dir", s.work, file)
	})
	if err != nil {
		return nil, err
	}
	all := func(ctx context.Context) error { return g.hasAll(ctx, uint64(f["events"])) }
	return f, await(ctx, g.list[0], all)
}

// parseSing reads what bard sing prints at the end.
func parseSing(out string) (figures, error) {
	words := strings.Fields(strings.NewReplacer(",", "", ";", "").Replace(out))
	f := figures{}
	for i := 0; i+1 < len(words); i++ {
		switch word, next := words[i], words[i+1]; {
		case word == "events":
			f["events"], _ = strconv.ParseFloat(next, 64)
		case next == "events/s":
			f[perSecond], _ = strconv.ParseFloat(word, 64)
		case word == p50, word == p99:
			d, _ := time.ParseDuration(next)
			f[word] = float64(d)
		}
	}
	for _, name := range []string{"events", perSecond, p50, p99} {
		if f[name] <= 0 {
			return nil, errors.New("not what bard sing prints")
		}
	}
	return f, nil
}
