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
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"laurel/client"
	"laurel/internal/cli"
	"laurel/internal/latency"
	"laurel/internal/pidfile"
	"laurel/internal/textfmt"
	"laurel/score"
)

const singLong = `Posts the events of FILE, or of standard input (-): one JSON object per line, compressed with gzip or
not.

If bard sing was interrupted, run it again to finish: it passes over the events that the store has
already under their source and seq. It compares their content. If an event is not what was posted under
its seq, bard stops, and names the line and the command that goes on. If a frontend dies or cannot
answer, bard continues at another one; what was not acknowledged is sent again and counts once. It gives
up if nothing is acknowledged for as long as --patience.

If an event is refused, those of its source behind it cannot be posted, as its seq would be missing.
With --on-refusal=stop bard then stops. With --on-refusal=skip it posts an alert with the reason under
that seq, continues, and lists the refused events at the end; the exit code is 0. What you may not post,
what contradicts an event that was posted before, a line that does not say its source and seq, and a
last line that is not whole stop it nonetheless.

With --standby 5s, bard follows another one that posts the same source with the same seqs, such as a
second machine with the same feed. It compares what the other one has posted with its own events. It
posts an event only if the store does not have it 5 s after it came, and 5 s after the other bard last
posted. It stops with id_conflict if the two differ.

Events are identified by source and seq. Events with neither are numbered here, under a source made from
the first such line, or under --source: if you post the same file again, all of them are duplicates.
Events with a source and without a seq are identified by their ids, which works while the store
remembers these (the last 1,024 of a source).

With --key, bard signs every event that is not signed already. Each must then have a time, and a seq if
it names a source; events without a source are numbered under the name of the key. Anybody can post a
file of signed events.

What laurel export has written is posted only to a store with the lineage of the one that it was exported
from. An operator must have granted the keys that signed it the same roles there. A token of an operator may
post all events that are not signed.

With --speed N, events are sent when they are due, N times as fast as their own times say, and late ones
catch up. With --speed max they are sent as fast as the frontends accept them.

With --certified, an acknowledgement is not the end: bard keeps each event until a quorum of the frontends of --policy
has certified its source past it. What is not certified after 5 s it posts again at other frontends, and says who had
acknowledged it. It sends again what the store has already, because a frontend could say so of an event that is lost.

At the end, also after a failure, bard prints the number of events, their rate and the latency of the
answers.`

func newSingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sing FILE|-",
		Short: "Post a stream of events, each exactly once",
		Long:  singLong,
		Example: `  bard sing games.ndjson.gz
  bard sing --speed 60 --to http://127.0.0.1:8001,http://127.0.0.1:8002 games.ndjson
  bard sing --key cacofonix.key games.ndjson.gz
  feed | bard sing -
  feed | bard sing --standby 5s -`,
		Args: cobra.ExactArgs(1),
	}
	var s singer
	var id string
	c.Flags().StringVar(&s.source, "source", "",
		"source of events that name none (default made from the first of them)")
	c.Flags().StringVar(&id, "id", "", "`NAME` for laurel stop bard --id (default the name of the file)")
	cli.NoEnvironment(c.Flags())
	c.Flags().Var(&s.speed, "speed", "speed-up against the events' own times, or max")
	onRefusal := c.Flags().String("on-refusal", "stop",
		"`stop|skip`: stop at an event that is refused, or skip it and post an alert in its place")
	c.Flags().DurationVar(&s.standby, "standby", 0,
		"follow another bard, and post only what is not acknowledged after this `TIME`")
	run := pidfile.AddDirFlag(c)
	to := cli.AddTarget(c, client.DefaultPatience,
		"how long to continue without an acknowledgement, at one frontend after the other")
	to.AddKey(c)
	policy := cli.AddPolicy(c)
	certified := c.Flags().Bool("certified", false, "keep each event until the frontends of --policy have certified it")
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if s.source != "" && !score.ValidPath(s.source) {
			return cli.Usagef("--source is %q; want letters, digits and ._~- in segments joined by /", s.source)
		}
		switch *onRefusal {
		case "skip":
			s.skipRefused = true
		case "stop":
		default:
			return cli.Usagef("--on-refusal is %q; want stop or skip", *onRefusal)
		}
		if cmd.Flags().Changed("standby") && s.standby < minStandby {
			return cli.Usagef("--standby is %s; want %s or more, such as 5s", s.standby, minStandby)
		}
		s.file = args[0]
		if s.in, err = open(cmd, s.file); err != nil {
			return err
		}
		defer s.in.Close()
		warn := func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), "bard:", err) }
		entry := pidfile.Entry{Kind: pidfile.Bard, ID: cmp.Or(id, baseName(args[0]))}
		leave := pidfile.RegisterOrWarn(run.Dir(), entry, warn)
		defer leave()
		client, err := to.Client()
		if err != nil {
			return err
		}
		defer client.Close()
		if s.key, err = to.Key(); err != nil {
			return err
		}
		s.client, s.patience = client, to.Patience
		if *certified {
			if s.keeper, err = newKeeper(client, policy, s.patience); err != nil {
				return err
			}
		}
		return policy.Explain(s.run(cmd))
	}
	return c
}

