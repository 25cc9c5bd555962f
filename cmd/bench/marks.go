package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// boardSplit is the one split of the contest that is marked.
const boardSplit = "finish"

// marks makes the events of one bard who gives marks to the players of one tournament, who all play in it.
type marks struct {
	source, contest, id, time string
	players                   int
	random                    *rand.Rand
	seq                       uint64 // of the event made last
}

// newMarks is the bard number n of a run.
func newMarks(run string, n, players int, contest string, now time.Time) *marks {
	return &marks{
		source: fmt.Sprintf("bard/bench-%s-%04d", run, n), contest: contest, id: fmt.Sprintf("%s-%04d-", run, n), time: now.UTC().Format(time.RFC3339),
		players: players, random: rand.New(rand.NewPCG(uint64(n), uint64(players))),
	}
}

// player is the code of a player; Redis' own benchmark makes such names.
func player(n int) string { return fmt.Sprintf("c%012d", n) }

// appendStart appends what makes and starts the contest, as a JSON array: the events 1 and 2.
func (m *marks) appendStart(dst []byte) []byte {
	dst = append(m.appendHead(append(dst, '['), "contest.define"), `{"kind":"ranked","sport":"e-sport","title":"Open qualifier","result_type":"POINTS","sort":"desc"}},`...)
	return append(m.appendHead(dst, "contest.status"), `{"schedule_status":"RUNNING","result_status":"LIVE"}}]`...)
}

// appendMark gives a player a mark.
func (m *marks) appendMark(dst []byte, of int) []byte {
	dst = append(m.appendHead(dst, "result.set"), `{"competitor":"`...)
	dst = append(dst, player(of)...)
	dst = append(dst, `","split":"`+boardSplit+`","mark":`...)
	return append(strconv.AppendInt(dst, int64(m.random.IntN(maxMark)), 10), "}}"...)
}

// maxMark: with a million players each mark is there about once.
const maxMark = 1_000_000

func (m *marks) appendHead(dst []byte, kind string) []byte {
	m.seq++
	dst = append(append(dst, `{"id":"`...), m.id...)
	dst = strconv.AppendUint(dst, m.seq, 10)
	dst = append(append(dst, `","source":"`...), m.source...)
	dst = strconv.AppendUint(append(dst, `","seq":`...), m.seq, 10)
	dst = append(append(dst, `,"type":"`...), kind...)
	dst = append(append(dst, `","time":"`...), m.time...)
	dst = append(append(dst, `","contest_id":"`...), m.contest...)
	return append(dst, `","data":`...)
}

// everyPlayer gives each player one mark, in an order of chance.
func (m *marks) everyPlayer() func([]byte) ([]byte, error) {
	order, next := m.random.Perm(m.players), 0
	return func(dst []byte) ([]byte, error) {
		if next == len(order) {
			return dst, io.EOF
		}
		next++
		return m.appendMark(dst, order[next-1]), nil
	}
}

// marker is a bard who gives marks to players by chance, one event at a time, over a connection of its own.
type marker struct {
	wire    *wire
	marks   *marks
	request []byte
	body    []byte
	acked   uint64
}

func (w *marker) write(ctx context.Context) error {
	w.body = w.marks.appendMark(w.body[:0], w.marks.random.IntN(w.marks.players))
	return w.post(ctx)
}

func (w *marker) post(ctx context.Context) error {
	w.request = appendRequest(w.request[:0], postHead(w.wire.host), w.body)
	for {
		a, err := w.wire.roundTrip(w.request)
		switch {
		case err != nil:
			return err
		case a.status == http.StatusOK && acked(a.body):
			w.acked = w.marks.seq
			return nil
		case a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable:
			return fmt.Errorf("%s refused the event %d of %s: status %d: %s", w.wire.host, w.marks.seq, w.marks.source, a.status, clip(a.body))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(a.retryAfter):
		}
	}
}

func (w *marker) source() string  { return w.marks.source }
func (w *marker) lastSeq() uint64 { return w.acked }
func (w *marker) retries() int    { return 0 }
func (w *marker) close()          { w.wire.Close() }
