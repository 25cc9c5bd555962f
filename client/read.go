package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"laurel/score"
)

// Page chooses a part of a list. The zero value is its beginning.
type Page struct {
	Limit int    // 0: as many as the frontend gives by itself
	After string // the Next of the page before
}

func (p Page) query() url.Values {
	q := url.Values{}
	set(q, "after", p.After)
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	return q
}

// PageQuery is the query of a page, for Get.
func PageQuery(p Page) url.Values { return p.query() }

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// Scores is one page of contests.
type Scores struct {
	Scores []score.Record `json:"scores"`
	Next   string         `json:"next"` // "" on the last page
}

// Score asks for one contest.
func (c *Client) Score(ctx context.Context, contestID string) (score.Record, error) {
	var r score.Record
	err := c.get(ctx, ScorePath(contestID), nil, &r)
	return r, err
}

// Scores asks for one page of the contests that f chooses, in the order of their ids.
func (c *Client) Scores(ctx context.Context, f score.Filter, p Page) (Scores, error) {
	var s Scores
	err := c.get(ctx, "/v1/scores", ScoresQuery(f, p), &s)
	return s, err
}

// ScoresQuery is the query of a page of contests, for Get.
func ScoresQuery(f score.Filter, p Page) url.Values {
	q := p.query()
	set(q, "competition", f.Competition)
	set(q, "sport", f.Sport)
	set(q, "status", f.Status)
	set(q, "competitor", f.Competitor)
	return q
}

// AllScores goes through all the contests that f chooses, page by page. Each page is true for itself: a contest may have moved on
// while later pages were fetched. An error ends it.
func (c *Client) AllScores(ctx context.Context, f score.Filter) iter.Seq2[score.Record, error] {
	return func(yield func(score.Record, error) bool) {
		for p := (Page{}); ; {
			s, err := c.Scores(ctx, f, p)
			if err != nil {
				yield(score.Record{}, err)
				return
			}
			for _, r := range s.Scores {
				if !yield(r, nil) {
					return
				}
			}
			if p.After = s.Next; p.After == "" {
				return
			}
		}
	}
}

// Timeline is one page of a contest's events.
type Timeline struct {
	Events []score.TimelineEvent `json:"events"`
	Next   string                `json:"next"` // "" on the last page
}

// Timeline asks for one page of the events of a contest, in the store's order.
func (c *Client) Timeline(ctx context.Context, contestID string, p Page) (Timeline, error) {
	var t Timeline
	err := c.get(ctx, idPath("/v1/timeline", contestID), p.query(), &t)
	return t, err
}

// BoardPart chooses a part of a leaderboard. The zero value is its beginning, at the split that the contest shows.
type BoardPart struct {
	Page            // After does not go with Around
	Split    string // "": the one that the contest shows
	Category string // "": all
	Around   string // a competitor to have in the middle
}

// Leaderboard asks for a part of the leaderboard of a ranked contest. The problem is score.NotFound where there is none, or no mark of the competitor
// that should be in the middle.
func (c *Client) Leaderboard(ctx context.Context, contestID string, p BoardPart) (score.Leaderboard, error) {
	var l score.Leaderboard
	err := c.get(ctx, LeaderboardPath(contestID), LeaderboardQuery(p), &l)
	return l, err
}

// LeaderboardPath is the path of a contest's leaderboard, for Get.
func LeaderboardPath(contestID string) string { return idPath("/v1/leaderboard", contestID) }

// LeaderboardQuery is the query of a part of a leaderboard, for Get.
func LeaderboardQuery(p BoardPart) url.Values {
	q := p.query()
	set(q, "split", p.Split)
	set(q, "category", p.Category)
	set(q, "around", p.Around)
	return q
}

// Medals asks for the medal table of a competition.
func (c *Client) Medals(ctx context.Context, competition string) (score.Medals, error) {
	var m score.Medals
	err := c.get(ctx, MedalsPath(competition, ""), nil, &m)
	return m, err
}

// MedalRow asks for the row of one organisation: zeros for one that the competition knows and that has no medals.
func (c *Client) MedalRow(ctx context.Context, competition, organisation string) (score.MedalRow, error) {
	var r score.MedalRow
	err := c.get(ctx, MedalsPath(competition, organisation), nil, &r)
	return r, err
}

// Bard asks where a source stands. The problem is score.NotFound for one that has posted nothing yet.
func (c *Client) Bard(ctx context.Context, source string) (score.Bard, error) {
	var b score.Bard
	err := c.get(ctx, idPath("/v1/bards", source), nil, &b)
	return b, err
}

// Format is a media type that frontends answer in.
type Format string

const (
	JSON Format = "application/json"
	Text Format = "text/plain" // aligned tables, for people
)

// Get asks for any path of the interface, as in "/v1/scores/OG50BC/CUR-M-GPA-01", and gives the answer's body as it came.
func (c *Client) Get(ctx context.Context, path string, query url.Values, f Format) ([]byte, error) {
	a, _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, accept: string(f)})
	return a.body, err
}

// ScorePath is the path of one contest, for Get; that of the list where the id is empty.
func ScorePath(contestID string) string {
	if contestID == "" {
		return "/v1/scores"
	}
	return idPath("/v1/scores", contestID)
}

// MedalsPath is the path of a medal table, for Get; that of one row where an organisation is named.
func MedalsPath(competition, organisation string) string {
	path := idPath("/v1/medals", competition)
	if organisation != "" {
		path += "/" + url.PathEscape(organisation)
	}
	return path
}
