package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
)

const (
	// maxReported bounds the refusals that the summary lists.
	maxReported = 100
	// maxReason bounds the text of an alert in the place of an event, in bytes.
	maxReason = 2000
)

// refusals are the events of an input that were refused, and the alerts in their places.
// The singer's lock guards them.
type refusals struct {
	unanswered   map[int]inputEvent // the events that were sent, by their lines
	placeholders map[int]error      // why the events of unanswered alerts were refused
	reported     []string           // the first refusals whose alerts were applied
	count        uint64             // of these refusals
	contest      string             // of the latest line with a valid one
}

// placeholderID returns the id of the alert that takes the place of an event that is
// refused. It follows from the event alone, so that the same line is recognized later.
func (e *inputEvent) placeholderID() string {
	sum := sha256.Sum256(append(bytes.Clone(e.raw), e.ID...))
	return fmt.Sprintf("refused-%x", sum[:8])
}

// isTaken reports whether an event was refused because another one has its identity.
// Conflicts of other ids name a field of the data.
func isTaken(p *score.Problem) bool {
	return p.Code == score.IDConflict && !strings.HasPrefix(p.Field, "data.")
}

// concernsAll reports whether an event was refused for a reason that is not in its content.
func concernsAll(reason error) bool {
	p, ok := errors.AsType[*score.Problem](reason)
	return ok && (isTaken(p) || p.Code == score.SeqGap || p.Code == score.Unauthorized || p.Code == score.Forbidden)
}

// note notes an event that is about to be sent. If its contest is not valid, an alert in its
// place is about that of the event before.
func (s *singer) note(e *inputEvent) {
	if !s.skipRefused {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.refusals
	if score.ValidPath(e.contest) {
		r.contest = e.contest
	}
	e.contest = r.contest
	if r.unanswered == nil {
		r.unanswered = make(map[int]inputEvent)
	}
	r.unanswered[e.Number] = *e
}

// refused is called for a line that the store refused. It returns the line that takes its
// place; ok is false if the refusal ends the stream.
func (s *singer) refused(l client.Line, p *score.Problem) (replacement client.Line, ok bool) {
	s.mu.Lock()
	e, known := s.refusals.unanswered[l.Number]
	delete(s.refusals.unanswered, l.Number)
	s.mu.Unlock()
	if known {
		replacement, ok = s.replace(&e, p)
	}
	if !ok && s.abort != nil {
		s.abort()
	}
	return replacement, ok
}

// replace returns the alert that takes the place of a refused event. ok is false if the
// refusal is not about this event alone, or no alert can be made of it.
func (s *singer) replace(e *inputEvent, reason error) (l client.Line, ok bool) {
	if !s.skipRefused || e.source == "" || e.contest == "" || concernsAll(reason) {
		return l, false
	}
	text := fmt.Sprintf("refused: event %s: %v", cmp.Or(e.ID, "without an id"), reason)
	text = strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
	alert := score.Event{
		ID: e.placeholderID(), Source: e.source, Seq: e.Seq, Type: score.TypeAlert, ContestID: e.contest,
		Data: &score.Alert{Text: textfmt.OneLine(text)},
	}
	if s.key != nil {
		// A signed event needs a time. That of the event may be why it was refused.
		alert.Time = time.Now().UTC()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusals.placeholders == nil {
		s.refusals.placeholders = make(map[int]error)
	}
	s.refusals.placeholders[e.Number] = lineError(e.Number, e.ID, reason)
	return client.Line{Event: &alert, Number: e.Number}, true
}

// applied forgets a line that was applied. If it is an alert in the place of an event, it
// reports the refusal of the event and returns its text. The singer's lock must be held.
func (r *refusals) applied(number int) (refusal string) {
	delete(r.unanswered, number)
	err := r.placeholders[number]
	if err == nil {
		return ""
	}
	delete(r.placeholders, number)
	refusal = textfmt.OneLine(err.Error())
	if r.count++; len(r.reported) < maxReported {
		r.reported = append(r.reported, refusal)
	}
	return refusal
}

// report returns the refusals as the summary shows them.
func (r *refusals) report() string {
	if r.count == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "refused %s, each with an alert in its place:\n", textfmt.Thousands(r.count))
	for _, text := range r.reported {
		fmt.Fprintf(&b, "  %s\n", text)
	}
	if more := r.count - uint64(len(r.reported)); more > 0 {
		fmt.Fprintf(&b, "  and %s more\n", textfmt.Thousands(more))
	}
	return b.String()
}

// explain adds the line to the error of a refused event, and what to do.
func (s *singer) explain(ctx context.Context, err error) error {
	r, ok := errors.AsType[*client.RefusedError](err)
	if !ok {
		return err
	}
	s.mu.Lock()
	refusal := s.refusals.placeholders[r.Line.Number]
	s.mu.Unlock()
	if refusal != nil {
		return fmt.Errorf("%w\nThe alert in its place was refused, too: %v", refusal, r.Problem)
	}
	err = lineError(r.Line.Number, r.Line.ID, r.Problem)
	if s.made && (isTaken(r.Problem) || r.Problem.Code == score.SeqGap) {
		return fmt.Errorf("%w\nThe event was numbered here, and another input that began with the same "+
			"line was posted before; give this one a source with --source", err)
	}
	var head struct {
		Source string `json:"source"`
	}
	if json.Unmarshal(r.Line.JSON, &head, jsontext.AllowDuplicateNames(true)) != nil {
		return err
	}
	return s.advise(ctx, err, r.Line.Number, head.Source, r.Line.Seq)
}

// advise adds to an error about a numbered event how the events behind it can be posted.
func (s *singer) advise(ctx context.Context, err error, number int, source string, seq uint64) error {
	if seq == 0 || !score.ValidPath(source) {
		return err
	}
	if p, ok := errors.AsType[*score.Problem](err); ok && isTaken(p) {
		b, e := s.client.Bard(ctx, source)
		if e != nil {
			return err
		}
		return fmt.Errorf("%w\nLine %d is not what was posted as seq %d of %s, whose last seq is %d "+
			"(GET /v1/bards/%[4]s). No line from this one on was posted. If these are new events, number them "+
			"from %[6]d on. To leave this line out and go on behind it: %[7]s",
			err, number, seq, source, b.LastSeq, b.LastSeq+1, s.commandFrom(number+1))
	}
	if concernsAll(err) {
		return err
	}
	return fmt.Errorf("%w\nIt has seq %d of %s, so nothing behind it can be posted. To go on without it, run "+
		"bard sing with --on-refusal=skip, which posts an alert with the reason under that seq", err, seq, source)
}

// commandFrom returns a command that posts the input from a line on.
func (s *singer) commandFrom(number int) string {
	command := fmt.Sprintf("tail -n +%d", number)
	switch {
	case s.file == "-":
		command = "FEED | " + command
	case s.compressed:
		command = "gunzip -c " + shellQuoted(s.file) + " | " + command
	default:
		command += " " + shellQuoted(s.file)
	}
	return command + " | bard sing -"
}

// shellQuoted returns name as a word of a POSIX shell.
func shellQuoted(name string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-+", r)
	}
	if strings.TrimLeftFunc(name, plain) == "" && !strings.HasPrefix(name, "-") {
		return name
	}
	return "'" + strings.ReplaceAll(textfmt.OneLine(name), "'", `'\''`) + "'"
}
