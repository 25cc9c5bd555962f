package main

import (
	"os"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

// module opens a page that has the exports of a source of the page as a global object.
func module(t testing.TB, file, name string) *tab {
	t.Helper()
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{"../app/" + file},
		Bundle:      true,
		Format:      api.FormatIIFE,
		GlobalName:  name,
		Charset:     api.CharsetUTF8,
		Target:      api.ES2022,
	})
	if len(result.Errors) > 0 || len(result.OutputFiles) != 1 {
		t.Fatalf("build %s: %v", file, result.Errors)
	}
	b := newTab(t, desktop, nil).open("about:blank")
	b.do(string(result.OutputFiles[0].Contents) + `; globalThis.` + name + ` = ` + name + `; 0`)
	return b
}

func TestTheSearchOfThePageFollowsTheExamples(t *testing.T) {
	t.Parallel()
	examples, err := os.ReadFile("../../../testdata/search.json")
	if err != nil {
		t.Fatal(err)
	}
	b := module(t, "text.ts", "text")
	wrong := eval[[]string](b, string(examples)+`.filter((e) => text.searchable(e.text) !== e.form)
		.map((e) => JSON.stringify([e.text, text.searchable(e.text), e.form]))`)
	for _, w := range wrong {
		t.Errorf("text, form and the right form are %s", w)
	}
}

func TestMomentsHaveTheDayAndTheZoneOfTheirVenue(t *testing.T) {
	t.Parallel()
	b := module(t, "time.ts", "time")
	for call, want := range map[string]string{
		`moment('2026-02-09T23:30:00Z')`:                                     "9 Feb 2026 23:30 UTC",
		`moment('2026-02-09T23:30:00+09:00')`:                                "9 Feb 2026 23:30 UTC+9",
		`moment('2026-02-09T23:30:00.5-03:30')`:                              "9 Feb 2026 23:30 UTC\u22123:30",
		`moment('2026-02-09T23:30:00.123456789Z', '2000-01-01T00:00+05:45')`: "10 Feb 2026 05:15 UTC+5:45",
		`moment('2026-02-10T01:00:00+09:00', 'Z')`:                           "9 Feb 2026 16:00 UTC",
		`moment('2026-01-01T01:00:00+00:00', '-05:00')`:                      "31 Dec 2025 20:00 UTC\u22125",
		`moment('9999-12-31T23:30:00Z', '+05:45')`:                           "31 Dec 9999 23:30 UTC",
		`moment('0001-01-01T00:00:00Z', '-12:00')`:                           "31 Dec 0 12:00 UTC\u221212",
	} {
		got := eval[string](b, `(({ day, clock, zone }) => [day, clock, zone].join(' '))(time.`+call+`)`)
		if got != want {
			t.Errorf("%s is %q; want %q", call, got, want)
		}
	}
	for call, want := range map[string]int{
		`earlier('2026-07-20T09:00:00+09:00', '2026-07-20T01:30:00Z')`: -1,
		`earlier('2026-07-19T20:00:00-05:00', '2026-07-20T00:00:00Z')`: 1,
		`earlier('2026-07-20T09:00:00+09:00', '2026-07-20T00:00:00Z')`: 0,
		`earlier(undefined, '2026-07-20T00:00:00Z')`:                   1,
		`earlier('2026-07-20T00:00:00Z', undefined)`:                   -1,
		`earlier(undefined, undefined)`:                                0,
	} {
		if got := eval[int](b, `Math.sign(time.`+call+`)`); got != want {
			t.Errorf("%s is %d; want %d", call, got, want)
		}
	}
}
