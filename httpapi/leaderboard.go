package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"laurel/cache"
	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/ranking"
)

// boardQuery asks for a part of a leaderboard. Its answer is made anew each time: the questions differ too much
// to keep answers.
type boardQuery struct {
	contest string
	ranking.Query
	notFound *score.Problem // why there is no answer; nil while that is not known
}

var boardParameters = []string{"split", "category", "limit", "after", "around"}

func parseLeaderboard(id, query string) (question, error) {
	q, stale, err := questionParameters(query, boardParameters...)
	if err != nil {
		return question{}, err
	}
	b := &boardQuery{contest: id}
	if err := b.setParameters(q); err != nil {
		return question{}, err
	}
	if !score.ValidPath(id) {
		return question{}, b.missing()
	}
	return question{
		key:     b.key(),
		tag:     cache.BoardTag(id),
		board:   b,
		missing: b.missing,
		text:    textRenderer(leaderboardText),
		stale:   stale,
	}, nil
}

func (b *boardQuery) setParameters(q url.Values) (err error) {
	for _, name := range []string{"split", "category", "around"} {
		if given := q.Get(name); len(given) > maxFilter {
			return handler.FieldProblem(name, "got %d bytes; names have at most %d", len(given), maxFilter)
		}
	}
	b.Split, b.Category, b.Around = q.Get("split"), q.Get("category"), q.Get("around")
	if b.Limit, err = handler.PageSize(q); err != nil {
		return err
	}
	given := q.Get("after")
	if b.After, err = ranking.ParseCursor(given); err != nil || len(given) > 2*maxFilter {
		return handler.FieldProblem("after", "got %s; want the next of an earlier answer", handler.Quoted(given))
	}
	if given != "" && b.Around != "" {
		return handler.FieldProblem("around", "given with after; want only one of them, because each sets the beginning of the page")
	}
	return nil
}

