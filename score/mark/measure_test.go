package mark

import (
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score/fastjson"
)

func TestAMeasureIsWrittenFastAsOtherwise(t *testing.T) {
	for _, m := range []Measure{
		{}, Number(-1250), {value: 7891_200, clock: "2:11:31.2"}, {clock: "a\"b\\c\n\t<&>\u2028\x7f"}, {clock: "Astérix"},
	} {
		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		w := fastjson.NewWriter(nil)
		w.Name("mark")
		m.WriteFast(&w)
		if got, err := w.End(); err != nil || string(got) != `{"mark":`+string(want)+`}` {
			t.Errorf("%+v is written as %s, %v; want %s", m, got, err, want)
		}
	}
	for _, m := range []Measure{Number(MaxDecimal + 1), {clock: "\xff"}} {
		w := fastjson.NewWriter(nil)
		w.Name("mark")
		m.WriteFast(&w)
		if got, err := w.End(); err == nil {
			t.Errorf("%+v is written as %s", m, got)
		}
	}
}
