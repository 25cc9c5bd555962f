package question

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
)

// ScorePage is the answer to a question for contests.
type ScorePage struct {
	Scores []score.Record `json:"scores"`
	Next   string         `json:"next"` // the parameter after of the next page, "" at the end
}

// scoresParameters are the parameters of a list of contests. The first five filter it.
var scoresParameters = []string{
	"competition", "sport", "status", "competitor", "find", "section", "limit", "after", maxStale,
}

func parseScores(_ string, q url.Values) (Question, error) {
	limit, err := handler.PageSize(q)
	if err != nil {
		return Question{}, err
	}
	if err := checkFilters(q, scoresParameters[:5]...); err != nil {
		return Question{}, err
	}
	after := q.Get("after")
	if after != "" && !score.ValidPath(after) {
		return Question{}, handler.Unwanted("after", after, "the next of an earlier answer")
	}
	f := score.Filter{
		Competition: q.Get("competition"),
		Sport:       q.Get("sport"),
		Status:      q.Get("status"),
		Competitor:  q.Get("competitor"),
		Find:        q.Get("find"),
		Section:     score.Section(q.Get("section")),
	}
	if f.Status != "" && !score.IsStatus(f.Status) {
		return Question{}, handler.Unwanted("status", f.Status,
			"a schedule_status or a result_status, such as RUNNING or OFFICIAL")
	}
	if err := checkSection(&f); err != nil {
		return Question{}, err
	}
	return Question{
		Key: keyOf("scores", q, limit),
		Tag: cache.ListTag(score.CompetitionOf(f.Competition)),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			list, next, err := v.Contests(f, after, limit)
			return ScorePage{list, next}, 0, err
		}),
		Text: textRenderer(scoresText),
	}, nil
}

// checkSection refuses a section that does not exist, or has no list for the filter.
func checkSection(f *score.Filter) error {
	switch {
	case f.Section == "":
	case !slices.Contains(score.AllSections, f.Section):
		return handler.Unwanted("section", string(f.Section), "live, next or finished")
	case f.Sport+f.Status+f.Competitor != "":
		return handler.FieldProblem("section", "given with a sport, status or competitor; use find instead of these")
	}
	return nil
}

// Score asks for the record of a contest.
func Score(id string) Question {
	return Question{
		Key: cache.ScoreKey(id),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			rec, ok, err := v.Contest(id)
			if err != nil || !ok {
				return nil, 0, err
			}
			return rec, rec.Revision, nil
		}),
		Missing: func() *score.Problem { return undefined(id) },
		Text:    textRenderer(scoreText),
	}
}

func scoresText(b *bytes.Buffer, page *ScorePage) {
	t := textfmt.NewTable("CONTEST", "TITLE", "STATUS", "RESULT", "PERIOD", "WINNER", "SCORE")
	for i := range page.Scores {
		rec := &page.Scores[i]
		result := textfmt.Join(" ", rec.ResultStatus, corrected(rec))
		winner := textfmt.Join(", ", rec.Winner, rec.Decision)
		t.Row(rec.ContestID, rec.Title, rec.ScheduleStatus, result, rec.Period, winner, rec.Summary())
	}
	t.Write(b)
	handler.NextText(b, page.Next)
}

func resultText(rec *score.Record, c *score.Standing) string {
	return cmp.Or(rec.ResultOf(c), "-")
}

// corrected returns the mark of a contest whose result a definition has changed.
func corrected(rec *score.Record) string {
	if rec.Corrected {
		return "CORRECTED"
	}
	return ""
}

func scoreText(b *bytes.Buffer, rec *score.Record) {
	fmt.Fprintf(b, "%s\n", textfmt.OneLine(textfmt.Join("  ", rec.ContestID, rec.Title)))
	state := textfmt.Join("  ", rec.ScheduleStatus, rec.ResultStatus, corrected(rec), rec.Period, rec.Clock, rec.Split)
	fmt.Fprintf(b, "%s\n", textfmt.OneLine(state))
	if rec.Winner != "" {
		fmt.Fprintf(b, "winner: %s\n", textfmt.OneLine(rec.Winner))
	}
	if rec.Decision != "" {
		fmt.Fprintf(b, "decision: %s\n", rec.Decision)
	}
	b.WriteByte('\n')
	standingsTable(rec).Write(b)
	if rec.Total != nil && *rec.Total > len(rec.Competitors) {
		fmt.Fprintf(b, "\n%d of %d\n", len(rec.Competitors), *rec.Total)
	}
}