// parsePlain reads a question without allocating much. It reports false for all but the plainest form: no
// escapes, each parameter once and valid, and no page longer than the default.
func (b *boardQuery) parsePlain(contest, query []byte) bool {
	if bytes.IndexByte(query, '%') >= 0 || bytes.IndexByte(query, '+') >= 0 || bytes.IndexByte(query, ';') >= 0 {
		return false
	}
	const split, category, around, limit, after = 1, 2, 4, 8, 16
	b.contest, b.Limit = string(contest), handler.DefaultPage
	seen := 0
	for len(query) > 0 {
		var one []byte
		one, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(one, []byte("="))
		if len(value) == 0 || len(value) > maxFilter {
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
	return seen&(around|after) != around|after && score.ValidPath(b.contest)
}

func (b *boardQuery) key() string {
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
	if b.Limit != handler.DefaultPage {
		chosen.Set("limit", strconv.Itoa(b.Limit))
	}
	return keyOf("leaderboard/"+b.contest, chosen)
}

// body returns the answer, nil if there is no such leaderboard or its competitor is not on it.
func (b *boardQuery) body(p *ranking.Page, revision uint64, err error) ([]byte, uint64, error) {
	var problem *score.Problem
	switch {
	case errors.As(err, &problem) && problem.Code == score.NotFound:
		b.notFound = problem
		return nil, revision, nil
	case err != nil:
		return nil, revision, err
	}
	return append(p.AppendJSON(nil), '\n'), revision, nil
}

// missing reports that there is no answer. The master tells another frontend only that, and not why.
func (b *boardQuery) missing() *score.Problem {
	switch {
	case b.notFound != nil:
		return b.notFound
	case b.Around != "":
		return score.Problemf(score.NotFound, "contest %s has no leaderboard, or %s has no mark on it",
			handler.Quoted(b.contest), handler.Quoted(b.Around))
	}
	return score.Problemf(score.NotFound, "contest %s has no leaderboard; only ranked contests have one, and GET /v1/scores lists the contests",
		handler.Quoted(b.contest))
}

// board answers a question about a leaderboard from this frontend's state, linearizably.
func (d *reader) board(ctx context.Context, b *boardQuery) (*cache.Entry, string, error) {
	page, revision, how, err := d.source.Board(ctx, b.contest, &b.Query)
	e := new(cache.Entry)
	if e.Body, e.Revision, err = b.body(&page, revision, err); err != nil {
		return nil, "", err
	}
	return e, how, nil
}

// boardHit answers a plain question about a leaderboard if this frontend can, now or after a moment.
func (s *server) boardHit(ctx context.Context, dst []byte, r *fastpath.Request) (out []byte, status int) {
	var q boardQuery
	if !s.isPlainRead(r) || !q.parsePlain(r.Path[len("/v1/leaderboard/"):], r.Query) || !s.gate.AllowRead(r.Peer) {
		return dst, 0
	}
	page, revision, ok, release := s.reader.source.BoardNow(q.contest, &q.Query)
	how := cache.Hit
	switch {
	case ok:
	case release != nil && s.awaitBoard(ctx, release):
		how = cache.Wait
	default:
		if page, revision, how, ok = s.makeBoard(ctx, &q); !ok {
			return dst, 0
		}
	}
	s.metrics.reads.count(&answer{how: how, mode: score.Push})
	r.Pause = s.gate.PauseAfterHit()
	a := handler.Response{
		CacheControl: "no-cache",
		ETag:         q.etag(s.status.Store(), revision),
		VaryAccept:   true,
		Cache:        how,
		Mode:         string(score.Push),
		Revision:     revision,
	}
	if len(r.IfNoneMatch) > 0 && handler.MatchesETag([]string{string(r.IfNoneMatch)}, a.ETag) {
		a.Status = http.StatusNotModified
	} else {
		a.Type, a.Buffer = handler.TypeJSON, handler.NewBuffer()
		a.Buffer.B = append(page.AppendJSON(a.Buffer.B[:0]), '\n')
		a.Body = a.Buffer.B
	}
	return a.AppendTo(dst, r, s.shared(r.Method, "")), a.StatusCode()
}

// awaitBoard waits for a page that is made but not released. While marks come in, nearly every second question
// has to wait a moment.
func (s *server) awaitBoard(ctx context.Context, release func(context.Context) bool) bool {
	if !s.gate.TryBeginRead() {
		return false
	}
	defer s.gate.EndRead()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return release(ctx)
}

// makeBoard waits for a page that cannot be made at once. If that fails, the route's handler asks again and
// reports why.
func (s *server) makeBoard(ctx context.Context, q *boardQuery) (page ranking.Page, revision uint64, how string, ok bool) {
	ok = s.status.Leased() && s.awaitBoard(ctx, func(ctx context.Context) bool {
		var err error
		page, revision, how, err = s.reader.source.Board(ctx, q.contest, &q.Query)
		return err == nil
	})
	return page, revision, how, ok
}

// etag returns the tag of an answer that changed last at a revision. The store, the question and the revision
// determine the answer, so the tag is strong, and its cost does not depend on the answer's length.
func (b *boardQuery) etag(store string, revision uint64) string {
	sum := fnvOffset.string(store).string(b.contest).string(b.Split).string(b.Category).string(b.Around).string(b.After.String()).number(uint64(b.Limit))
	tag := append(make([]byte, 0, 32), '"')
	tag = strconv.AppendUint(tag, uint64(sum), 36)
	tag = append(tag, '-')
	tag = strconv.AppendUint(tag, revision, 36)
	return string(append(tag, '"'))
}

// fnv is the 64-bit hash FNV-1a. It allocates nothing and is the same at every frontend.
type fnv uint64

const fnvOffset fnv = 14695981039346656037

func (h fnv) byte(b byte) fnv { return (h ^ fnv(b)) * 1099511628211 }

// string adds s and a terminator.
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
		return len(page.Rows) > 0 && !slices.ContainsFunc(page.Rows, func(r score.LeaderboardRow) bool { return c.cell(&r) != "" })
	})
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.heading
	}
	fmt.Fprintf(b, "%s\n\n", textfmt.OneLine(joinWords("  ", page.ContestID, page.Split, page.Category)))
	t := handler.NewTable(b, cells...)
	for i := range page.Rows {
		for j, c := range columns {
			cells[j] = c.cell(&page.Rows[i])
		}
		t.Row(cells...)
	}
	t.End()
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
