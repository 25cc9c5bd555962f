package load

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"strconv"
	"time"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/score/mark"
	"laurel/trust/signing"
)

// Signer is a poster that signs its events.
type Signer struct {
	*Poster
	plays *Plays
	key   ed25519.PrivateKey
	id    string
	begun time.Time

	lineage string // of the store

	one  signedTree // of Write
	next []score.Event
}

// NewSigner connects to a frontend and starts a contest there. The key must be registered
// for the source of the plays, in the store with the lineage.
func NewSigner(
	ctx context.Context, addr string, p *Plays, key ed25519.PrivateKey, lineage string, useTLS bool,
) (*Signer, error) {
	b, err := newPoster(ctx, addr, p, &p.header, false)
	if err != nil {
		return nil, err
	}
	if useTLS {
		// Whose certificate it is costs the same to check once, and is tested elsewhere.
		b.Wire.Conn = tls.Client(b.Wire.Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	begun, err := time.Parse(time.RFC3339, p.time)
	if err != nil {
		return nil, err
	}
	s := &Signer{Poster: b, plays: p, key: key, id: score.KeyID(key.Public().(ed25519.PublicKey)), begun: begun,
		lineage: lineage}
	if err := s.start(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return s, nil
}

func (s *Signer) start(ctx context.Context) error {
	events, problem := score.DecodeArray(s.plays.appendStart(nil))
	if problem != nil {
		return problem
	}
	var t signedTree
	if err := s.sign(&t, events); err != nil {
		return err
	}
	body := append(append([]byte("["), bytes.Join(t.lines, []byte(","))...), ']')
	if err := s.post(ctx, body); err != nil {
		return fmt.Errorf("start the contest %s: %w", s.plays.contest, err)
	}
	return nil
}

// signedTree is events that were signed together, as JSON. Its memory is used again.
type signedTree struct {
	lines        [][]byte
	forms        [][]byte
	text, signed []byte // which forms and lines are parts of
	err          error
}

// sign signs events together.
func (s *Signer) sign(t *signedTree, events []score.Event) error {
	t.forms, t.lines, t.text, t.signed = t.forms[:0], t.lines[:0], t.text[:0], t.signed[:0]
	for i := range events {
		events[i].Key = s.id
		from := len(t.text)
		var err error
		if t.text, err = signing.AppendForm(t.text, &events[i]); err != nil {
			return err
		}
		t.forms = append(t.forms, t.text[from:])
	}
	for i, signature := range signing.SignForms(s.key, s.lineage, t.forms) {
		from := len(t.signed)
		t.signed = signing.AppendEventJSON(t.signed, t.forms[i], s.lineage, signature)
		t.lines = append(t.lines, t.signed[from:])
	}
	return nil
}

// makePlays makes events of which makePlay sets what differs.
func (s *Signer) makePlays(n int) []score.Event {
	p := s.plays
	events, delta := make([]score.Event, n), mark.Points(1)
	for i := range events {
		events[i] = score.Event{
			Source: p.source, Type: score.TypeScorePlay, Time: s.begun, ContestID: p.contest,
			Data: &score.ScorePlay{
				Delta: &delta, Period: "END1", Action: "END", Clock: "07:41", Athlete: "Assurancetourix",
				Result: score.Totals{{Code: competitors[0]}, {Code: competitors[1]}},
			},
		}
	}
	return events
}

// makePlay makes e the next play, as Plays.Append writes it.
func (s *Signer) makePlay(e *score.Event) {
	p, play := s.plays, e.Data.(*score.ScorePlay)
	play.Competitor = p.score()
	p.seq++
	e.ID, e.Seq = p.id+strconv.FormatUint(p.seq, 10), p.seq
	for i := range play.Result {
		play.Result[i].Value = mark.Points(int64(p.totals[i]))
	}
}

// Contest returns the id of the contest.
func (s *Signer) Contest() string { return s.plays.contest }

// Write signs and posts the next play.
func (s *Signer) Write(ctx context.Context) error {
	if s.next == nil {
		s.next = s.makePlays(1)
	}
	s.makePlay(&s.next[0])
	if err := s.sign(&s.one, s.next); err != nil {
		return err
	}
	return s.post(ctx, s.one.lines[0])
}

// Until is Plays.Until with signed plays. A goroutine signs up to two trees ahead.
func (s *Signer) Until(ctx context.Context, end time.Time) func([]byte) ([]byte, error) {
	const ahead = 2
	trees, free := make(chan *signedTree, ahead+1), make(chan *signedTree, ahead+1)
	for range cap(free) {
		free <- new(signedTree)
	}
	go func() {
		defer close(trees)
		events := s.makePlays(eventsig.MaxTree)
		for time.Now().Before(end) {
			for i := range events {
				s.makePlay(&events[i])
			}
			select {
			case t := <-free:
				t.err = s.sign(t, events)
				trees <- t // which has room for all
			case <-ctx.Done():
				return
			}
		}
	}()
	var t *signedTree
	next := 0
	return func(dst []byte) ([]byte, error) {
		if t == nil || next == len(t.lines) {
			if t != nil {
				free <- t
			}
			next = 0
			if t = <-trees; t == nil {
				return dst, io.EOF
			}
			if t.err != nil {
				return dst, t.err
			}
		}
		dst = append(dst, t.lines[next]...)
		next++
		return dst, nil
	}
}
