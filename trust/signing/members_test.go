package signing_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"laurel/score"
	"laurel/score/mark"
)

// samples returns two values of the type of a member.
func samples(t *testing.T, of reflect.Type) (values []reflect.Value) {
	t.Helper()
	measure := func(s string) *mark.Measure {
		m, err := mark.ParseMeasure(s)
		if err != nil {
			t.Fatal(err)
		}
		return &m
	}
	two := map[reflect.Type][2]any{
		reflect.TypeFor[string]():               {"a", "b"},
		reflect.TypeFor[bool]():                 {true, true},
		reflect.TypeFor[int]():                  {1, 2},
		reflect.TypeFor[uint64]():               {uint64(1), uint64(2)},
		reflect.TypeFor[time.Time]():            {time.Unix(1, 0).UTC(), time.Unix(1, 0).In(time.FixedZone("", 3600))},
		reflect.TypeFor[*int]():                 {new(int), ptr(1)},
		reflect.TypeFor[*mark.Decimal]():        {ptr(mark.Points(0)), ptr(mark.Points(1))},
		reflect.TypeFor[*mark.Measure]():        {measure("60"), measure("1:00")},
		reflect.TypeFor[[]string]():             {[]string{"a", "b"}, []string{"b", "a"}},
		reflect.TypeFor[score.Totals]():         {score.Totals{{Code: "a"}}, score.Totals{{Code: "b"}}},
		reflect.TypeFor[[]score.Entrant]():      {[]score.Entrant{{Code: "a"}}, []score.Entrant{{Code: "a", Order: 1}}},
		reflect.TypeFor[[]score.Organisation](): {[]score.Organisation{{Code: "a"}}, []score.Organisation{{Code: "a", Name: "b"}}},
	}
	pair, ok := two[of]
	if !ok {
		t.Fatalf("no samples of %s", of)
	}
	return []reflect.Value{reflect.ValueOf(pair[0]), reflect.ValueOf(pair[1])}
}

func ptr[T any](v T) *T { return &v }

type clearer interface{ Clears(member string) bool }

func TestEveryMemberOfEveryEventIsSigned(t *testing.T) {
	for _, typ := range score.Types {
		e := someEvents(t, 1)[0]
		e.Key, e.Type = "0123456789abcdef", typ
		forms := map[string]string{}
		add := func(what string) {
			form := formOf(t, &e)
			if want := canonicalOf(t, &e); !bytes.Equal(form, want) {
				t.Errorf("%s with %s:\ngot  %s\nwant %s", typ, what, form, want)
			}
			if other, twice := forms[string(form)]; twice && other != what {
				t.Errorf("%s: the form with %s is that with %s: %s", typ, what, other, form)
			}
			forms[string(form)] = what
		}
		begin := func() reflect.Value {
			data, err := score.UnmarshalData(typ, []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			e.Data = data
			return reflect.ValueOf(data).Elem()
		}
		begin()
		add("nothing")
		for field := range begin().Type().Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			for i, value := range samples(t, field.Type) {
				begin().FieldByIndex(field.Index).Set(value)
				if field.Type.Kind() == reflect.Bool {
					i = 0
				}
				add(fmt.Sprint(name, " ", i))
			}
			if _, partial := begin().Addr().Interface().(clearer); partial {
				data, err := score.UnmarshalData(typ, fmt.Appendf(nil, "{%q:null}", name))
				if err != nil {
					t.Fatal(err)
				}
				if e.Data = data; data.(clearer).Clears(name) {
					add(name + " cleared")
				}
			}
		}
	}
}
