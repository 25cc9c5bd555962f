package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// trustRow is a way to run a group and to post to it.
type trustRow struct {
	name   string
	secure bool // the members authenticate each other and encrypt what they say, and the store takes only what somebody vouches for
	signed bool
	tls    bool // the bard's connection is encrypted
}

var trustRows = []trustRow{
	{name: "unsigned, insecure"},
	{name: "signed, insecure", signed: true},
	{name: "signed, TLS between members", signed: true, secure: true},
	{name: "signed, TLS everywhere", signed: true, secure: true, tls: true},
}

func trustCommand(o *options) *cobra.Command {
	only := ""
	c := &cobra.Command{
		Use:   "trust",
		Short: "What signatures and TLS cost: a stream, and one poster, with and without",
		Long: `One bard streams to the master, and then posts one event after another: unsigned to a group without certificates, signed to such a group, signed to a group
that speaks TLS between its members, and that over a connection with TLS. Each is a new group, in turn. The bard signs as it streams, in trees of 256, and
alone where it posts alone; that is part of what is measured, because it shares the cores.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rows := slices.DeleteFunc(slices.Clone(trustRows), func(r trustRow) bool { return !strings.HasPrefix(r.name, only) })
			cells := time.Duration(2 * len(rows))
			return within(c, o, 2*time.Duration(o.rounds)*cells*(o.settle+o.warmup+o.duration+10*time.Second), func(b *bench, ctx context.Context) error {
				return b.trust(ctx, rows)
			})
		},
	}
	c.Flags().StringVar(&only, "only", "", "only the ways whose names begin so")
	c.Flags().IntVar(&o.window, "window", 4096, "the most events of one stream that are sent and not yet answered")
	return c
}

func (b *bench) trust(ctx context.Context, all []trustRow) error {
	b.systems = []string{laurelName}
	machine, err := b.machine()
	if err != nil {
		return err
	}
	streams, posts := map[string][]measurement{}, map[string][]measurement{}
	fmt.Fprintln(b.out, coresHead)
	for round := 1; round <= b.rounds; round++ {
		rows := slices.Clone(all)
		if round%2 == 0 {
			slices.Reverse(rows)
		}
		for _, row := range rows {
			stream, post, err := b.trustCell(ctx, round, row)
			if err != nil {
				return fmt.Errorf("round %d: %s: %w", round, row.name, err)
			}
			streams[row.name], posts[row.name] = append(streams[row.name], stream), append(posts[row.name], post)
			fmt.Fprintf(b.out, "round %d  %-28s  stream %s\nround %d  %-28s  poster %s\n", round, row.name, stream, round, row.name, post)
		}
	}
	fmt.Fprintf(b.out, "\n%s\n\n%s", machine, trustTable(all, streams, posts))
	return nil
}

// trustCell measures a stream and a poster in a group of its own.
func (b *bench) trustCell(ctx context.Context, round int, row trustRow) (streamed, posted measurement, err error) {
	dir := filepath.Join(b.work, fmt.Sprintf("trust-%d-%s", round, strings.NewReplacer(" ", "-", ",", "").Replace(row.name)))
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return streamed, posted, err
	}
	var g *frontends
	operator := ""
	if row.secure {
		g, operator, err = startSecure(ctx, b.laurel, dir, b.frontendArgs)
	} else {
		g, err = startFrontends(ctx, b.laurel, dir, b.frontendArgs)
	}
	if err != nil {
		return streamed, posted, err
	}
	defer g.stop()
	if err := b.rest(ctx); err != nil {
		return streamed, posted, err
	}
	if streamed, err = b.trustStream(ctx, g, row, operator); err != nil {
		return streamed, posted, fmt.Errorf("stream: %w", err)
	}
	if err := b.rest(ctx); err != nil {
		return streamed, posted, err
	}
	if posted, err = b.trustPosts(ctx, g, row, operator); err != nil {
		return streamed, posted, fmt.Errorf("poster: %w", err)
	}
	return streamed, posted, nil
}

func (b *bench) trustStream(ctx context.Context, g *frontends, row trustRow, operator string) (measurement, error) {
	ctx, cancel := b.cell(ctx)
	defer cancel()
	v, err := newVoucher(ctx, g, row, operator)
	if err != nil {
		return measurement{}, err
	}
	defer v.close()
	s := b.span()
	m := newMeter(s.from, s.until)
	next := until(s.until, v.plays)
	if row.signed {
		next = v.signedUntil(ctx, s.until)
	}
	st := stream{wire: v.wire, next: next, window: uint64(b.window), meter: m, patience: streamPatience}
	done := make(chan error, 1)
	go func() {
		var err error
		n, err := st.run(ctx)
		v.acked += n
		done <- err
	}()
	used, cpuErr := cpuDuring(ctx, s, g.cpu)
	if err := <-done; err != nil {
		return measurement{}, err
	}
	if cpuErr != nil {
		return measurement{}, cpuErr
	}
	if err := verify(ctx, g.lastSeq, v.source(), v.lastSeq()); err != nil {
		return measurement{}, err
	}
	out := summarize([]*meter{m}, s.until.Sub(s.from))
	out.cores = used
	return out, nil
}

func (b *bench) trustPosts(ctx context.Context, g *frontends, row trustRow, operator string) (measurement, error) {
	ctx, cancel := b.cell(ctx)
	defer cancel()
	v, err := newVoucher(ctx, g, row, operator)
	if err != nil {
		return measurement{}, err
	}
	defer v.close()
	m, err := closedLoop(ctx, []writer{v}, b.span(), g.cpu)
	if err != nil {
		return measurement{}, err
	}
	return m, verify(ctx, g.lastSeq, v.source(), v.lastSeq())
}

func trustTable(all []trustRow, streams, posts map[string][]measurement) string {
	head := []string{"", "stream events/s (least-most)", "p50 ms", "p99 ms", coresHead, "of unsigned", "one poster events/s (least-most)", "p50 ms", "p99 ms", coresHead}
	plain := streams[trustRows[0].name]
	var rows [][]string
	for _, r := range all {
		row := append([]string{r.name}, cells(streams[r.name])...)
		row = append(row, ratio(streams[r.name], plain, perSecond))
		rows = append(rows, append(row, cells(posts[r.name])...))
	}
	return markdown(head, rows)
}
