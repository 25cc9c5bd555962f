package watchui

import (
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"laurel/client"
)

const (
	// enterScreen switches to the alternate screen, hides the cursor and stops wrapping
	// of lines: a terminal that became narrower shows clipped lines until the next
	// drawing.
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	// drawInterval is the time between two drawings, as highlights end without an update.
	drawInterval = 50 * time.Millisecond
)

// Show draws the watch on a terminal until the watch ends, and restores the terminal.
func Show(out *os.File, updates iter.Seq2[client.Update, error]) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP) // another size; suspend
	defer signal.Stop(signals)
	s := &screen{out: out, size: func() (int, int) {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil || width == 0 || height == 0 { // some terminals do not know
			return 80, 24
		}
		return width, height
	}}
	return s.run(signals, updates)
}

// screen is a terminal that shows a view.
type screen struct {
	out   io.Writer
	size  func() (width, height int)
	drawn string // what it shows

	mu   sync.Mutex
	view view
}

func (s *screen) run(signals <-chan os.Signal, updates iter.Seq2[client.Update, error]) error {
	io.WriteString(s.out, enterScreen)
	defer io.WriteString(s.out, leaveScreen)
	done := make(chan error, 1)
	go func() { done <- s.applyAll(updates) }()
	draw := time.NewTicker(drawInterval)
	defer draw.Stop()
	for {
		select {
		case <-draw.C:
		case sig := <-signals:
			if sig == syscall.SIGTSTP {
				io.WriteString(s.out, leaveScreen)
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // until the shell continues it
				io.WriteString(s.out, enterScreen)
			}
			s.drawn = ""
		case err := <-done:
			return err
		}
		if err := s.draw(); err != nil {
			return err
		}
	}
}

// applyAll applies the updates to the view.
func (s *screen) applyAll(updates iter.Seq2[client.Update, error]) error {
	for u, err := range updates {
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.view.apply(u, time.Now())
		s.mu.Unlock()
	}
	return nil
}

// draw writes the screen over the old one at once, so that it does not flicker. A line is
// erased before it is written: after a line as wide as the terminal, the cursor is still on
// its last character.
func (s *screen) draw() error {
	width, height := s.size()
	s.mu.Lock()
	lines := s.view.lines(width, height, time.Now())
	s.mu.Unlock()
	text := "\x1b[?2026h\x1b[H\x1b[K" + strings.Join(lines, "\r\n\x1b[K")
	if len(lines) < height {
		text += "\r\n\x1b[J"
	}
	text += "\x1b[?2026l"
	if text == s.drawn {
		return nil
	}
	s.drawn = text
	_, err := io.WriteString(s.out, text)
	return err
}
