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

	// keyName returns the name of the key with which the events will be signed; it
	// precedes a made source. Each event is then decoded and must have what a signed
	// event needs. nil: the events are not signed.
	keyName func() (string, error)
}

type inputEvent struct {
	client.Line
	source string
	time   time.Time // zero: it has none
	made   bool      // its identity, or a part of it, was made here
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
			return inputEvent{}, lineError(in.number, "", score.Problemf(score.TooLarge,
				"longer than %d bytes, the limit of an event; is a newline missing?", score.MaxEventBytes))
		case err != nil && err != io.EOF:
			return inputEvent{}, lineError(in.number, "", err)
		}
		if line = score.TrimLine(line); len(line) > 0 {
			e, err := in.parse(bytes.Clone(line))
			if err != nil {
				return inputEvent{}, lineError(in.number, e.ID, err)
			}
			return e, nil
		}
		if err == io.EOF {
			return inputEvent{}, io.EOF
		}
	}
}

// parse parses an event as far as sing needs it; a frontend checks the rest. An event
// that will be signed is decoded, unless somebody else has signed it already.
func (in *input) parse(line []byte) (inputEvent, error) {
	signs := in.keyName != nil
	if !signs {
		var head struct {
			ID     string `json:"id"`
			Source string `json:"source"`
			Seq    uint64 `json:"seq"`
			Time   string `json:"time"`
		}
		err := json.Unmarshal(line, &head, jsontext.AllowDuplicateNames(true))
		if err == nil && head.Seq > 0 && head.Source != "" {
			l := client.Line{ID: head.ID, Seq: head.Seq, JSON: line, Number: in.number}
			at, _ := score.ParseTime(head.Time) // the frontend refuses a wrong one
			return inputEvent{l, head.Source, at, false}, nil
		}
	}
	e, problem := score.Decode(line)
	parsed := inputEvent{client.Line{ID: e.ID, Seq: e.Seq, JSON: line, Number: in.number}, e.Source, e.Time, false}
	switch {
	case problem != nil:
		return parsed, problem
	case signs && e.Key != "":
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
		parsed.JSON, parsed.Event = nil, &e
		return parsed, nil
	}
	var err error
	parsed.JSON, err = json.Marshal(&e)
	return parsed, err
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