// run posts the input and prints the summary, also after a failure.
func (s *singer) run(cmd *cobra.Command) error {
	s.progress = newProgress(cmd.ErrOrStderr())
	err := s.sing(cmd.Context())
	if s.began.IsZero() {
		return err
	}
	if _, e := io.WriteString(cmd.OutOrStdout(), s.summary()); err == nil {
		err = e
	}
	return err
}

func baseName(file string) string {
	if file == "-" {
		return "stdin"
	}
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return cmp.Or(name, file)
}

// open opens a file, or standard input.
func open(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s is a directory; want a file of events", name)
	}
	return f, nil
}

type singer struct {
	client   *client.Client
	speed    speed
	source   string
	key      ed25519.PrivateKey // nil: events are not signed
	patience time.Duration
	progress *progress
	in       io.ReadCloser

	file        string // - for standard input
	compressed  bool   // the file is
	skipRefused bool
	standby     time.Duration // 0: the singer follows no other bard

	began   time.Time // zero: nothing was sung
	took    time.Duration
	stats   client.StreamStats
	posted  posted
	skipped uint64     // events that were acknowledged before
	last    inputEvent // the latest that was sent, or acknowledged before
	// madeSource is the source of the events that were numbered here; "" if there are none.
	madeSource string
	abort      func()  // ends follow; nil: the singer is no standby
	keeper     *keeper // nil: an acknowledgement is enough

	mu         sync.Mutex
	refusals   refusals
	following  following
	answered   uint64
	duplicates uint64
	latencies  latency.Histogram
}

// sing posts all events of the input and waits until they are acknowledged.
func (s *singer) sing(ctx context.Context) error {
	in, err := newInput(s.in, s.source)
	if err != nil {
		return err
	}
	if in.exported != nil {
		if err := checkExport(ctx, in.exported, s.client); err != nil {
			return err
		}
	}
	if s.key != nil {
		in.keyName = func() (string, error) { return grantedName(ctx, s.client, s.key) }
	}
	s.compressed, s.posted.client = in.compressed, s.client
	s.began = time.Now()
	stop := s.progress.run(s.state)
	if s.keeper != nil {
		s.keeper.println = s.progress.println
		defer s.keeper.begin(ctx)()
	}
	stream := s.client.Stream(ctx, client.StreamOptions{Patience: s.patience, Answered: s.answer,
		Refused: func(l client.Line, p *score.Problem) (client.Line, bool) { return s.refused(ctx, l, p) },
		Trouble: func(url string, err error) {
			// In one line: a frontend must not speak in the name of the program.
			s.progress.println("%s: %s; continuing with what is not acknowledged", url, textfmt.OneLine(err.Error()))
		}})
	send := s.sendAll
	if s.standby > 0 {
		send = s.follow
	}
	err = send(ctx, in, stream)
	// An error of the stream comes first: it is about an earlier line.
	if e := stream.Close(); e != nil {
		err = s.explain(ctx, e)
	}
	if err == nil && s.keeper != nil {
		err = s.keeper.wait(ctx, 0)
	}
	s.took, s.stats = time.Since(s.began), stream.Stats()
	stop()
	if ctx.Err() != nil {
		return errors.New("interrupted; run the command again to continue after the last acknowledged event")
	}
	return err
}

// sendAll sends the events of an input.
func (s *singer) sendAll(ctx context.Context, in *input, stream *client.Stream) error {
	p := pace{speed: s.speed}
	for {
		e, invalid := in.next()
		if invalid == io.EOF {
			return nil
		}
		if e.made {
			s.madeSource = in.source
		}
		acked, err := s.isAcked(ctx, &e)
		if err != nil {
			return err
		}
		if acked {
			s.skipped++
			s.last = e
			continue
		}
		if err := p.wait(ctx, e.time); err != nil {
			return err
		}
		if err := s.send(ctx, &e, invalid, stream); err != nil {
			return err
		}
	}
}

