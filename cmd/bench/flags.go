package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// scalar is what a bounded flag may be.
type scalar interface{ int | float64 | time.Duration }

// number defines a flag whose value is bounded.
func number[T scalar](f *pflag.FlagSet, to *T, name string, value, least, most T, usage string) {
	*to = value
	switch to := any(to).(type) {
	case *int:
		f.IntVar(to, name, *to, usage)
	case *float64:
		f.Float64Var(to, name, *to, usage)
	case *time.Duration:
		f.DurationVar(to, name, *to, usage)
	}
	flag := f.Lookup(name)
	flag.Value = &bounded[T]{flag.Value, to, least, most}
}

type bounded[T scalar] struct {
	pflag.Value
	to          *T
	least, most T
}

func (v *bounded[T]) Set(s string) error {
	if err := v.Value.Set(s); err != nil {
		return err
	}
	return between(v.least, v.most, *v.to)
}

// between returns an error unless all values are within the bounds.
func between[T cmp.Ordered](least, most T, values ...T) error {
	for _, v := range values {
		if v < least || v > most {
			return fmt.Errorf("got %v; want %v to %v", v, least, most)
		}
	}
	return nil
}

// oneOf returns an error unless all values are known.
func oneOf(known, values []string) error {
	for _, v := range values {
		if !slices.Contains(known, v) {
			return fmt.Errorf("got %q; want some of %s", v, strings.Join(known, ", "))
		}
	}
	return nil
}
