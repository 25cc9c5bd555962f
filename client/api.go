package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/medal"
	"laurel/score/ranking"
	"laurel/trust/access"
)

// Page selects a part of a list. The zero value is its beginning.
type Page struct {
	Limit int    // 0: the default of the frontend
	After string // the Next of the previous page
}

// Query returns the query of the page, for Get.
func (p Page) Query() url.Values {
	q := url.Values{}
	set(q, "after", p.After)
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	return q
}

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

// Score returns the record of one contest.
func (c *Client) Score(ctx context.Context, contestID string) (score.Record, error) {
	return get[score.Record](ctx, c, ScorePath(contestID), nil)
}

// Scores returns one page of the contests that f selects, in the order of their ids or of
// the section. A page may have few contests, or none, while there is a next one.
func (c *Client) Scores(ctx context.Context, f score.Filter, p Page) (Scores, error) {
	return get[Scores](ctx, c, "/v1/scores", ScoresQuery(f, p))
}

// ScoresQuery returns the query of a page of contests, for Get.
func ScoresQuery(f score.Filter, p Page) url.Values {
	q := p.Query()
	set(q, "competition", f.Competition)
	set(q, "sport", f.Sport)
	set(q, "status", f.Status)
	set(q, "competitor", f.Competitor)
	set(q, "find", f.Find)
	set(q, "section", string(f.Section))
	return q
}

// AllScores returns an iterator over all contests that f selects. It fetches them page by
// page, so a contest may change while later pages are fetched. An error ends it.
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

// Timeline returns one page of the events of a contest, in the order of their revisions.
func (c *Client) Timeline(ctx context.Context, contestID string, p Page) (Timeline, error) {
	return get[Timeline](ctx, c, idPath("/v1/timeline", contestID), p.Query())
}

// BoardPart selects a part of a leaderboard. The zero value is its beginning.
type BoardPart struct {
	Page            // After cannot be combined with Around
	Split    string // "": the present one of the contest
	Category string // "": all
	Around   string // the competitor in the middle of the part
}

// Leaderboard returns a part of the leaderboard of a ranked contest. The problem is
// score.NotFound if there is none, or the competitor of Around is not on it.
func (c *Client) Leaderboard(ctx context.Context, contestID string, p BoardPart) (ranking.Leaderboard, error) {
	return get[ranking.Leaderboard](ctx, c, LeaderboardPath(contestID), LeaderboardQuery(p))
}

// LeaderboardPath returns the path of a contest's leaderboard, for Get.
func LeaderboardPath(contestID string) string { return idPath("/v1/leaderboard", contestID) }

// LeaderboardQuery returns the query of a part of a leaderboard, for Get.
func LeaderboardQuery(p BoardPart) url.Values {
	q := p.Query()
	set(q, "split", p.Split)
	set(q, "category", p.Category)
	set(q, "around", p.Around)
	return q
}

// Medals returns the medal table of a competition.
func (c *Client) Medals(ctx context.Context, competition string) (medal.Standings, error) {
	return get[medal.Standings](ctx, c, MedalsPath(competition, ""), nil)
}

// MedalRow returns the medals of one organisation of a competition.
func (c *Client) MedalRow(ctx context.Context, competition, organisation string) (medal.Row, error) {
	return get[medal.Row](ctx, c, MedalsPath(competition, organisation), nil)
}

// Bard returns the last seq and id of a source; a score.NotFound if it posted nothing.
func (c *Client) Bard(ctx context.Context, source string) (score.Bard, error) {
	return get[score.Bard](ctx, c, idPath("/v1/bards", source), nil)
}

// Posted returns the last seq and id of a source, and the identities of at most limit of
// its events after a seq.
func (c *Client) Posted(ctx context.Context, source string, after uint64, limit int) (score.Posted, error) {
	p := Page{Limit: limit, After: strconv.FormatUint(after, 10)}
	return get[score.Posted](ctx, c, idPath("/v1/bards", source), p.Query())
}

// Format is a media type of responses.
type Format string

const (
	JSON Format = "application/json"
	Text Format = "text/plain" // tables for people
)

// Get requests any path of the API, such as "/v1/frontends", and returns the body.
func (c *Client) Get(ctx context.Context, path string, query url.Values, f Format) ([]byte, error) {
	return c.do(ctx, call{method: http.MethodGet, path: path, query: query, accept: string(f)})
}

// ScorePath returns the path of one contest, for Get; for an empty id, that of the list.
func ScorePath(contestID string) string {
	if contestID == "" {
		return "/v1/scores"
	}
	return idPath("/v1/scores", contestID)
}

// MedalsPath returns the path of a medal table or, with an organisation, of its row.
func MedalsPath(competition, organisation string) string {
	path := idPath("/v1/medals", competition)
	if organisation != "" {
		path += "/" + url.PathEscape(organisation)
	}
	return path
}

// Join adds a frontend to the group. It must run, or be started with this id later.
func (c *Client) Join(ctx context.Context, m score.NewMember) error {
	return c.request(ctx, call{method: http.MethodPost, path: "/v1/cluster/members"}, m, nil)
}

// Leave removes a frontend from the group for good. If that would endanger the group it
// is refused with a score.StatusConflict, unless force is true. It returns the group as it
// is afterwards, as far as that is known.
func (c *Client) Leave(ctx context.Context, id string, force bool) (group score.Frontends, err error) {
	r := call{method: http.MethodDelete, path: idPath("/v1/cluster/members", id), removes: true}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	body, err := c.do(ctx, r)
	if len(body) > 0 {
		err = json.Unmarshal(body, &group)
	}
	return group, err
}