// isAcked reports whether the store has an event of the input under its seq. One that is
// another event there is posted again, and refused.
func (s *singer) isAcked(ctx context.Context, e *inputEvent) (bool, error) {
	if e.Seq == 0 || !score.ValidPath(e.source) || s.keeper != nil {
		return false, nil
	}
	had, ok, err := s.posted.find(ctx, e.source, e.Seq)
	return ok && e.is(&had), err
}

// send sends an event or, if it is invalid, the alert in its place.
func (s *singer) send(ctx context.Context, e *inputEvent, invalid error, stream *client.Stream) error {
	s.note(e)
	line := e.Line
	if invalid != nil {
		var ok bool
		if line, ok = s.replace(e, invalid); !ok {
			return s.advise(ctx, lineError(e.Number, e.ID, invalid), e)
		}
	}
	s.last = *e
	if s.keeper != nil {
		if err := s.keeper.expect(ctx, line.Number, e.source); err != nil {
			return err
		}
	}
	return stream.SendLine(line)
}

func (s *singer) answer(a client.Answer) {
	if a.Result.Problem != nil {
		return
	}
	if s.keeper != nil {
		s.keeper.keep(a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Result.Status == score.Duplicate {
		s.following.moved = time.Now() // another bard was faster
	}
	if refusal := s.refusals.applied(a.Line.Number); refusal != "" {
		s.progress.println("%s; an alert has its place", refusal)
		return
	}
	s.answered++
	if a.Result.Status == score.Duplicate {
		s.duplicates++
	}
	s.latencies.Add(a.Took)
}

// state returns the number of answered events and the share of the file read, or -1.
func (s *singer) state() (answered uint64, share float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	share = -1
	if f, ok := s.in.(*os.File); ok {
		at, seekErr := f.Seek(0, io.SeekCurrent) // fails for a pipe
		info, err := f.Stat()
		if seekErr == nil && err == nil && info.Size() > 0 {
			share = float64(at) / float64(info.Size())
		}
	}
	return s.answered, share
}

// summary returns the result of the whole run.
func (s *singer) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	round := func(d time.Duration) time.Duration {
		if d > time.Second {
			return d.Round(time.Millisecond)
		}
		return d.Round(time.Microsecond)
	}
	rate := uint64(float64(s.answered) / max(s.took.Seconds(), 1e-9))
	return fmt.Sprintf("events %s, duplicates %s, skipped (acknowledged before) %s\n"+
		"%s events/s in %s; latency p50 %s, p99 %s\nretries %d, failovers %d\n",
		textfmt.Thousands(s.answered), textfmt.Thousands(s.duplicates), textfmt.Thousands(s.skipped),
		textfmt.Thousands(rate), round(s.took), round(s.latencies.Quantile(0.5)), round(s.latencies.Quantile(0.99)),
		s.stats.Retries, s.stats.Failovers) + s.refusals.report()
}

// speed is the speed-up factor against the events' own times; 0 is as fast as possible.
type speed float64

func (s *speed) Set(text string) error {
	if text == "max" {
		*s = 0
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) || n > 1e9 {
		return fmt.Errorf("got %q; want max, or a number above 0: 60 posts an hour in a minute", text)
	}
	*s = speed(n)
	return nil
}

func (s *speed) Type() string { return "max|N" }

func (s *speed) String() string {
	if *s == 0 {
		return "max"
	}
	return strconv.FormatFloat(float64(*s), 'g', -1, 64)
}

// pace computes when the events of an input are due.
type pace struct {
	speed speed
	began time.Time // when the first event with a time was due
	first time.Time // the time of that event
}

// due returns when an event with a time is due. It does not depend on when the event
// before was posted, so that late events catch up.
func (p *pace) due(at, now time.Time) time.Time {
	if p.speed == 0 || at.IsZero() {
		return now
	}
	if p.first.IsZero() {
		p.began, p.first = now, at
	}
	return p.began.Add(time.Duration(float64(at.Sub(p.first)) / float64(p.speed)))
}

// wait waits until an event with a time is due or ctx ends.
func (p *pace) wait(ctx context.Context, given string) error {
	if p.speed == 0 {
		return ctx.Err()
	}
	at, _ := score.ParseTime(given) // a frontend refuses an invalid one with the reason
	now := time.Now()
	d := p.due(at, now).Sub(now)
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err()
}
