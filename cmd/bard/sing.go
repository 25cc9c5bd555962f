package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/internal/pidfile"
	"laurel/internal/textfmt"
	"laurel/score"
)

func newSingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sing FILE|-",
		Short: "Post a stream of events, exactly once",
		Long: `Posts the events of FILE, or of standard input (-): one JSON object a line, compressed with gzip or not.

A source that has been sung before goes on after the last seq that was acked, so a song that broke off is finished by singing it again.
When a frontend dies or cannot answer, the song goes on at another; what was not acked is sent again and counts once.
It gives up when nothing is acked for as long as --patience.

Events are numbered by source and seq. Those that name neither are numbered here, under a source made from the first such line, or under
--source: the same file sung again is all duplicates. Events that name a source and no seq are known by their ids, which protects
them while the store remembers these (the last 1,024 of a source).

With --key every event is signed that is not signed already. Then each must have a time, and a seq where it names a source; what names none is numbered
under the name of the key. A file of signed events can be sung by anybody.

With --speed N events are sent when they are due, N times as fast as their own times tell, and late ones catch up.
With --speed max they are sent as fast as they are taken.

At the end, and also after a failure, it prints how many events were sung, at what rate, and how long they waited for their answers.`,
		Example: `  bard sing games.ndjson.gz
  bard sing --speed 60 --to http://127.0.0.1:8001,http://127.0.0.1:8002 games.ndjson
  bard sing --key cacofonix.key games.ndjson.gz
  feed | bard sing -`,
		Args: cobra.ExactArgs(1),
	}
	var s singer
	var id string
	c.Flags().Var(&s.speed, "speed", "how many times faster than the events' own time, or max")
	c.Flags().StringVar(&s.source, "source", "", "the source of events that name none; left out, it is made from the first of them")
	c.Flags().StringVar(&id, "id", "", "a `NAME` for laurel stop bard --id (default the name of the file)")
	cli.NoEnvironment(c.Flags(), "source", "id")
	run := pidfile.AddDirFlag(c)
	to := cli.AddTarget(c, client.DefaultPatience, "how long to go on without any ack, from one frontend to the next")
	to.AddKey(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if s.source != "" && !score.ValidPath(s.source) {
			return cli.Usagef("--source is %q; want letters, digits and ._~- in segments joined by /", s.source)
		}
		in, size, err := open(cmd, args[0])
		if err != nil {
			return err
		}
		defer in.Close()
		runDir, _ := run.Dir()
		leave := pidfile.RegisterOrWarn(runDir, pidfile.Entry{Kind: pidfile.Bard, ID: cmp.Or(id, nameOf(args[0]))}, func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), "bard:", err) })
		defer leave()
		client, err := to.Client()
		if err != nil {
			return err
		}
		defer client.Close()
		if s.key, err = to.Key(); err != nil {
			return err
		}
		s.client, s.patience, s.size = client, to.Patience, size
		return s.run(cmd, in)
	}
	return c
}

// run sings what is in, and tells how it went also when it broke off.
func (s *singer) run(cmd *cobra.Command, in io.Reader) error {
	s.progress = newProgress(cmd.ErrOrStderr())
	err := s.sing(cmd.Context(), in)
	if s.begun.IsZero() {
		return err
	}
	if _, e := io.WriteString(cmd.OutOrStdout(), s.summary()); err == nil {
		err = e
	}
	return err
}

// nameOf is the name of a bard who is given none: that of its song.
func nameOf(song string) string {
	if song == "-" {
		return "stdin"
	}
	name, _, _ := strings.Cut(filepath.Base(song), ".")
	return cmp.Or(name, song)
}

// open opens the file that the command names; its size is 0 where it is not known.
func open(cmd *cobra.Command, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory; want a file of events", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return f, 0, nil
	}
	return f, info.Size(), nil
}

// singer sings one song.
type singer struct {
	client   *client.Client
	speed    speed
	source   string
	key      ed25519.PrivateKey // nil: nothing is signed
	patience time.Duration
	progress *progress
	size     int64 // of the file; 0: not known

	read  atomic.Int64 // bytes of the file
	begun time.Time    // zero: nothing was sung
	took  time.Duration
	stats client.StreamStats
	known map[string]uint64 // the last acked seq of sources, when they first came up

	mu         sync.Mutex
	answered   uint64
	duplicates uint64
	passed     uint64 // events that were acked before this song began
	latencies  latencies
}

