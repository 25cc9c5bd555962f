package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

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

	source   string // for events that name none; "": made from the first of them
	digest   string // of the first line without an identity; part of made sources and ids
	numbered uint64 // events that were given a seq

	// signs: the events will be signed, so that each is decoded and must have what a
	// signed event needs.
	signs bool
	// keyName returns the name that precedes a made source. It may be nil.
	keyName func() (string, error)
}

// inputEvent is an event of an input.
type inputEvent struct {
	client.Line
	source string
	time   time.Time // zero: it has none
	made   bool      // its identity, or a part of it, was made here
}

// lineError is an error about one line of an input.
type lineError struct {
	number int
	id     string
	err    error
}

func (e *lineError) Error() string {
	if e.id == "" {
		return fmt.Sprintf("line %d: %v", e.number, e.err)
	}
	return fmt.Sprintf("line %d, event %s: %v", e.number, e.id, e.err)
}

func (e *lineError) Unwrap() error { return e.err }

// newInput reads from r, which may be compressed with gzip.
func newInput(r io.Reader, source string) (*input, error) {
	const maxLine = score.MaxEventBytes + len("\r\n")
	in := bufio.NewReaderSize(r, maxLine)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		in = bufio.NewReaderSize(z, maxLine)
	}
	return &input{in: in, source: source}, nil
}

// next returns the next event, and io.EOF after the last.
func (in *input) next() (inputEvent, error) {
	for {
		line, err := in.in.ReadSlice('\n')
		in.number++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return inputEvent{}, in.errorf("", score.Problemf(score.TooLarge,
				"longer than %d bytes, the limit of an event; is a newline missing?", score.MaxEventBytes))
		case err != nil && err != io.EOF:
			return inputEvent{}, in.errorf("", err)
		}
		if line = bytes.Trim(line, " \t\r\n"); len(line) > 0 {
			return in.parse(bytes.Clone(line))
		}
		if err == io.EOF {
			return inputEvent{}, io.EOF
		}
	}
}

// errorf returns an error about the current line.
func (in *input) errorf(id string, err error) error { return &lineError{in.number, id, err} }

// parse parses an event as far as sing needs it. A frontend checks the rest.
func (in *input) parse(line []byte) (inputEvent, error) {
	var head struct {
		ID     string    `json:"id"`
		Source string    `json:"source"`
		Seq    uint64    `json:"seq"`
		Time   time.Time `json:"time"`
	}
	if in.signs {
		return in.parseToSign(line)
	}
	err := json.Unmarshal(line, &head, jsontext.AllowDuplicateNames(true))
	if err == nil && head.Seq > 0 && head.Source != "" {
		l := client.Line{ID: head.ID, Seq: head.Seq, JSON: line, Number: in.number}
		return inputEvent{l, head.Source, head.Time, false}, nil
	}
	e, p := score.Decode(line)
	if p != nil {
		return inputEvent{}, in.errorf(e.ID, p)
	}
	made, err := in.identify(&e, line)
	if err != nil {
		return inputEvent{}, in.errorf(e.ID, err)
	}
	b, err := json.Marshal(&e)
	if err != nil {
		return inputEvent{}, in.errorf(e.ID, err)
	}
	return inputEvent{client.Line{ID: e.ID, Seq: e.Seq, JSON: b, Number: in.number}, e.Source, e.Time, made}, nil
}

// parseToSign parses an event that will be signed, unless somebody else has signed it
// already.
func (in *input) parseToSign(line []byte) (inputEvent, error) {
	e, p := score.Decode(line)
	if p != nil {
		return inputEvent{}, in.errorf(e.ID, p)
	}
	if e.Key != "" {
		l := client.Line{ID: e.ID, Seq: e.Seq, JSON: line, Number: in.number}
		return inputEvent{l, e.Source, e.Time, false}, nil
	}
	if !e.TimeGiven {
		return inputEvent{}, in.errorf(e.ID, errors.New("it has no time, which a signed event needs; "+
			"a time made here would differ when the input is posted again"))
	}
	if e.Source != "" && e.Seq == 0 {
		return inputEvent{}, in.errorf(e.ID, errors.New("it has a source but no seq, which a signed event needs; "+
			"without a source it would be numbered here"))
	}
	made := false
	if e.Seq == 0 || e.ID == "" {
		var err error
		if made, err = in.identify(&e, line); err != nil {
			return inputEvent{}, in.errorf(e.ID, err)
		}
	}
	return inputEvent{client.Line{ID: e.ID, Seq: e.Seq, Event: &e, Number: in.number}, e.Source, e.Time, made}, nil
}

// identify makes the missing parts of an event's identity: source and seq if it names no
// source, and an id if it has none.
func (in *input) identify(e *score.Event, line []byte) (made bool, err error) {
	if in.digest == "" {
		// The first line distinguishes an input from others, whatever the name of its
		// file.
		sum := sha256.Sum256(append([]byte(in.source+"\n"), line...))
		in.digest = fmt.Sprintf("%x", sum[:6])
	}
	if e.Source == "" {
		if in.source == "" {
			prefix := ""
			if in.keyName != nil {
				if prefix, err = in.keyName(); err != nil {
					return false, err
				}
				prefix += "/"
			}
			in.source = prefix + "sung/" + in.digest
		}
		e.Source = in.source
		in.numbered++
		e.Seq = in.numbered
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("sung-%s-%d", in.digest, in.number)
	}
	return true, nil
}
