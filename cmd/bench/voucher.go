package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// voucher is a poster who signs, where the row says so.
type voucher struct {
	*poster
	key   ed25519.PrivateKey // nil: it does not sign
	id    string
	begun time.Time
}

// newVoucher connects to the master, has a key registered where it needs one, and starts its contest.
func newVoucher(ctx context.Context, g *frontends, row trustRow, operator string) (*voucher, error) {
	addrs, err := g.targets(ctx, toMaster, 1)
	if err != nil {
		return nil, err
	}
	w, err := dial(ctx, addrs[0])
	if err != nil {
		return nil, err
	}
	if row.tls {
		// Whose certificate it is costs the same to check once, and is tested elsewhere.
		w.Conn = tls.Client(w.Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec
	}
	now := time.Now().UTC().Truncate(time.Second)
	v := &voucher{poster: &poster{wire: w, plays: newPlays(newRun(), 1, now), head: postHead(addrs[0])}, begun: now}
	if row.signed {
		err = v.register(ctx, "http://"+addrs[0], operator)
	}
	if err == nil {
		err = v.start(ctx)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return v, nil
}

// register makes a key and has an operator allow it.
func (v *voucher) register(ctx context.Context, url, operator string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	v.key, v.id = private, score.KeyID(public)
	return operate(ctx, url+"/v1/access/grants", operator, access.GrantRequest{Name: v.plays.source, Role: access.RoleBard, Public: public}, nil)
}

// operate posts what only an operator may; answer may be nil.
func operate(ctx context.Context, url, operator string, what, answer any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if operator != "" {
		req.Header.Set("Authorization", "Bearer "+operator)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: status %s: %s", url, res.Status, clip(said))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(said, answer)
}

// start makes and starts the contest.
func (v *voucher) start(ctx context.Context) error {
	body := v.plays.appendStart(nil)
	if v.key != nil {
		events, _, p := score.DecodeArray(body)
		if p != nil {
			return p
		}
		lines, err := v.sign(events)
		if err != nil {
			return err
		}
		body = append(append([]byte("["), bytes.Join(lines, []byte(","))...), ']')
	}
	if err := v.post(ctx, body); err != nil {
		return fmt.Errorf("starting the contest %s: %w", v.plays.contest, err)
	}
	return nil
}

// sign gives events as JSON, signed together.
func (v *voucher) sign(events []score.Event) ([][]byte, error) {
	forms := make([][]byte, len(events))
	for i := range events {
		events[i].Key = v.id
		var err error
		if forms[i], err = signing.Form(&events[i]); err != nil {
			return nil, err
		}
	}
	signatures, err := signing.SignForms(v.key, forms)
	if err != nil {
		return nil, err
	}
	for i := range forms {
		forms[i] = signing.EventJSON(forms[i], signatures[i])
	}
	return forms, nil
}

// next is the next play, as plays.append has it.
func (v *voucher) next() score.Event {
	p := v.plays
	side := p.seq & 1
	p.totals[side]++
	p.seq++
	delta := score.Points(1)
	return score.Event{ID: p.id + strconv.FormatUint(p.seq, 10), Source: p.source, Seq: p.seq, Type: score.TypeScorePlay, Time: v.begun, ContestID: p.contest,
		Data: &score.ScorePlay{Competitor: [...]string{"GAU", "ROM"}[side], Delta: &delta, Period: "END1", Action: "END", Clock: "07:41", Athlete: "Assurancetourix",
			Result: score.Totals{{Code: "GAU", Value: score.Points(int64(p.totals[0]))}, {Code: "ROM", Value: score.Points(int64(p.totals[1]))}}}}
}

func (v *voucher) write(ctx context.Context) error {
	if v.key == nil {
		return v.poster.write(ctx)
	}
	lines, err := v.sign([]score.Event{v.next()})
	if err != nil {
		return err
	}
	return v.post(ctx, lines[0])
}

// signedUntil is until for signed plays. They are signed by a goroutine of their own, a tree ahead.
func (v *voucher) signedUntil(ctx context.Context, end time.Time) func([]byte) ([]byte, error) {
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
				events[i] = v.next()
			}
			lines, err := v.sign(events)
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
