package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// scalar is what a bounded flag may be.
type scalar interface{ int | float64 | time.Duration }

// number defines a flag whose value is bounded.
func number[T scalar](f *pflag.FlagSet, to *T, name string, value, least, most T, usage string) {
	*to = value
	f.Var(&bounded[T]{to, least, most}, name, usage)
}

type bounded[T scalar] struct {
	to          *T
	least, most T
}

func (v *bounded[T]) Type() string { return fmt.Sprintf("%T", v.least) }

func (v *bounded[T]) String() string {
	if v.to == nil {
		return ""
	}
	return fmt.Sprint(*v.to)
}

func (v *bounded[T]) Set(s string) error {
	var parsed any
	var err error
	switch any(v.least).(type) {
	case int:
		parsed, err = strconv.Atoi(s)
	case float64:
		parsed, err = strconv.ParseFloat(s, 64)
	default:
		parsed, err = time.ParseDuration(s)
	}
	if err != nil {
		return err
	}
	*v.to = parsed.(T)
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
