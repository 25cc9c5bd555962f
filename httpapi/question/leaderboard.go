package question

import (
	"bytes"
	"cmp"
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

var boardParameters = []string{"split", "category", "limit", "after", "around"}

func parseLeaderboard(id string, q url.Values) (Question, error) {
	b := &BoardQuery{Contest: id}
	if err := checkFilters(q, "split", "category", "around"); err != nil {
		return Question{}, err
	}
	for _, name := range boardParameters {
		if given := q.Get(name); given != "" {
			if err := b.set(name, given); err != nil {
				return Question{}, err
			}
		}
	}
	b.Limit = cmp.Or(b.Limit, handler.DefaultPage)
	if q.Get("after") != "" && b.Around != "" {
		return Question{}, handler.FieldProblem("around",
			"given with after; want only one of them, because each sets the beginning of the page")
	}
	return Question{
		Key:     b.Key(),
		Tag:     cache.BoardTag(id),
		Board:   b,
		Missing: b.Missing,
		Text:    textRenderer(leaderboardText),
	}, nil
}

// set sets the field for a parameter, which is not empty.
func (b *BoardQuery) set(name, given string) (err error) {
	switch name {
	case "split":
		b.Split = given
	case "category":
		b.Category = given
	case "around":
		b.Around = given
	case "limit":
		b.Limit, err = handler.ParsePageSize(given)
	case "after":
		if b.After, err = ranking.ParseCursor(given); err != nil || len(given) > 2*MaxFilter {
			return handler.Unwanted("after", given, "the next of an earlier answer")
		}
	}
	return err
}

// ParsePlain reads a question without allocating much. It reports false for all but the
// plain form: no escapes, each parameter once and valid, and no page longer than the
// default, which would take a place among the reads under way.
func (b *BoardQuery) ParsePlain(contest, query []byte) bool {
	if bytes.ContainsAny(query, "%+;") {
		return false
	}
	b.Contest = string(contest)
	given := 0 // a bit for each of boardParameters
	for len(query) > 0 {
		var one []byte
		one, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(one, []byte("="))
		i := slices.Index(boardParameters, string(name))
		switch {
		case i < 0 || given&(1<<i) != 0 || len(value) == 0 || len(value) > MaxFilter:
			return false
		case b.set(boardParameters[i], string(value)) != nil:
			return false
		}
		given |= 1 << i
	}
	b.Limit = cmp.Or(b.Limit, handler.DefaultPage)
	twoBeginnings := b.Around != "" && b.After != ranking.Cursor{}
	return b.Limit <= handler.DefaultPage && !twoBeginnings && score.ValidPath(b.Contest)
}

// Key returns the key of the question.
func (b *BoardQuery) Key() string {
	return keyOf("leaderboard/"+b.Contest, url.Values{
		"split":    {b.Split},
		"category": {b.Category},
		"after":    {b.After.String()},
		"around":   {b.Around},
	}, b.Limit)
}

// Body returns the answer, nil if there is no such leaderboard or its competitor is not
// on it.
func (b *BoardQuery) Body(p *ranking.Leaderboard, revision uint64, err error) ([]byte, uint64, error) {
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
func leaderboardText(b *bytes.Buffer, page *ranking.Leaderboard) {
	fmt.Fprintf(b, "%s\n\n", textfmt.OneLine(textfmt.Join("  ", page.ContestID, page.Split, page.Category)))
	t := textfmt.NewTable("RANK", "COMPETITOR", "NAME", "ORG", "CATEGORY", "MARK", "DIFF")
	for _, r := range page.Rows {
		mark, gap := r.Text(&page.Format)
		t.Row(rankText(r.Rank, r.RankEqual), r.Competitor, r.Name, r.Organisation, r.Categories, mark, gap)
	}
	if len(page.Rows) > 0 {
		t.DropEmpty("NAME", "ORG", "CATEGORY", "MARK", "DIFF")
	}
	t.Write(b)
	fmt.Fprintf(b, "\n%d of %d\n", len(page.Rows), page.Total)
	handler.NextText(b, page.Next)
}
