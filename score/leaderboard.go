package score

// Leaderboard is a page of the marks at one split of a ranked contest, best first.
type Leaderboard struct {
	ContestID string           `json:"contest_id"`
	Split     string           `json:"split"`
	Category  string           `json:"category,omitzero"` // "" for all
	Total     int              `json:"total"`             // rows of the whole leaderboard, with IRMs
	Rows      []LeaderboardRow `json:"rows"`
	Next      string           `json:"next"` // parameter after of the next page; "" at the end
}

// LeaderboardRow is one competitor in a leaderboard. A competitor with an IRM has no
// mark, no rank and no difference, and is listed last.
type LeaderboardRow struct {
	Competitor   string   `json:"competitor"`
	Name         string   `json:"name,omitzero"` // from the contest's definition
	Organisation string   `json:"organisation,omitzero"`
	Category     string   `json:"category,omitzero"`
	Mark         *Decimal `json:"mark"`
	IRM          string   `json:"irm,omitzero"`
	Rank         int      `json:"rank,omitzero"`
	RankEqual    bool     `json:"rank_equal"` // another competitor has the same rank
	Diff         *Decimal `json:"diff"`       // to the first, never negative
}
