package question

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"

	"laurel/cache"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/ranking"
)

// BoardQuery asks for a part of a leaderboard. Its answer is made anew each time: the
// questions differ too much to keep answers.
type BoardQuery struct {
	Contest string
	ranking.Query
	notFound *score.Problem // why there is no answer; nil while that is not known
}

var boardParameters = []string{"split", "category", "limit", "after", "around", maxStale}

func parseLeaderboard(id string, q url.Values) (Question, error) {
	b := &BoardQuery{Contest: id}
	if err := b.setParameters(q); err != nil {
		return Question{}, err
	}
	if !score.ValidPath(id) {
		return Question{}, b.Missing()
	}
	return Question{
		Key:     b.Key(),
		Tag:     cache.BoardTag(id),
		Board:   b,
		Missing: b.Missing,
		Text:    textRenderer(leaderboardText),
	}, nil
}

func (b *BoardQuery) setParameters(q url.Values) (err error) {
	for _, name := range []string{"split", "category", "around"} {
		if given := q.Get(name); len(given) > MaxFilter {
			return handler.FieldProblem(name, "got %d bytes; names have at most %d", len(given), MaxFilter)
		}
	}
	b.Split, b.Category, b.Around = q.Get("split"), q.Get("category"), q.Get("around")
	if b.Limit, err = handler.PageSize(q); err != nil {
		return err
	}
	given := q.Get("after")
	if b.After, err = ranking.ParseCursor(given); err != nil || len(given) > 2*MaxFilter {
		return handler.FieldProblem("after", "got %s; want the next of an earlier answer", handler.Quoted(given))
	}
	if given != "" && b.Around != "" {
		return handler.FieldProblem("around",
			"given with after; want only one of them, because each sets the beginning of the page")
	}
	return nil
}

// ParsePlain reads a question without allocating much. It reports false for all but the
// plain form: no escapes, each parameter once and valid, and no page longer than the
// default.
func (b *BoardQuery) ParsePlain(contest, query []byte) bool {
	if bytes.IndexByte(query, '%') >= 0 || bytes.IndexByte(query, '+') >= 0 || bytes.IndexByte(query, ';') >= 0 {
		return false
	}
	const split, category, around, limit, after = 1, 2, 4, 8, 16
	b.Contest, b.Limit = string(contest), handler.DefaultPage
	seen := 0
	for len(query) > 0 {
		var one []byte
		one, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(one, []byte("="))
		if len(value) == 0 || len(value) > MaxFilter {
			return false
		}
		parameter := 0
		switch string(name) {
		case "split":
			b.Split, parameter = string(value), split
		case "category":
			b.Category, parameter = string(value), category
		case "around":
			b.Around, parameter = string(value), around
		case "limit":
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 1 || n > handler.DefaultPage {
				return false // a longer page takes a place among the reads under way
			}
			b.Limit, parameter = n, limit
		case "after":
			c, err := ranking.ParseCursor(string(value))
			if err != nil {
				return false
			}
			b.After, parameter = c, after
		}
		if parameter == 0 || seen&parameter != 0 {
			return false
		}
		seen |= parameter
	}
	return seen&(around|after) != around|after && score.ValidPath(b.Contest)
}

// Key returns the key of the question.
func (b *BoardQuery) Key() string {
	chosen := url.Values{}
	for name, value := range map[string]string{
		"split":    b.Split,
		"category": b.Category,
		"after":    b.After.String(),
		"around":   b.Around,
	} {
		if value != "" {
			chosen.Set(name, value)
		}
	}
	return keyOf("leaderboard/"+b.Contest, chosen, b.Limit)
}

// Body returns the answer, nil if there is no such leaderboard or its competitor is not
// on it.
func (b *BoardQuery) Body(p *ranking.Page, revision uint64, err error) ([]byte, uint64, error) {
	switch {
	case score.CodeOf(err) == score.NotFound:
		errors.As(err, &b.notFound)
		return nil, revision, nil
	case err != nil:
		return nil, revision, err
	}
	return append(p.AppendJSON(nil), '\n'), revision, nil
}

// Missing reports that there is no answer. The master tells another frontend only that,
// and not why.
func (b *BoardQuery) Missing() *score.Problem {
	switch {
	case b.notFound != nil:
		return b.notFound
	case b.Around != "":
		return score.Problemf(score.NotFound, "contest %s has no leaderboard, or %s has no mark on it",
			handler.Quoted(b.Contest), handler.Quoted(b.Around))
	}
	return score.Problemf(score.NotFound,
		"contest %s has no leaderboard; only ranked contests have one, and GET /v1/scores lists the contests",
		handler.Quoted(b.Contest))
}

// ETag returns the tag of an answer that changed last at a revision. It is strong,
// because the store, the question and the revision determine the answer.
func (b *BoardQuery) ETag(store string, revision uint64) string {
	question := make([]byte, 0, 256)
	for _, s := range [...]string{store, b.Contest, b.Split, b.Category, b.Around, b.After.String()} {
		question = append(append(question, s...), 0)
	}
	for n := b.Limit; n > 0; n >>= 8 {
		question = append(question, byte(n))
	}
	sum := fnv.New64a()
	sum.Write(question)
	tag := append(make([]byte, 0, 32), '"')
	tag = strconv.AppendUint(tag, sum.Sum64(), 36)
	tag = append(tag, '-')
	tag = strconv.AppendUint(tag, revision, 36)
	return string(append(tag, '"'))
}

// leaderboardText writes a leaderboard without its empty columns.
func leaderboardText(b *bytes.Buffer, page *score.Leaderboard) {
	columns := []boardColumn{
		{"RANK", rankCell},
		{"COMPETITOR", func(r *score.LeaderboardRow) string { return r.Competitor }},
		{"NAME", func(r *score.LeaderboardRow) string { return r.Name }},
		{"ORG", func(r *score.LeaderboardRow) string { return r.Organisation }},
		{"CATEGORY", func(r *score.LeaderboardRow) string { return r.Category }},
		{"MARK", markCell},
		{"DIFF", func(r *score.LeaderboardRow) string { return decimalText(r.Diff) }},
	}
	columns = slices.DeleteFunc(columns, func(c boardColumn) bool {
		used := func(r score.LeaderboardRow) bool { return c.cell(&r) != "" }
		return len(page.Rows) > 0 && !slices.ContainsFunc(page.Rows, used)
	})
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.heading
	}
	fmt.Fprintf(b, "%s\n\n", textfmt.OneLine(joinWords("  ", page.ContestID, page.Split, page.Category)))
	t := textfmt.NewTable(cells...)
	for i := range page.Rows {
		for j, c := range columns {
			cells[j] = c.cell(&page.Rows[i])
		}
		t.Row(cells...)
	}
	t.Write(b)
	fmt.Fprintf(b, "\n%d of %d\n", len(page.Rows), page.Total)
	handler.NextText(b, page.Next)
}

type boardColumn struct {
	heading string
	cell    func(*score.LeaderboardRow) string
}

func rankCell(r *score.LeaderboardRow) string {
	rank := rankText(r.Rank)
	if r.RankEqual {
		rank = "=" + rank
	}
	return rank
}

func markCell(r *score.LeaderboardRow) string {
	if r.IRM != "" {
		return r.IRM
	}
	return decimalText(r.Mark)
}

func decimalText(d *score.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}
