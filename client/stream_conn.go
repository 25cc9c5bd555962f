package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/trust/signing"

	"github.com/go-json-experiment/json"
)

const (
	// maxWrite bounds the JSON in one write, and so in one chunk of the request.
	maxWrite = 64 << 10
	// maxResult bounds one line of the response.
	maxResult = 64 << 10
	// idleLimit is the time without an event after which the request is ended, before a
	// frontend would cut it off. The next event begins another request.
	idleLimit = 10 * time.Second
	// busyEvents is the number of unanswered events at which new events wait until they
	// fill a tree: a signature of 256 events is no more work for a frontend than that of
	// one.
	busyEvents = 512
)

// streamConn is one request to one frontend: it sends events while it reads results.
type streamConn struct {
	s     *Stream
	url   string
	body  *io.PipeWriter
	stall *time.Timer // runs while an answer or the end of the response is due; cancels the request

	// Under the stream's lock:
	ended   bool // the request has been sent to its end
	answers int
}

// postOver posts the events of the queue, and those that come into it, to one frontend.
// err is nil if the request has ended and everything in it is answered.
func (s *Stream) postOver(url string, failover bool) (answers int, err error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	v := &streamConn{s: s, url: url, body: w}
	v.stall = time.AfterFunc(s.c.o.AttemptTimeout, func() { cancel(errTooSlow) })
	defer v.stall.Stop()
	s.mu.Lock()
	s.sent = 0
	if failover {
		s.stats.Failovers++
	}
	s.mu.Unlock()

	writing := make(chan struct{})
	go func() {
		defer close(writing)
		v.write(ctx)
	}()
	err = v.read(ctx, r)
	unsent := errors.As(err, new(*unsentError))
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.As(err, new(*RefusedError)) {
		err = cause
	}
	cancel(nil)
	r.CloseWithError(io.ErrClosedPipe)
	<-writing
	if err != nil && !unsent && !isRefusal(err) && mayHaveArrived(err) {
		s.mu.Lock()
		s.uncertain = max(s.uncertain, s.sent)
		s.mu.Unlock()
	}
	return v.answers, err
}

// write sends events as they come, as many in one write as there are.
func (v *streamConn) write(ctx context.Context) {
	defer v.body.Close()
	quiet := time.NewTimer(idleLimit)
	defer quiet.Stop()
	buf := make([]byte, 0, maxWrite)
	for {
		if buf = v.fill(buf[:0]); len(buf) > 0 {
			if _, err := v.body.Write(buf); err != nil {
				return
			}
			quiet.Reset(idleLimit)
			continue
		}
		if v.mayEnd(false) {
			return
		}
		select {
		case <-v.s.more:
		case <-quiet.C:
			if v.mayEnd(true) {
				return
			}
			quiet.Reset(idleLimit)
		case <-ctx.Done():
			return
		}
	}
}

// mayEnd reports whether the request can end: no event will follow, or quiet is true and
// none waits for an answer.
func (v *streamConn) mayEnd(quiet bool) bool {
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	v.ended = s.sent == len(s.queue) && (s.closed || quiet && s.sent == 0)
	if v.ended {
		v.stall.Reset(s.c.o.AttemptTimeout)
	}
	return v.ended
}

// fill appends as many unsent events as fit to buf. It signs some if none is ready.
func (v *streamConn) fill(buf []byte) []byte {
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == s.ready && s.signable() > 0 {
		s.sign()
	}
	if s.sent == 0 && s.ready > 0 {
		v.stall.Reset(s.c.o.AttemptTimeout)
	}
	now := time.Now()
	for s.sent < s.ready {
		e := &s.queue[s.sent]
		if len(buf) > 0 && len(buf)+len(e.JSON)+1 > maxWrite {
			break
		}
		if e.firstSent.IsZero() {
			e.firstSent = now
		}
		buf = append(append(buf, e.JSON...), '\n')
		s.sent++
	}
	return buf
}

// read sends the request with the body, and takes in the results.
func (v *streamConn) read(ctx context.Context, body io.Reader) error {
	conn := connection{reports: v.s.c.own != nil}
	req, err := http.NewRequestWithContext(conn.trace(ctx), http.MethodPost, v.url+eventsPath, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := v.s.c.http.Do(req)
	if err != nil {
		return conn.explain(withoutURL(err))
	}
	if resp.StatusCode != http.StatusOK {
		a, err := readRefusal(resp)
		if a.status == http.StatusTooManyRequests {
			sleep(ctx, a.retryAfter())
		}
		if p, ok := errors.AsType[*score.Problem](err); ok && v.isAboutFirst(p) {
			return v.answered(score.Result{ID: p.ID, Problem: p})
		}
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReaderSize(resp.Body, maxResult)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return v.endOfResponse(err)
		}
		var r score.Result
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("sent an invalid line: %w", err)
		}
		if err := v.answered(r); err != nil {
			return err
		}
	}
}

// isAboutFirst reports whether a request was refused because of its first event, such as one
// that the caller may not post.
func (v *streamConn) isAboutFirst(p *score.Problem) bool {
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	return p.ID != "" && v.s.sent > 0 && v.s.queue[0].ID == p.ID && !transient(p.Status)
}

