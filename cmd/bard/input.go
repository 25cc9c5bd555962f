package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/client"
	"laurel/score"
)

// input reads events from NDJSON. It gives an identity to each event without one, so that
// a second reading of the same input gives it the same identity.
type input struct {
	in     *bufio.Reader
	number int // of the last line, from 1

	compressed bool // with gzip

	source   string // for events that name none; "": made from the first of them
	digest   string // of the first line without an identity; part of made sources and ids
	numbered uint64 // events that were given a seq

	// keyName returns the name of the key with which the events will be signed; it
	// precedes a made source. Each event is then decoded and must have what a signed
	// event needs. nil: the events are not signed.
	keyName func() (string, error)
}

type inputEvent struct {
	client.Line
	raw     []byte // the line as it was read
	source  string
	contest string
	time    string // "" for none
	made    bool   // its identity, or a part of it, was made here
}

// lineError adds the line, and the id if it is known, to an error about an event.
func lineError(number int, id string, err error) error {
	if id == "" {
		return fmt.Errorf("line %d: %w", number, err)
	}
	return fmt.Errorf("line %d, event %s: %w", number, id, err)
}

// newInput reads from r, which may be compressed with gzip.
func newInput(r io.Reader, source string) (*input, error) {
	const maxLine = score.MaxEventBytes + len("\r\n")
	in := bufio.NewReaderSize(r, maxLine)
	compressed := false
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		in, compressed = bufio.NewReaderSize(z, maxLine), true
	}
	return &input{in: in, source: source, compressed: compressed}, nil
}

// next returns the next event, and io.EOF after the last. With an error, the event has what
// is known of it nonetheless; if it has a seq, further events may follow.
func (in *input) next() (inputEvent, error) {
	for {
		line, err := in.in.ReadSlice('\n')
		in.number++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return in.unknown(), score.Problemf(score.TooLarge,
				"longer than %d bytes, the limit of an event; is a newline missing?", score.MaxEventBytes)
		case err != nil && err != io.EOF:
			return in.unknown(), err
		}
		if line = score.TrimLine(line); len(line) > 0 {
			return in.parse(bytes.Clone(line))
		}
		if err == io.EOF {
			return inputEvent{}, io.EOF
		}
	}
}

// parse parses an event as far as sing needs it; a frontend checks the rest. An event
// that will be signed is decoded, unless somebody else has signed it already.
func (in *input) parse(line []byte) (inputEvent, error) {
	parsed, numbered := in.parseHead(line)
	signs := in.keyName != nil
	if numbered && !signs {
		parsed.JSON = line
		return parsed, nil
	}
	e, problem := score.Decode(line)
	switch {
	case problem != nil:
		parsed.ID = cmp.Or(parsed.ID, e.ID)
		return parsed, problem
	case signs && e.Key != "":
		parsed.JSON = line
		return parsed, nil
	case signs && !e.TimeGiven:
		return parsed, errors.New("it has no time, which a signed event needs; " +
			"a time made here would differ when the input is posted again")
	case signs && e.Source != "" && e.Seq == 0:
		return parsed, errors.New("it has a source but no seq, which a signed event needs; " +
			"without a source it would be numbered here")
	}
	if parsed.made = !signs || e.Seq == 0 || e.ID == ""; parsed.made {
		if err := in.identify(&e, line); err != nil {
			return parsed, err
		}
		parsed.ID, parsed.Seq, parsed.source = e.ID, e.Seq, e.Source
	}
	if signs {
		parsed.Event = &e
		return parsed, nil
	}
	var err error
	parsed.JSON, err = json.Marshal(&e)
	return parsed, err
}

// unknown returns the event of a line of which nothing is known.
func (in *input) unknown() inputEvent { return inputEvent{Line: client.Line{Number: in.number}} }

// parseHead reads by what an event is known, as far as that is valid. It reports whether
// the event has a source and a seq.
func (in *input) parseHead(line []byte) (e inputEvent, numbered bool) {
	var head struct {
		ID        jsontext.Value `json:"id"`
		Source    jsontext.Value `json:"source"`
		Seq       jsontext.Value `json:"seq"`
		Time      jsontext.Value `json:"time"`
		ContestID jsontext.Value `json:"contest_id"`
	}
	e = in.unknown()
	e.raw = line
	if json.Unmarshal(line, &head, jsontext.AllowDuplicateNames(true)) != nil {
		return e, false
	}
	get(head.ID, &e.ID)
	get(head.Source, &e.source)
	get(head.Time, &e.time)
	get(head.ContestID, &e.contest)
	if e.source != "" {
		get(head.Seq, &e.Seq)
	}
	return e, e.Seq > 0
}

// get reads a member of an event. One that is missing or invalid stays zero: a frontend
// says what is wrong with it.
func get[T any](member jsontext.Value, to *T) {
	var value T
	if len(member) > 0 && json.Unmarshal(member, &value) == nil {
		*to = value
	}
}

// identify makes the missing parts of an event's identity: source and seq if it names no
// source, and an id if it has none.
func (in *input) identify(e *score.Event, line []byte) error {
	if in.digest == "" {
		// The first line tells inputs apart, whatever the name of the file.
		sum := sha256.Sum256(append([]byte(in.source+"\n"), line...))
		in.digest = fmt.Sprintf("%x", sum[:6])
	}
	if e.Source == "" {
		if in.source == "" {
			in.source = "sung/" + in.digest
			if in.keyName != nil {
				name, err := in.keyName()
				if err != nil {
					return err
				}
				in.source = name + "/" + in.source
			}
		}
		e.Source = in.source
		in.numbered++
		e.Seq = in.numbered
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("sung-%s-%d", in.digest, in.number)
	}
	return nil
}