// Drain has the frontend with the id send its clients and its leadership to others, so
// that it can be stopped, or ends that. A frontend that is started again is not draining.
func (c *Client) Drain(ctx context.Context, id string, undo bool) error {
	r := call{method: http.MethodPost, path: "/v1/cluster/drain"}
	body := struct {
		ID   string `json:"id"`
		Undo bool   `json:"undo"`
	}{id, undo}
	return c.request(ctx, r, body, nil)
}

// Transfer makes the frontend with the id to the master. If to is empty, the group
// chooses another frontend than the present master.
func (c *Client) Transfer(ctx context.Context, to string) error {
	// A second transfer to any other frontend might lead back to the first master.
	r := call{method: http.MethodPost, path: "/v1/cluster/transfer", nonIdempotent: to == ""}
	return c.request(ctx, r, map[string]string{"to": to}, nil)
}

// ChangeSetting changes a setting of the group, such as access.SettingPrivate.
func (c *Client) ChangeSetting(ctx context.Context, name, value string) error {
	r := call{method: http.MethodPut, path: idPath("/v1/cluster/settings", name)}
	return c.request(ctx, r, access.SettingRequest{Value: value}, nil)
}

// Settings returns the settings of the group that have a value.
func (c *Client) Settings(ctx context.Context) ([]access.Setting, error) {
	list, err := get[access.SettingList](ctx, c, "/v1/cluster/settings", nil)
	return list.Settings, err
}

// Lineage returns the lineage of the store, which the signatures of its events name.
func (c *Client) Lineage(ctx context.Context) (string, error) {
	settings, err := c.Settings(ctx)
	if err != nil {
		return "", fmt.Errorf("read the lineage of the store: %w", err)
	}
	for _, s := range settings {
		if s.Name == access.SettingLineage && score.ValidLineage(s.Value) {
			return s.Value, nil
		}
	}
	return "", score.Problemf(score.NotReady, "the store has no lineage yet, so no event can be signed for it")
}

// NewJoinToken returns a token with which up to uses frontends can join within ttl, on the
// terms.
func (c *Client) NewJoinToken(
	ctx context.Context, ttl time.Duration, uses int, terms access.Terms,
) (string, error) {
	var made access.JoinTokenResponse
	// A second request would leave a token that nobody has.
	r := call{method: http.MethodPost, path: "/v1/cluster/tokens", nonIdempotent: true}
	err := c.request(ctx, r, access.JoinTokenRequest{TTL: ttl.String(), Uses: uses, Terms: terms}, &made)
	return made.Token, err
}

// Authorities returns the group's authorities in PEM, as a frontend reports them.
func (c *Client) Authorities(ctx context.Context) ([]byte, error) {
	return c.Get(ctx, "/v1/cluster/authority", nil, JSON)
}

// RotateAuthority adds a second certificate authority to the group. After FinishRotation
// the group trusts only the new one.
func (c *Client) RotateAuthority(ctx context.Context) error { return c.rotate(ctx, false) }

// FinishRotation ends a rotation of the authority. It is refused with a
// score.StatusConflict while a member has a certificate of the old authority.
func (c *Client) FinishRotation(ctx context.Context) error { return c.rotate(ctx, true) }

func (c *Client) rotate(ctx context.Context, finish bool) error {
	r := call{method: http.MethodPost, path: "/v1/cluster/authority", nonIdempotent: true}
	return c.request(ctx, r, map[string]bool{"finish": finish}, nil)
}

// Keys returns the public keys of the bards, including revoked ones. Anybody can check
// the signatures in a timeline with them.
func (c *Client) Keys(ctx context.Context) ([]access.KeyView, error) {
	list, err := get[struct {
		Keys []access.KeyView `json:"keys"`
	}](ctx, c, "/v1/keys", nil)
	return list.Keys, err
}

// Key returns one public key by its id (score.KeyID). The problem is score.NotFound if it
// is not registered.
func (c *Client) Key(ctx context.Context, id string) (access.KeyView, error) {
	return get[access.KeyView](ctx, c, idPath("/v1/keys", id), nil)
}

// Access returns the grants, join tokens and authorities of the group.
func (c *Client) Access(ctx context.Context) (access.View, error) {
	return get[access.View](ctx, c, "/v1/access", nil)
}

// Grant gives a role to the holder of a key or, if the request names no key, of a new
// token. The token's text is in the response and nowhere else.
func (c *Client) Grant(ctx context.Context, g access.GrantRequest) (made access.GrantResponse, err error) {
	// A second request for a token, too, would leave one that nobody has.
	r := call{method: http.MethodPost, path: "/v1/access/grants", nonIdempotent: len(g.Public) == 0}
	err = c.request(ctx, r, g, &made)
	return made, err
}

// Revoke revokes a grant or a join token.
func (c *Client) Revoke(ctx context.Context, id string) error {
	r := call{method: http.MethodDelete, path: "/v1/access/grants/" + url.PathEscape(id), removes: true}
	return c.request(ctx, r, nil, nil)
}

// Audit returns a page of the audit trail: the changes of the membership and of access.
func (c *Client) Audit(ctx context.Context, p Page) (access.AuditPage, error) {
	return get[access.AuditPage](ctx, c, "/v1/audit", p.Query())
}

// Roster returns the operators and the frontends of a sworn group, as a frontend reports
// them.
func (c *Client) Roster(ctx context.Context) (access.RosterView, error) {
	return get[access.RosterView](ctx, c, "/v1/roster", nil)
}

// ChangeSigned makes a change that an operator of a sworn group has signed; see
// access.Sign. Repeating an operator's last change is harmless.
func (c *Client) ChangeSigned(ctx context.Context, change *access.SignedChange) error {
	return c.request(ctx, call{method: http.MethodPost, path: "/v1/roster/changes"}, change, nil)
}
