package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"laurel/internal/cli"
	"laurel/internal/textfmt"
)

const (
	barInterval  = 100 * time.Millisecond
	lineInterval = 5 * time.Second
)

// progress shows how much was posted: by a bar on a terminal, otherwise by a line now and
// then. It is safe for concurrent use.
type progress struct {
	out      io.Writer
	terminal *os.File // that out is, for the bar; nil: out is no terminal

	mu    sync.Mutex
	shown uint64
	at    time.Time
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, at: time.Now()}
	if f, ok := cli.Terminal(out); ok {
		p.terminal = f
	}
	return p
}

// run shows the state until stop is called. The share is that of the file, from 0 to 1;
// if it is unknown, it is below 0.
func (p *progress) run(state func() (answered uint64, share float64)) (stop func()) {
	every := lineInterval
	if p.terminal != nil {
		every = barInterval
	}
	tick, quit, done := time.NewTicker(every), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.show(state())
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
		p.mu.Lock()
		defer p.mu.Unlock()
		p.clear()
	}
}

func (p *progress) show(answered uint64, share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	rate := float64(answered-p.shown) / now.Sub(p.at).Seconds()
	text := fmt.Sprintf("%s events, %s/s", textfmt.Thousands(answered), textfmt.Thousands(uint64(rate)))
	if p.terminal == nil {
		if share >= 0 {
			text += fmt.Sprintf(", %.0f %% of the file", 100*share)
		}
		fmt.Fprintln(p.out, text)
		p.shown, p.at = answered, now
		return
	}
	// On a terminal the rate is over about a second, so that it does not flicker.
	if now.Sub(p.at) > time.Second {
		p.shown, p.at = answered, now
	}
	width, _, err := term.GetSize(int(p.terminal.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	p.clear()
	fmt.Fprint(p.terminal, bar(share, text, width-1))
}

// bar returns text with a bar before it, at most width wide.
func bar(share float64, text string, width int) string {
	room := width - len(text) - len("[] 100 %  ")
	if share < 0 || room < 10 {
		return text[:min(len(text), width)]
	}
	room = min(room, 60)
	full := int(min(share, 1) * float64(room))
	filled, empty := strings.Repeat("=", full), strings.Repeat(" ", room-full)
	return fmt.Sprintf("[%s%s] %3.0f %%  %s", filled, empty, 100*min(share, 1), text)
}

func (p *progress) println(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear removes the bar from the current line.
func (p *progress) clear() {
	if p.terminal != nil {
		fmt.Fprint(p.terminal, "\r\x1b[K")
	}
}
