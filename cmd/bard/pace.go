package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

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

// wait waits until the event is due or ctx ends.
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
