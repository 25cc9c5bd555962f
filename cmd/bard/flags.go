package main

import (
	"encoding/csv"
	"fmt"
	"strings"
	"time"

	"laurel/score"
)

// valueFlag is a flag that is parsed by a function. It has no default.
type valueFlag struct {
	kind string // in the help
	set  func(string) error
}

func (f valueFlag) Set(s string) error { return f.set(s) }
func (f valueFlag) Type() string       { return f.kind }
func (f valueFlag) String() string     { return "" }

func timeFlag(p *time.Time) valueFlag {
	return valueFlag{"string", func(s string) (err error) {
		if s == "" {
			return nil
		}
		if *p, err = time.Parse(time.RFC3339, s); err != nil {
			return fmt.Errorf("got %q; want RFC 3339, such as 2026-02-09T10:00:00Z", s)
		}
		return nil
	}}
}

func decimalFlag(p **score.Decimal) valueFlag {
	return valueFlag{"number", func(s string) error {
		d, err := score.ParseDecimal(strings.TrimPrefix(s, "+"))
		if err == nil {
			*p = &d
		}
		return err
	}}
}

// totalsFlag is a list of named numbers, such as GAU=2,ROM=0. It may be repeated.
func totalsFlag(p *score.Totals) valueFlag {
	return valueFlag{"NAME=NUMBER,...", func(s string) error {
		for pair := range strings.SplitSeq(s, ",") {
			name, number, ok := strings.Cut(pair, "=")
			if !ok || name == "" {
				return fmt.Errorf("got %q; want names and numbers, such as GAU=2,ROM=0", pair)
			}
			if _, twice := p.Get(name); twice {
				return fmt.Errorf("%q appears twice", name)
			}
			d, err := score.ParseDecimal(number)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			*p = append(*p, score.Total{Code: name, Value: d})
		}
		return nil
	}}
}

// entrantsFlag is a competitor, such as GAU,name=Gaul,organisation=GAU,type=T. Each use
// adds one. A value with a comma is quoted as in CSV.
func entrantsFlag(p *[]score.Entrant) valueFlag {
	return valueFlag{"CODE,name=...", func(s string) error {
		fields, err := csv.NewReader(strings.NewReader(s)).Read()
		if err != nil {
			return fmt.Errorf("got %q: %w", s, err)
		}
		e := score.Entrant{Code: fields[0], Order: len(*p) + 1}
		for _, field := range fields[1:] {
			name, value, _ := strings.Cut(field, "=")
			switch name {
			case "name":
				e.Name = value
			case "organisation":
				e.Organisation = value
			case "type":
				e.Type = value
			default:
				return fmt.Errorf("got %q; want a code, then any of name=, organisation=, type=, "+
					"as in GAU,name=Gaul,type=T", field)
			}
		}
		*p = append(*p, e)
		return nil
	}}
}
