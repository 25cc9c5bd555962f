package main

import (
	"bufio"
	"bytes"
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

	compressed bool                // with gzip
	exported   *score.ExportHeader // nil unless the events were exported from a store
	inLine     bool                // the rest of a line that is too long is not read yet

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
	raw     []byte // the line as it was read, or its beginning if it is too long
	source  string
	contest string
	time    string // "" for none

	anonymous bool // it names neither a source nor a seq
	made      bool // its identity, or a part of it, was made here
	cut       bool // the input ends in the middle of it
}

// lineError adds the line, and the id if it is known, to an error about an event.
func lineError(number int, id string, err error) error {
	if id == "" {
		return fmt.Errorf("line %d: %w", number, err)
	}
	return fmt.Errorf("line %d, event %s: %w", number, id, err)
}

// newInput reads from r, which may be compressed with gzip, and may begin with the first line of
// exported events.
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
	made := &input{in: in, source: source, compressed: compressed}
	return made, made.readHeader()
}

// next returns the next event, and io.EOF after the last. With an error, the event has what
// is known of it nonetheless; if it has a seq, further events may follow.
func (in *input) next() (inputEvent, error) {
	for {
		line, err := in.readLine()
		in.number++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			in.inLine = true
			e, _ := in.parseHead(bytes.Clone(line)) // it ends in the middle
			e.cut = false
			return e, score.Problemf(score.TooLarge,
				"longer than %d bytes, the limit of an event; is a newline missing?", score.MaxEventBytes)
		case err != nil && err != io.EOF:
			e := in.unknown()
			e.cut = errors.Is(err, io.ErrUnexpectedEOF)
			return e, fmt.Errorf("read the input: %w", err)
		}
		if line = score.TrimLine(line); len(line) > 0 {
			e, invalid := in.parse(bytes.Clone(line))
			e.cut = e.cut && err == io.EOF
			return e, invalid
		}
		if err == io.EOF {
			return inputEvent{}, io.EOF
		}
	}
}

// readLine reads a line, or as much of it as fits the buffer. The next one follows, whatever
// was read of the line before.
func (in *input) readLine() (line []byte, err error) {
	for in.inLine {
		_, err = in.in.ReadSlice('\n')
		if in.inLine = errors.Is(err, bufio.ErrBufferFull); !in.inLine && err != nil {
			return nil, err
		}
	}
	return in.in.ReadSlice('\n')
}

// parse parses an event as far as sing needs it; a frontend checks the rest. An event
// that will be signed is decoded, unless somebody else has signed it already.
func (in *input) parse(line []byte) (inputEvent, error) {
	parsed, err := in.parseHead(line)
	signs := in.keyName != nil
	if err == nil && parsed.Seq > 0 && !signs {
		parsed.JSON = line
		return parsed, nil
	}
	e, problem := score.Decode(line)
	if problem == nil && signs && e.Key != "" {
		parsed.JSON = line
		return parsed, nil
	}
	if problem == nil || err == nil && parsed.anonymous {
		if err := in.identify(&parsed); err != nil {
			return parsed, err
		}
	}
	switch {
	case problem != nil:
		return parsed, problem
	case signs && !e.TimeGiven:
		return parsed, errors.New("it has no time, which a signed event needs; " +
			"a time made here would differ when the input is posted again")
	case signs && parsed.Seq == 0:
		return parsed, errors.New("it has a source but no seq, which a signed event needs; " +
			"without a source it would be numbered here")
	}
	e.ID, e.Source, e.Seq = parsed.ID, parsed.source, parsed.Seq
	if signs {
		parsed.Event = &e
		return parsed, nil
	}
	parsed.JSON, err = json.Marshal(&e)
	return parsed, err
}

// unknown returns the event of a line of which nothing is known.
func (in *input) unknown() inputEvent { return inputEvent{Line: client.Line{Number: in.number}} }

// parseHead reads by what an event is known, as far as that is valid. What stands before the
// fault in a line that is not JSON is read, too.
func (in *input) parseHead(line []byte) (e inputEvent, err error) {
	var head struct {
		ID        jsontext.Value `json:"id"`
		Source    jsontext.Value `json:"source"`
		Seq       jsontext.Value `json:"seq"`
		Time      jsontext.Value `json:"time"`
		ContestID jsontext.Value `json:"contest_id"`
	}
	e = in.unknown()
	e.raw = line
	err = json.Unmarshal(line, &head, jsontext.AllowInvalidUTF8(true))
	e.cut = errors.Is(err, io.ErrUnexpectedEOF)
	get(head.ID, &e.ID)
	get(head.Source, &e.source)
	get(head.Time, &e.time)
	get(head.ContestID, &e.contest)
	if e.source != "" {
		get(head.Seq, &e.Seq)
	}
	e.anonymous = isMissing(head.Source) && isMissing(head.Seq)
	return e, err
}

// isMissing reports whether a member of an event is not there, as far as Laurel is concerned.
func isMissing(member jsontext.Value) bool {
	return len(member) == 0 || string(member) == "null" || string(member) == `""`
}

// get reads a member of an event. One that is missing or invalid stays zero: a frontend
// refuses it with the reason.
func get[T any](member jsontext.Value, to *T) {
	var value T
	if len(member) > 0 && json.Unmarshal(member, &value) == nil {
		*to = value
	}
}

// identify makes the missing parts of an event's identity: source and seq if it names no
// source, and an id if it has none.
func (in *input) identify(e *inputEvent) error {
	if in.digest == "" && (e.source == "" || e.ID == "") {
		// The first line tells inputs apart, whatever the name of the file.
		sum := sha256.Sum256(append([]byte(in.source+"\n"), e.raw...))
		in.digest = fmt.Sprintf("%x", sum[:6])
	}
	if e.source == "" {
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
		in.numbered++
		e.source, e.Seq, e.made = in.source, in.numbered, true
	}
	if e.ID == "" {
		e.ID, e.made = fmt.Sprintf("sung-%s-%d", in.digest, in.number), true
	}
	return nil
}
