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
	lines, err := s.sign(events)
	if err != nil {
		return err
	}
	body := append(append([]byte("["), bytes.Join(lines, []byte(","))...), ']')
	if err := s.post(ctx, body); err != nil {
		return fmt.Errorf("start the contest %s: %w", s.plays.contest, err)
	}
	return nil
}

// sign returns events as JSON, signed together.
func (s *Signer) sign(events []score.Event) ([][]byte, error) {
	forms := make([][]byte, len(events))
	for i := range events {
		events[i].Key = s.id
		var err error
		if forms[i], err = signing.Form(&events[i]); err != nil {
			return nil, err
		}
	}
	for i, signature := range signing.SignForms(s.key, s.lineage, forms) {
		forms[i] = signing.EventJSON(forms[i], s.lineage, signature)
	}
	return forms, nil
}

// next returns the next play, as Plays.Append writes it.
func (s *Signer) next() score.Event {
	p := s.plays
	competitor := p.score()
	p.seq++
	delta := mark.Points(1)
	return score.Event{
		ID: p.id + strconv.FormatUint(p.seq, 10), Source: p.source, Seq: p.seq,
		Type: score.TypeScorePlay, Time: s.begun, ContestID: p.contest,
		Data: &score.ScorePlay{
			Competitor: competitor, Delta: &delta,
			Period: "END1", Action: "END", Clock: "07:41", Athlete: "Assurancetourix",
			Result: score.Totals{
				{Code: competitors[0], Value: mark.Points(int64(p.totals[0]))},
				{Code: competitors[1], Value: mark.Points(int64(p.totals[1]))},
			},
		},
	}
}

// Until is Plays.Until with signed plays. A goroutine signs one tree ahead.
func (s *Signer) Until(ctx context.Context, end time.Time) func([]byte) ([]byte, error) {
	type tree struct {
		lines [][]byte
		err   error
	}
	trees := make(chan tree, 1)
	go func() {
		defer close(trees)
		for time.Now().Before(end) {
			events := make([]score.Event, score.MaxTree)
			for i := range events {
				events[i] = s.next()
			}
			lines, err := s.sign(events)
			select {
			case trees <- tree{lines, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	var lines [][]byte
	return func(dst []byte) ([]byte, error) {
		if len(lines) == 0 {
			t, more := <-trees
			if !more {
				return dst, io.EOF
			}
			if t.err != nil {
				return dst, t.err
			}
			lines = t.lines
		}
		dst = append(dst, lines[0]...)
		lines = lines[1:]
		return dst, nil
	}
}
