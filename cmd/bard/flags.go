package main

import (
	"encoding/csv"
	"fmt"
	"strings"

	"laurel/score"
)

// decimalFlag is an optional decimal.
type decimalFlag struct{ p **score.Decimal }

func (f decimalFlag) Set(s string) error {
	d, err := score.ParseDecimal(strings.TrimPrefix(s, "+"))
	if err != nil {
		return err
	}
	*f.p = &d
	return nil
}

func (f decimalFlag) Type() string { return "number" }

func (f decimalFlag) String() string {
	if f.p == nil || *f.p == nil {
		return ""
	}
	return (*f.p).String()
}

// totalsFlag is a list of named numbers, such as GAU=2,ROM=0. It may be repeated.
type totalsFlag struct{ p *score.Totals }

func (f totalsFlag) Set(s string) error {
	for pair := range strings.SplitSeq(s, ",") {
		name, number, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return fmt.Errorf("got %q; want names and numbers, such as GAU=2,ROM=0", pair)
		}
		if _, twice := f.p.Get(name); twice {
			return fmt.Errorf("%q appears twice", name)
		}
		d, err := score.ParseDecimal(number)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*f.p = append(*f.p, score.Total{Code: name, Value: d})
	}
	return nil
}

func (f totalsFlag) Type() string { return "NAME=NUMBER,..." }

func (f totalsFlag) String() string {
	if f.p == nil {
		return ""
	}
	var pairs []string
	for _, t := range *f.p {
		pairs = append(pairs, t.Code+"="+t.Value.String())
	}
	return strings.Join(pairs, ",")
}

// entrantsFlag is a competitor, such as GAU,name=Gaul,organisation=GAU,type=T. Each use
// adds one. A value with a comma is quoted as in CSV.
type entrantsFlag struct{ p *[]score.Entrant }

func (f entrantsFlag) Set(s string) error {
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return fmt.Errorf("got %q: %w", s, err)
	}
	e := score.Entrant{Code: fields[0], Order: len(*f.p) + 1}
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
	*f.p = append(*f.p, e)
	return nil
}

func (f entrantsFlag) Type() string { return "CODE,name=..." }

func (f entrantsFlag) String() string {
	if f.p == nil {
		return ""
	}
	var codes []string
	for _, e := range *f.p {
		codes = append(codes, e.Code)
	}
	return strings.Join(codes, " ")
}
