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
	unanswered   map[int]inputEvent // the events that were sent, or an alert in their place, by their lines
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
	return ok && (isTaken(p) || p.Code == score.SeqGap || p.Code == score.Unauthorized || p.Code == score.Forbidden ||
		p.Code == score.Unsigned)
}

// note notes an event that is about to be sent. If its contest is not valid, an alert in its
// place is about that of the event before.
func (s *singer) note(e *inputEvent) {
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
// place, none if another bard has posted the event, or the alert in its place, meanwhile;
// ok is false if the refusal ends the stream.
func (s *singer) refused(ctx context.Context, l client.Line, p *score.Problem) (replacement client.Line, ok bool) {
	s.mu.Lock()
	e, known := s.refusals.unanswered[l.Number]
	isAlert := s.refusals.placeholders[l.Number] != nil
	s.mu.Unlock()
	switch {
	case known && isTaken(p) && s.isPosted(ctx, &e):
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.refusals.unanswered, l.Number)
		delete(s.refusals.placeholders, l.Number)
		s.answered++
		s.duplicates++
		s.following.moved = time.Now()
		return client.Line{}, true
	case known && !isAlert:
		replacement, ok = s.replace(&e, p)
	}
	if !ok && s.abort != nil {
		s.abort()
	}
	return replacement, ok
}

// isPosted reports whether the store has an event, or the alert in its place, by now.
func (s *singer) isPosted(ctx context.Context, e *inputEvent) bool {
	if e.Seq == 0 || !score.ValidPath(e.source) {
		return false
	}
	had, err := s.client.Posted(ctx, e.source, e.Seq-1, 1)
	return err == nil && len(had.Events) > 0 && had.Events[0].Seq == e.Seq && e.is(&had.Events[0])
}

// replace returns the alert that takes the place of a refused event. ok is false if the
// refusal is not about this event alone, or no alert can be made of it.
func (s *singer) replace(e *inputEvent, reason error) (l client.Line, ok bool) {
	if !s.skipRefused || e.source == "" || e.contest == "" || e.cut || concernsAll(reason) {
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
		var err error
		p, ok := errors.AsType[*score.Problem](reason)
		if alert.Time, err = score.ParseTime(e.time); err != nil || ok && p.Field == "time" {
			alert.Time = time.Now().UTC()
		}
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
	var head struct {
		Source string `json:"source"`
	}
	// What stands before a fault is read nonetheless.
	_ = json.Unmarshal(r.Line.JSON, &head, jsontext.AllowInvalidUTF8(true))
	if head.Source == s.madeSource && (isTaken(r.Problem) || r.Problem.Code == score.SeqGap) {
		return fmt.Errorf("%w\nThe event was numbered here. If another input that began with the same line was "+
			"posted before, give this one a source with --source. If it was this input, which has changed, restore "+
			"the line and post the change as a new event at the end: under another source everything would count "+
			"twice", err)
	}
	e := inputEvent{Line: r.Line, source: head.Source}
	return s.advise(ctx, err, &e)
}

// advise adds to an error about an event how the events behind it can be posted.
func (s *singer) advise(ctx context.Context, err error, e *inputEvent) error {
	numbered := e.Seq > 0 && score.ValidPath(e.source)
	if p, ok := errors.AsType[*score.Problem](err); ok && isTaken(p) && numbered {
		b, failed := s.client.Bard(ctx, e.source)
		if failed != nil {
			return err
		}
		return fmt.Errorf("%w\nLine %d is not what was posted as seq %d of %s, whose last seq is %d "+
			"(GET /v1/bards/%[4]s). Nothing was posted from this line on. If these are new events, number them "+
			"from %[6]d on. To leave this line out and go on behind it, with the same flags: %[7]s",
			err, e.Number, e.Seq, e.source, b.LastSeq, b.LastSeq+1, s.commandFrom(e.Number+1))
	}
	skips := s.skipRefused
	_, invalid := errors.AsType[*score.Problem](err)
	const skip = "To go on without it, run bard sing with --on-refusal=skip, which posts an alert with the reason"
	switch last := &s.last; {
	case concernsAll(err):
		return err
	case e.cut:
		return fmt.Errorf("%w\nThe input ends in the middle of this line; post it again when it is whole", err)
	case numbered && !skips:
		return fmt.Errorf("%w\nIt has seq %d of %s, so nothing behind it can be posted. "+skip+" under that seq",
			err, e.Seq, e.source)
	case e.source != "" && !skips:
		return fmt.Errorf("%w\n"+skip+" in its place", err)
	case invalid && last.Seq > 0 && !last.made:
		return fmt.Errorf("%w\nNo alert can have its place, as it does not say its source, seq and contest. "+
			"Correct it. Or, if it is seq %d of %s, post an alert by hand: bard alert CONTEST --source %[3]s "+
			"--seq %[2]d --text REASON. Then go on behind it, with the same flags: %[4]s",
			err, last.Seq+1, last.source, s.commandFrom(e.Number+1))
	}
	return err
}

// commandFrom returns a command that posts the input from a line on.
func (s *singer) commandFrom(number int) string {
	command := fmt.Sprintf("tail -n +%d", number)
	switch {
	case s.file == "-":
		command = "FEED | " + command
	case s.compressed:
		command = "gunzip -c " + textfmt.ShellWord(s.file) + " | " + command
	default:
		command += " " + textfmt.ShellWord(s.file)
	}
	return command + " | bard sing -"
}