// maxKnown bounds the sources of which the last seq is kept. To forget one costs a question, no more.
const maxKnown = 1024

// sing sends everything in r and waits until it is acked.
func (s *singer) sing(ctx context.Context, r io.Reader) error {
	song, err := newSong(&counter{r, &s.read}, s.source)
	if err != nil {
		return err
	}
	if s.key != nil {
		song.signs, song.home = true, func() (string, error) { return registeredName(ctx, s.client, s.key) }
	}
	s.begun = time.Now()
	stop := s.progress.run(s.state)
	stream := s.client.Stream(ctx, client.StreamOptions{Patience: s.patience, Answered: s.hear, Trouble: func(url string, err error) {
		s.progress.say("%s: %v; going on with what is not acked", url, err)
	}})
	made, err := s.sendAll(ctx, song, stream)
	// What the stream says comes first: it is about an earlier line.
	if e := stream.Close(); e != nil {
		err = explain(e, made)
	}
	s.took, s.stats = time.Since(s.begun), stream.Stats()
	stop()
	if ctx.Err() != nil {
		return errors.New("interrupted; sing it again to go on after the last ack")
	}
	return err
}

// sendAll hands the song to the stream. made tells that some events have their identity from the song.
func (s *singer) sendAll(ctx context.Context, song *song, stream *client.Stream) (made bool, err error) {
	p := pace{speed: s.speed}
	for {
		v, err := song.next()
		if err == io.EOF {
			return made, nil
		}
		if err != nil {
			return made, err
		}
		made = made || v.made
		// What the song itself has numbered is sent again in any case: another song may have begun alike.
		if !v.made {
			acked, err := s.acked(ctx, v.source)
			if err != nil {
				return made, err
			}
			if v.Seq <= acked {
				s.mu.Lock()
				s.passed++
				s.mu.Unlock()
				continue
			}
		}
		if err := p.wait(ctx, v.time); err != nil {
			return made, err
		}
		if err := stream.SendLine(v.Line); err != nil {
			return made, err
		}
	}
}

// acked is the last seq of a source that was acked before this song came to it.
func (s *singer) acked(ctx context.Context, source string) (uint64, error) {
	if last, ok := s.known[source]; ok {
		return last, nil
	}
	b, err := s.client.Bard(ctx, source)
	if p, ok := errors.AsType[*score.Problem](err); ok && p.Code == score.NotFound {
		b, err = score.Bard{}, nil
	}
	if err != nil {
		return 0, fmt.Errorf("where %s stands cannot be found out: %w", source, err)
	}
	if s.known == nil || len(s.known) >= maxKnown {
		s.known = make(map[string]uint64)
	}
	s.known[source] = b.LastSeq
	return b.LastSeq, nil
}

// hear takes an answer in.
func (s *singer) hear(a client.Answer) {
	if a.Result.Problem != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered++
	if a.Result.Status == score.Duplicate {
		s.duplicates++
	}
	s.latencies.add(a.Took)
}

// explain names the line that was refused.
func explain(err error, made bool) error {
	r, ok := errors.AsType[*client.RefusedError](err)
	if !ok {
		return err
	}
	e := &lineError{r.Line.Number, r.Line.ID, r.Problem}
	if made && (r.Problem.Code == score.IDConflict || r.Problem.Code == score.SeqGap) {
		return fmt.Errorf("%w\nThe event was numbered here, and another song that began with the same line was sung before; name this one with --source", e)
	}
	return e
}

func (s *singer) state() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := -1.0
	if s.size > 0 {
		part = float64(s.read.Load()) / float64(s.size)
	}
	return state{s.answered, part}
}

// summary says what was sung, when it is over.
func (s *singer) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	round := func(d time.Duration) time.Duration {
		if d > time.Second {
			return d.Round(time.Millisecond)
		}
		return d.Round(time.Microsecond)
	}
	return fmt.Sprintf("events %s, duplicates %s, passed over (acked before) %s\n%s events/s in %s; latency p50 %s, p99 %s\nretries %d, failovers %d\n",
		textfmt.Thousands(s.answered), textfmt.Thousands(s.duplicates), textfmt.Thousands(s.passed),
		textfmt.Thousands(uint64(float64(s.answered)/max(s.took.Seconds(), 1e-9))), round(s.took), round(s.latencies.quantile(0.5)), round(s.latencies.quantile(0.99)),
		s.stats.Retries, s.stats.Failovers)
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