// standingsTable returns a row for each competitor: the result, and what it consists of.
func standingsTable(rec *score.Record) *textfmt.Table {
	sides := rec.Sides()
	adjusted := slices.ContainsFunc(sides, func(c score.Standing) bool { return c.Adjustment != 0 })
	headings := append([]string{"RANK", "CODE", "NAME", "ORG", "RESULT"}, rec.Periods...)
	if adjusted {
		headings = append(headings, "ADJUSTMENT")
	}
	if len(rec.TiebreakPeriods) > 0 {
		headings = append(headings, "TIEBREAK")
	}
	t := textfmt.NewTable(headings...)
	for i := range sides {
		c := &sides[i]
		cells := []any{rankText(c.Rank, rec.SharesRank(c)), c.Code, c.Name, c.Organisation, resultText(rec, c)}
		for _, points := range c.Periods {
			cells = append(cells, rec.MarkText(points.Value))
		}
		if adjusted {
			cells = append(cells, rec.MarkText(c.Adjustment))
		}
		if len(rec.TiebreakPeriods) > 0 {
			cells = append(cells, c.Tiebreak)
		}
		t.Row(cells...)
	}
	return t
}

func rankText(rank int, shared bool) string { return cmp.Or(textfmt.Rank(rank, shared), "-") }

// Medals asks for the medal table of a competition.
func Medals(competition string) Question {
	return Question{
		Key: cache.MedalsKey(competition),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, 0, err
			}
			return t.Standings(), t.Revision, nil
		}),
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound,
				"no events of competition %s have been posted", handler.Quoted(competition))
		},
		Text: textRenderer(func(b *bytes.Buffer, m *medal.Standings) { medalsText(b, m.Rows, m.Outside) }),
	}
}

// medalRow asks for one row of a medal table. name is "competition/organisation".
func medalRow(name string) Question {
	competition, organisation, _ := strings.Cut(name, "/")
	return Question{
		// An organisation may contain any character, a question mark too.
		Key: cache.MedalsKey(competition) + "/" + (&url.URL{Path: organisation}).EscapedPath(),
		Tag: cache.MedalsKey(competition),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, 0, err
			}
			row, ok := t.Row(organisation)
			if !ok {
				return nil, 0, nil
			}
			return row, t.Revision, nil
		}),
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound,
				"organisation %s is not in the medal table of competition %s; GET /v1/medals/%[2]s lists the table",
				handler.Quoted(organisation), competition)
		},
		Text: textRenderer(func(b *bytes.Buffer, row *medal.Row) { medalsText(b, []medal.Row{*row}, nil) }),
	}
}

func validRow(name string) bool {
	competition, organisation, _ := strings.Cut(name, "/")
	return validCompetition(competition) && organisation != "" && len(organisation) <= MaxFilter
}

func validCompetition(s string) bool { return score.ValidPath(s) && !strings.Contains(s, "/") }

func medalsText(b *bytes.Buffer, rows, outside []medal.Row) {
	t := textfmt.NewTable("RANK", "ORGANISATION", "NAME", "GOLD", "SILVER", "BRONZE", "TOTAL")
	for _, m := range slices.Concat(rows, outside) {
		t.Row(rankText(m.Rank, m.RankEqual), m.Organisation, m.Name, m.Gold, m.Silver, m.Bronze, m.Total)
	}
	t.DropEmpty("NAME")
	t.Write(b)
}

// TimelinePage is the answer to a question for a contest's timeline.
type TimelinePage struct {
	Events []score.TimelineEvent `json:"events"`
	Next   string                `json:"next"` // the parameter after of the next page, "" at the end
}