// answered takes in one result, which belongs to the first unanswered event.
func (v *streamConn) answered(r score.Result) error {
	if r.Problem != nil && transient(r.Problem.Status) {
		return r.Problem
	}
	s := v.s
	s.mu.Lock()
	var e Line
	if s.sent > 0 {
		e = s.queue[0]
	}
	if !e.answeredBy(r) {
		s.mu.Unlock()
		if r.Problem != nil {
			return fmt.Errorf("broke off the stream: %v", r.Problem)
		}
		return fmt.Errorf("sent a result for event %q; the next one should be for %q", r.ID, e.ID)
	}
	now := time.Now()
	s.queue[0] = Line{}
	s.queue = s.queue[1:]
	s.ready--
	s.sent--
	if r.Problem == nil {
		s.uncertain = max(s.uncertain-1, 0)
	}
	s.bytes -= len(e.JSON)
	s.progress = now
	v.answers++
	if s.sent > 0 || v.ended {
		v.stall.Reset(s.c.o.AttemptTimeout)
	} else {
		v.stall.Stop()
	}
	s.room.Broadcast()
	if s.signable() > 0 {
		s.wakeWriter()
	}
	s.mu.Unlock()
	s.c.frontends.markOK(v.url)
	s.c.refreshInBackground(false)
	s.o.Answered(Answer{Line: e, Result: r, Took: now.Sub(e.firstSent), URL: v.url})
	if r.Problem != nil {
		return s.refuse(e, r.Problem)
	}
	return nil
}

// refuse returns the error of a line that was refused, and puts its replacement into the
// queue if there is one.
func (s *Stream) refuse(l Line, p *score.Problem) error {
	refused := &RefusedError{Line: l, Problem: p}
	if s.o.Refused == nil || s.refused(refused) != error(refused) {
		return refused
	}
	replacement, ok := s.o.Refused(l, p)
	if !ok {
		return refused
	}
	if replacement.Event != nil {
		if err := s.prepare(&replacement); err != nil {
			return err
		}
	}
	var lines []Line
	if replacement.JSON != nil {
		lines = append(lines, replacement)
	}
	s.signLines(lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range lines {
		s.bytes += len(l.JSON)
	}
	s.queue = slices.Insert(s.queue, 0, lines...)
	s.ready += len(lines)
	s.sent += len(lines) // nothing more is sent on this connection, which the frontend has ended
	s.uncertain = 0      // nothing behind a refused line was applied
	refused.replaced = true
	return refused
}

// answeredBy reports whether r is the result of e. The refusal of a line that is not an
// event has no id, but neither has that of a stream that broke off: then the line is
// valid, and must be sent again.
func (e *Line) answeredBy(r score.Result) bool {
	switch {
	case e.JSON == nil:
		return false
	case e.ID == "" || r.ID == e.ID:
		return true
	case r.Problem == nil || r.ID != "":
		return false
	}
	_, p := score.Decode(e.JSON)
	return p != nil
}

// endOfResponse returns the error of a response's end; nil if nothing is unanswered.
func (v *streamConn) endOfResponse(err error) error {
	s := v.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("sent a line of more than %d bytes", maxResult)
	case err != io.EOF:
		return fmt.Errorf("the connection broke with %d events unanswered: %w", s.sent, err)
	case s.sent > 0:
		return fmt.Errorf("ended the stream with %d events unanswered", s.sent)
	case v.answers == 0 && !v.ended:
		return errors.New("ended the stream before it began")
	}
	return nil
}

// prepare encodes the Event of a line, as the form to be signed if the stream signs.
func (s *Stream) prepare(l *Line) (err error) {
	e := l.Event
	if s.keyID != "" {
		if _, err := s.c.signingLineage(s.ctx); err != nil {
			return err
		}
	}
	l.ID, l.Seq, l.Event, l.unsigned = e.ID, e.Seq, nil, s.keyID != ""
	if l.unsigned {
		signed := *e
		signed.Key = s.keyID
		l.JSON, err = signing.Form(&signed)
	} else {
		l.JSON, err = json.Marshal(e)
	}
	if err != nil {
		return fmt.Errorf("encode event %q: %w", e.ID, err)
	}
	return nil
}

// signable returns how many unready events to sign now. The stream must be locked.
func (s *Stream) signable() int {
	n := min(len(s.queue)-s.ready, eventsig.MaxTree)
	busy := s.ready >= min(busyEvents, (s.o.Window+1)/2)
	if busy && n < eventsig.MaxTree && !s.closed {
		return 0
	}
	return n
}

// sign signs the next events of the queue, all at once. Lines that need no signature are
// among them, which keeps the order. The stream must be locked; sign unlocks it
// meanwhile. Only the writer signs, and it sends nothing meanwhile.
func (s *Stream) sign() {
	lines := slices.Clone(s.queue[s.ready : s.ready+s.signable()])
	s.mu.Unlock()
	added := s.signLines(lines)
	s.mu.Lock()
	s.ready += copy(s.queue[s.ready:], lines)
	s.bytes += added
}

// signLines signs those of the lines that need it, all at once. It returns by how many
// bytes their JSON grew.
func (s *Stream) signLines(lines []Line) (added int) {
	var forms [][]byte
	for _, l := range lines {
		if l.unsigned {
			forms = append(forms, l.JSON)
		}
	}
	if len(forms) == 0 {
		return 0
	}
	lineage, _ := s.c.signingLineage(s.ctx)                    // known since prepare
	signatures := signing.SignForms(s.c.o.Key, lineage, forms) // New has checked the key
	for i := range lines {
		if l := &lines[i]; l.unsigned {
			form := len(l.JSON)
			l.JSON, l.unsigned = signing.EventJSON(l.JSON, lineage, signatures[0]), false
			added += len(l.JSON) - form
			signatures = signatures[1:]
		}
	}
	return added
}
