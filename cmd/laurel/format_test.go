package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// formatsOf returns a group in format 1 whose frontends read formats up to these; 0 does not answer.
func formatsOf(newest ...uint64) score.Frontends {
	g := score.Frontends{Format: 1}
	for i, n := range newest {
		f := score.Frontend{ID: fmt.Sprint("f", i+1), Version: "v1", NewestFormat: n}
		if n > 0 {
			f.OldestFormat = 1
		}
		g.Frontends = append(g.Frontends, f)
	}
	return g
}

func TestTheFormatIsShownWithWhoKeepsItFromBeingRaised(t *testing.T) {
	held := formatsOf(2, 2)
	held.FormatHeld = true
	for want, g := range map[string]score.Frontends{
		"the group has format 1\n": formatsOf(1, 1),
		"the group has format 1; it is not raised to 2: f2 reads formats up to 1, f3 does not answer\n": formatsOf(2, 1, 0),
		"the group has format 1; all frontends read format 3, to which it is raised next\n":             formatsOf(3, 4),
		"the group has format 1, which is held\n":                                                       held,
	} {
		var b bytes.Buffer
		if err := showFormat(&b, g); err != nil || !strings.HasPrefix(b.String(), want) {
			t.Errorf("got %s, %v; want %s", b.String(), err, want)
		}
	}
}

func TestTheFormatIsRaisedToTheLatestThatAllFrontendsReadAndAHoldEnds(t *testing.T) {
	held := formatsOf(2, 3)
	held.FormatHeld = true
	for name, c := range map[string]struct {
		group score.Frontends
		want  []string // the changes
		err   string
	}{
		"all read a later one": {formatsOf(4, 3), []string{"format=3"}, ""},
		"held":                 {held, []string{"format_hold=false", "format=2"}, ""},
		"none reads one":       {formatsOf(1, 1), nil, ""},
		"one does not answer":  {formatsOf(2, 0), nil, "f2 does not answer"},
		"one is older":         {formatsOf(1, 2), nil, "f1 reads formats up to 1"},
	} {
		var got []string
		err := raiseFormat(new(bytes.Buffer), c.group, func(name, value string) error {
			got = append(got, name+"="+value)
			return nil
		})
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: changes %v, %v", name, got, err)
		}
	}
}
