package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"laurel/cache"
	"laurel/score"
	"laurel/score/ranking"
)

// board is a question about a leaderboard. Its answer is made for whoever asks and not kept: no two ask the same.
type board struct {
	contest string
	ranking.Query
	why *score.Problem // of an answer that there is none; nil while it is not known
}

// boardParameters are those of a board's question beside the consent.
var boardParameters = []string{"split", "category", "limit", "after", "around"}

func leaderboard(id, query string) (question, error) {
	q, consents, err := asked(query, boardParameters...)
	if err != nil {
		return question{}, err
	}
	b := &board{contest: id}
	if err := b.read(q); err != nil {
		return question{}, err
	}
	if !score.ValidPath(id) {
		return question{}, b.missing()
	}
	return question{key: b.key(), tag: cache.BoardTag(id), board: b, missing: b.missing, text: forPeople(leaderboardText), consent: consents}, nil
}

// read takes the parameters.
func (b *board) read(q url.Values) (err error) {
	for _, name := range []string{"split", "category", "around"} {
		if given := q.Get(name); len(given) > maxFilter {
			return fieldProblem(name, "got %d bytes; nothing has a name of more than %d", len(given), maxFilter)
		}
	}
	b.Split, b.Category, b.Around = q.Get("split"), q.Get("category"), q.Get("around")
	if b.Limit, err = pageSize(q); err != nil {
		return err
	}
	given := q.Get("after")
	if b.After, err = ranking.ParseCursor(given); err != nil || len(given) > 2*maxFilter {
		return fieldProblem("after", "got %s; want what an answer gave as next", quoted(given))
	}
	if given != "" && b.Around != "" {
		return fieldProblem("around", "given with after; want one of them, for each says where the page begins")
	}
	return nil
}

func (b *board) key() string {
	chosen := url.Values{}
	for name, value := range map[string]string{"split": b.Split, "category": b.Category, "after": b.After.String(), "around": b.Around} {
		if value != "" {
			chosen.Set(name, value)
		}
	}
	if b.Limit != DefaultPage {
		chosen.Set("limit", strconv.Itoa(b.Limit))
	}
	return keyOf("leaderboard/"+b.contest, chosen)
}

// body is the answer to a question, nil where it is that there is no such board, or nobody of that name on it.
func (b *board) body(p *ranking.Page, revision uint64, err error) ([]byte, uint64, error) {
	var problem *score.Problem
	var unranked *ranking.NotRankedError
	switch {
	case errors.As(err, &unranked):
		b.why = score.Problemf(score.NotFound, "%s; GET /v1/scores/%s has its score", unranked.Reason(), unranked.ContestID)
		return nil, revision, nil
	case errors.As(err, &problem) && problem.Code == score.NotFound:
		b.why = problem
		return nil, revision, nil
	case err != nil:
		return nil, revision, err
	}
	return append(p.AppendJSON(nil), '\n'), revision, nil
}

// missing says that there is no such board. Another frontend that was asked says only that.
func (b *board) missing() *score.Problem {
	switch {
	case b.why != nil:
		return b.why
	case b.Around != "":
		return score.Problemf(score.NotFound, "there is no leaderboard of a contest %s, or no mark of %s on it", quoted(b.contest), quoted(b.Around))
	}
	return score.Problemf(score.NotFound, "there is no leaderboard of a contest %s; only ranked ones have one, and GET /v1/scores lists those there are", quoted(b.contest))
}

// board answers a question about a leaderboard from this frontend's own state, by the rules of an answer from memory.
func (p *port) board(ctx context.Context, b *board) (*cache.Entry, string, error) {
	page, revision, how, err := p.group.Board(ctx, b.contest, &b.Query)
	e := new(cache.Entry)
	if e.Body, e.Revision, err = b.body(&page, revision, err); err != nil {
		return nil, "", err
	}
	return e, how, nil
}

// tagOf is the tag of the answer that changed last at a revision. The store and the question, and how often the board has changed, make the answer; so
// it is strong, and costs nothing to find, however long the answer.
func (b *board) tagOf(store string, revision uint64) string {
	return string(b.appendTag(nil, store, revision))
}

func (b *board) appendTag(dst []byte, store string, revision uint64) []byte {
	sum := fnvBegin.string(store).string(b.contest).string(b.Split).string(b.Category).string(b.Around).string(b.After.String()).number(uint64(b.Limit))
	dst = append(dst, '"')
	dst = strconv.AppendUint(dst, uint64(sum), 36)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, revision, 36)
	return append(dst, '"')
}

// fnv is the hash FNV-1a of 64 bits: it allocates nothing, and is the same at every frontend.
type fnv uint64

const fnvBegin fnv = 14695981039346656037

func (h fnv) byte(b byte) fnv { return (h ^ fnv(b)) * 1099511628211 }

// string adds s and its end.
func (h fnv) string(s string) fnv {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h.byte(0)
}

func (h fnv) number(n uint64) fnv {
	for ; n > 0; n >>= 8 {
		h = h.byte(byte(n))
	}
	return h
}

// leaderboardText leaves out the columns in which nobody has anything.
func leaderboardText(b *bytes.Buffer, page *score.Leaderboard) {
	columns := []boardColumn{
		{"RANK", placeText},
		{"COMPETITOR", func(r *score.LeaderboardRow) string { return r.Competitor }},
		{"NAME", func(r *score.LeaderboardRow) string { return r.Name }},
		{"ORG", func(r *score.LeaderboardRow) string { return r.Organisation }},
		{"CATEGORY", func(r *score.LeaderboardRow) string { return r.Category }},
		{"MARK", markText},
		{"DIFF", func(r *score.LeaderboardRow) string { return decimalText(r.Diff) }},
	}
	columns = slices.DeleteFunc(columns, func(c boardColumn) bool {
		return len(page.Rows) > 0 && !slices.ContainsFunc(page.Rows, func(r score.LeaderboardRow) bool { return c.cell(&r) != "" })
	})
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.heading
	}
	fmt.Fprintf(b, "%s\n\n", plain(joinWords("  ", page.ContestID, page.Split, page.Category)))
	t := newTable(b, cells...)
	for i := range page.Rows {
		for j, c := range columns {
			cells[j] = c.cell(&page.Rows[i])
		}
		t.row(cells...)
	}
	t.end()
	fmt.Fprintf(b, "\n%d of %d\n", len(page.Rows), page.Total)
	nextText(b, page.Next)
}

type boardColumn struct {
	heading string
	cell    func(*score.LeaderboardRow) string
}

func placeText(r *score.LeaderboardRow) string {
	rank := rankText(r.Rank)
	if r.RankEqual {
		rank = "=" + rank
	}
	return rank
}

func markText(r *score.LeaderboardRow) string {
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