func parseTimeline(id string, q url.Values) (Question, error) {
	limit, err := handler.PageSize(q)
	if err != nil {
		return Question{}, err
	}
	after, err := handler.ParseCursor(q, "the next of an earlier answer")
	if err != nil {
		return Question{}, err
	}
	return Timeline(id, after, limit), nil
}

// Timeline asks for at most limit events of a contest after a revision.
func Timeline(id string, cursor handler.Cursor, limit int) Question {
	return Question{
		Key: keyOf("timeline/"+id, url.Values{"after": {cursor.String()}}, limit),
		Tag: cache.TimelineTag(id),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			after := cursor.In(v.Incarnation())
			list, next, err := v.Timeline(id, after, limit)
			if err != nil || len(list) == 0 && after == 0 {
				return nil, 0, err
			}
			return TimelinePage{list, handler.Next(v.Incarnation(), next)}, 0, nil
		}),
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound, "contest %s has no events", handler.Quoted(id))
		},
		Text: textRenderer(timelineText),
	}
}

func timelineText(b *bytes.Buffer, page *TimelinePage) {
	t := textfmt.NewTable("REVISION", "TIME", "TYPE", "ID", "BY", "DATA")
	for _, e := range page.Events {
		data := string(e.Data)
		if e.VoidedBy != 0 {
			data = fmt.Sprintf("(voided at revision %d) %s", e.VoidedBy, data)
		}
		t.Row(e.Revision, textfmt.Time(e.Time), e.Type, e.ID, grantText(&e), data)
	}
	t.DropEmpty("BY")
	t.Write(b)
	handler.NextText(b, page.Next)
}

// grantText returns the beginning of the id of the grant by which an event was posted.
// laurel verify shows the name and checks the signature.
func grantText(e *score.TimelineEvent) string {
	switch {
	case e.Key != "":
		return "key " + e.Key[:min(len(e.Key), 8)]
	case e.Token != "":
		return "token " + e.Token[:min(len(e.Token), 8)]
	}
	return ""
}

// parseBard reads the question for the last seq of a source and, if after or limit is
// given, for the identities of its events. A source that has never posted is at 0, so that
// a new bard starts like any other.
func parseBard(source string, q url.Values) (Question, error) {
	if !score.ValidPath(source) {
		return Question{}, handler.Unwanted("source", source, "segments of letters, digits and ._~- joined by /")
	}
	key := "bards/" + source
	if q.Has("after") || q.Has("limit") {
		after, limit, err := parsePosted(q)
		if err != nil {
			return Question{}, err
		}
		return Question{
			Key: keyOf(key, url.Values{"after": {strconv.FormatUint(after, 10)}}, limit),
			Tag: cache.AnyTag,
			Ask: encoded(func(v queries.View) (any, uint64, error) {
				posted, err := v.Posted(source, after, limit)
				return posted, 0, err
			}),
			Text: textRenderer(postedText),
		}, nil
	}
	return Question{
		Key: key,
		Tag: cache.AnyTag,
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			bard, ok, err := v.Bard(source)
			if !ok {
				bard = score.Bard{Source: source}
			}
			return bard, 0, err
		}),
		Text: textRenderer(bardText),
	}, nil
}

func parsePosted(q url.Values) (after uint64, limit int, err error) {
	if limit, err = handler.PageSize(q); err != nil {
		return 0, 0, err
	}
	given := q.Get("after")
	if given == "" {
		return 0, limit, nil
	}
	if after, err = strconv.ParseUint(given, 10, 64); err != nil {
		err = handler.Unwanted("after", given, "the seq before the first event to list, such as 0")
	}
	return after, limit, err
}

func bardText(b *bytes.Buffer, bard *score.Bard) {
	t := textfmt.NewTable("SOURCE", "LAST SEQ", "LAST ID")
	t.Row(bard.Source, bard.LastSeq, bard.LastID)
	t.Write(b)
}

func postedText(b *bytes.Buffer, p *score.Posted) {
	bardText(b, &p.Bard)
	t := textfmt.NewTable("SEQ", "REVISION", "DIGEST", "ID")
	for _, e := range p.Events {
		t.Row(e.Seq, e.Revision, hex.EncodeToString(e.Digest[:]), e.ID)
	}
	t.Write(b)
}
