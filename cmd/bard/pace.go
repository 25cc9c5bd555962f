package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// speed is how many times faster than the events' own time a song is sung; 0 is as fast as possible.
type speed float64

func (s *speed) Set(text string) error {
	if text == "max" {
		*s = 0
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) || n > 1e9 {
		return fmt.Errorf("got %q; want max, or a number above 0: 60 sings an hour in a minute", text)
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

// pace tells when the events of a song are due.
type pace struct {
	speed speed
	begun time.Time // when the first event with a time was due
	first time.Time // that event's time
}

// due is when an event of the given time is due; the past if at once. Whoever is late catches up: what is due does not depend on when the last one was sung.
func (p *pace) due(at, now time.Time) time.Time {
	if p.speed == 0 || at.IsZero() {
		return now
	}
	if p.first.IsZero() {
		p.begun, p.first = now, at
	}
	return p.begun.Add(time.Duration(float64(at.Sub(p.first)) / float64(p.speed)))
}

// wait returns when the event is due, or ctx ends.
func (p *pace) wait(ctx context.Context, at time.Time) error {
	if p.speed == 0 {
		return ctx.Err()
	}
	now := time.Now()
	d := p.due(at, now).Sub(now)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
