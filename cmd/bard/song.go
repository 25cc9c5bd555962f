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

// song reads events from NDJSON, a line at a time, and sees to it that each has an identity which a second reading gives it again.
type song struct {
	in     *bufio.Reader
	number int // of the last line, from 1

	source string // of events that name none; "": made from the first of them
	mark   string // stands for this song in what is made
	made   uint64 // events that were given a seq

	// signs: the events are to be signed, so all of them are read whole, and must have what is signed. home is the name that stands before a source
	// which is made.
	signs bool
	home  func() (string, error)
}

// verse is one event of a song.
type verse struct {
	client.Line
	source string
	time   time.Time // zero: it names none
	made   bool      // the song has given it its identity, or a part of it
}

// lineError is about one line of a song.
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

// newSong reads from r, which may be compressed with gzip.
func newSong(r io.Reader, source string) (*song, error) {
	// A line may have an event's bytes and \r\n.
	in := bufio.NewReaderSize(r, score.MaxEventBytes+2)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("it begins like gzip, but cannot be read: %w", err)
		}
		in = bufio.NewReaderSize(z, score.MaxEventBytes+2)
	}
	return &song{in: in, source: source}, nil
}

// next is the next event; io.EOF after the last.
func (s *song) next() (verse, error) {
	for {
		line, err := s.in.ReadSlice('\n')
		s.number++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return verse{}, s.wrong("", score.Problemf(score.TooLarge, "more than %d bytes, the most of an event; is a newline missing?", score.MaxEventBytes))
		case err != nil && err != io.EOF:
			return verse{}, s.wrong("", err)
		}
		if line = bytes.Trim(line, " \t\r\n"); len(line) > 0 {
			return s.verse(bytes.Clone(line))
		}
		if err == io.EOF {
			return verse{}, io.EOF
		}
	}
}

func (s *song) wrong(id string, err error) error { return &lineError{s.number, id, err} }

// verse takes from a line what sing needs to know. The rest is for the frontend to judge.
func (s *song) verse(line []byte) (verse, error) {
	var head struct {
		ID     string    `json:"id"`
		Source string    `json:"source"`
		Seq    uint64    `json:"seq"`
		Time   time.Time `json:"time"`
	}
	if s.signs {
		return s.signed(line)
	}
	err := json.Unmarshal(line, &head, jsontext.AllowDuplicateNames(true))
	if err == nil && head.Seq > 0 && head.Source != "" {
		return verse{client.Line{ID: head.ID, Seq: head.Seq, JSON: line, Number: s.number}, head.Source, head.Time, false}, nil
	}
	e, p := score.Decode(line)
	if p != nil {
		return verse{}, s.wrong(e.ID, p)
	}
	made, err := s.identify(&e, line)
	if err != nil {
		return verse{}, s.wrong(e.ID, err)
	}
	b, err := json.Marshal(&e)
	if err != nil {
		return verse{}, s.wrong(e.ID, err)
	}
	return verse{client.Line{ID: e.ID, Seq: e.Seq, JSON: b, Number: s.number}, e.Source, e.Time, made}, nil
}

// signed is verse for an event that is to be signed, or was signed by somebody else.
func (s *song) signed(line []byte) (verse, error) {
	e, p := score.Decode(line)
	if p != nil {
		return verse{}, s.wrong(e.ID, p)
	}
	if e.Key != "" {
		return verse{client.Line{ID: e.ID, Seq: e.Seq, JSON: line, Number: s.number}, e.Source, e.Time, false}, nil
	}
	if !e.TimeGiven {
		return verse{}, s.wrong(e.ID, errors.New("it has no time, which a signed event needs; one made here would be another when the song is sung again"))
	}
	if e.Source != "" && e.Seq == 0 {
		return verse{}, s.wrong(e.ID, errors.New("it has a source but no seq, which a signed event needs; without a source it would be numbered here"))
	}
	made := false
	if e.Seq == 0 || e.ID == "" {
		var err error
		if made, err = s.identify(&e, line); err != nil {
			return verse{}, s.wrong(e.ID, err)
		}
	}
	return verse{client.Line{ID: e.ID, Seq: e.Seq, Event: &e, Number: s.number}, e.Source, e.Time, made}, nil
}

// identify gives an event what is missing of its identity: a source and a seq where it names no source, an id where it has none.
func (s *song) identify(e *score.Event, line []byte) (made bool, err error) {
	if s.mark == "" {
		// Its first line tells a song from all others, however it came here.
		sum := sha256.Sum256(append([]byte(s.source+"\n"), line...))
		s.mark = fmt.Sprintf("%x", sum[:6])
	}
	if e.Source == "" {
		if s.source == "" {
			home := ""
			if s.home != nil {
				if home, err = s.home(); err != nil {
					return false, err
				}
				home += "/"
			}
			s.source = home + "sung/" + s.mark
		}
		e.Source = s.source
		s.made++
		e.Seq = s.made
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("sung-%s-%d", s.mark, s.number)
	}
	return true, nil
}
