package web

import (
	"slices"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func TestNextIsSortedByMoment(t *testing.T) {
	var d Data
	for id, start := range map[string]string{
		"D07/A": "2026-07-20T09:00:00+09:00",
		"D07/B": "2026-07-19T20:00:00-05:00",
		"D07/C": "2026-07-20T01:30:00Z",
		"D07/D": "2026-07-20T01:30:00.0001Z", // the same millisecond as C
		"D07/E": "2026-07-20T07:15:00+05:45",
		"D07/F": "0001-01-01T00:00:01Z",
		"D07/G": "9999-12-31T23:59:59-12:00",
		"D07/H": "",
	} {
		r := match
		r.ContestID, r.ScheduleStatus, r.StartTime = id, "SCHEDULED", time.Time{}
		if start != "" {
			var err error
			if r.StartTime, err = score.ParseTime(start); err != nil {
				t.Fatal(err)
			}
		}
		d.Scores = append(d.Scores, r)
	}
	slices.Reverse(d.Scores)
	html := renderPage(t, d)
	html = html[:strings.Index(html, `id="served"`)]
	at := -1
	for _, id := range strings.Fields("F A B C D E G H") {
		found := strings.Index(html, "#/contest/D07/"+id)
		if found < at {
			t.Errorf("D07/%s is before what begins earlier", id)
		}
		at = found
	}
	for _, want := range []string{
		`20 Jul 2026</span> 09:00 <span class="zone">UTC&#43;9</span>`,
		`19 Jul 2026</span> 20:00 <span class="zone">UTC−5</span>`,
		`20 Jul 2026</span> 01:30 <span class="zone">UTC</span>`,
		`20 Jul 2026</span> 07:15 <span class="zone">UTC&#43;5:45</span>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestATitleIsShownUnlessItOnlyNamesTheSides(t *testing.T) {
	for title, want := range map[string]bool{
		"":                          false,
		"GAU vs ROM":                false,
		"Gaul vs Rome":              false,
		"Rome v. Gaul":              false,
		"Gaul - Rome":               false,
		"Gaul–Rome":                 false,
		"GAU @ Rome":                false,
		"Gaul VS Rome":              false,
		"Semi-final":                false, // the phase is shown beside it
		"stone curling":             false,
		"Final: Gaul vs Rome":       true,
		"Gaul vs Rome, replay":      true,
		"Gaul vs Rome vs Egypt":     true,
		"Gaul vs Romeo":             true,
		"Gaul Rome":                 true,
		"GaulRome":                  true,
		"Gaul":                      true,
		"Gaul vs Gaul":              true,
		"Battle of the Nile vs ROM": true,
	} {
		r := match
		r.Title = title
		if got := titleBeside(&r) != ""; got != want {
			t.Errorf("%q is shown: %v; want %v", title, got, want)
		}
	}
	race := match
	race.Kind, race.Title, race.Competitors = score.Ranked, "Women 100 m", match.Competitors
	if html := renderPage(t, Data{Scores: []score.Record{race}}); !strings.Contains(html, `class="title"><bdi>Women 100 m<`) {
		t.Error("the title of a race with marks is not in the list")
	}
}

func TestNamesCannotTurnTheTextBesideThemRound(t *testing.T) {
	r := match
	r.Title, r.Venue = "\u202eevil vs Rome", "\u2067hall"
	r.Period, r.Clock = "\u202e2", "\u20691"
	r.Event = "שלום 5"
	r.Competitors = []score.Standing{
		{Code: "EVI", Name: "\u202eevil\u2028", Result: points(1)}, {Code: "ROM", Name: "Rome", Result: points(0)},
	}
	html := renderPage(t, Data{Scores: []score.Record{r}})
	html = html[:strings.Index(html, `id="served"`)]
	if strings.ContainsAny(html, "\u202e\u2067\u2028") {
		t.Error("a character of a bard that changes the direction is in the page")
	}
	for _, want := range []string{"<bdi>evil</bdi>", "<bdi>Rome</bdi>", "\u2068שלום 5\u2069"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestARaceThatNobodyFinishedShowsWhy(t *testing.T) {
	r := match
	r.Kind, r.ScheduleStatus = score.Ranked, score.Finished
	r.Competitors = []score.Standing{{Code: "1", IRM: "DNS"}, {Code: "2", IRM: "DNF"}, {Code: "3"}}
	l := lineOf(&r)
	if len(l.Sides) != 2 || l.Sides[0].Result != "DNS" || l.Sides[1].Result != "DNF" {
		t.Errorf("the line shows %+v", l.Sides)
	}
}
