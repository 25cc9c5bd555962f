package watchui

import (
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"laurel/client"
)

const (
	// The other screen, no cursor, and lines that are cut instead of wrapped while a terminal that became narrower is not yet redrawn.
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	// drawEvery is how often the table is drawn at most.
	drawEvery = 100 * time.Millisecond
	// tick is how often it is drawn if nothing changes: what stood out fades, a wait gets shorter.
	tick = 500 * time.Millisecond
)

// Terminal is the file that is a terminal behind out, if it is one.
func Terminal(out io.Writer) (f *os.File, ok bool) {
	f, ok = out.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// Show draws the watch on a terminal until the watch ends, and leaves the terminal as it was.
func Show(out *os.File, updates iter.Seq2[client.Update, error]) error {
	signals := make(chan os.Signal, 4)
	if len(watched) > 0 { // none would be all
		signal.Notify(signals, watched...)
		defer signal.Stop(signals)
	}
	s := &screen{out: out, size: func() (int, int) {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil {
			return 80, 24
		}
		return width, height
	}}
	return s.run(signals, updates)
}

// screen is a terminal with a board on it.
type screen struct {
	out  io.Writer
	size func() (width, height int)

	mu    sync.Mutex
	board Board
}

func (s *screen) run(signals <-chan os.Signal, updates iter.Seq2[client.Update, error]) error {
	io.WriteString(s.out, enter)
	defer io.WriteString(s.out, leave)
	more, done := make(chan struct{}, 1), make(chan error, 1)
	go func() { done <- s.follow(updates, more) }()
	fade := time.NewTicker(tick)
	defer fade.Stop()
	pause := time.NewTimer(0) // runs out when it may be drawn again
	defer pause.Stop()
	due, free := true, false
	for {
		select {
		case <-more:
			due = true
		case <-fade.C:
			due = true
		case <-pause.C:
			free = true
		case sig := <-signals:
			if suspends(sig) {
				io.WriteString(s.out, leave)
				suspend()
				io.WriteString(s.out, enter)
			}
			due, free = true, true
		case err := <-done:
			return err
		}
		if due && free {
			if err := s.draw(); err != nil {
				return err
			}
			due, free = false, false
			pause.Reset(drawEvery)
		}
	}
}

// follow takes the updates in.
func (s *screen) follow(updates iter.Seq2[client.Update, error], more chan<- struct{}) error {
	for u, err := range updates {
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.board.Take(u, time.Now())
		s.mu.Unlock()
		select {
		case more <- struct{}{}:
		default:
		}
	}
	return nil
}

// draw writes the whole screen in one piece, over the old one, so that nothing flickers.
func (s *screen) draw() error {
	width, height := s.size()
	s.mu.Lock()
	lines := s.board.Lines(width, height, time.Now())
	s.mu.Unlock()
	_, err := fmt.Fprintf(s.out, "\x1b[?2026h\x1b[H%s\x1b[K\x1b[J\x1b[?2026l", strings.Join(lines, "\x1b[K\r\n"))
	return err
}
