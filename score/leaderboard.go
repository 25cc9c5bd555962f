package score

// Leaderboard is a part of the marks at one split of a ranked contest, best first, as the interface gives it.
type Leaderboard struct {
	ContestID string           `json:"contest_id"`
	Split     string           `json:"split"`
	Category  string           `json:"category,omitzero"` // "": all
	Total     int              `json:"total"`             // of all rows of the board, those with an IRM too
	Rows      []LeaderboardRow `json:"rows"`
	Next      string           `json:"next"` // the parameter after of the next page, "" at the end
}

// LeaderboardRow is a competitor's place. Who has an IRM has no mark, no rank and no difference, and comes last.
type LeaderboardRow struct {
	Competitor   string   `json:"competitor"`
	Name         string   `json:"name,omitzero"` // as the contest's definition lists it
	Organisation string   `json:"organisation,omitzero"`
	Category     string   `json:"category,omitzero"`
	Mark         *Decimal `json:"mark"`
	IRM          string   `json:"irm,omitzero"`
	Rank         int      `json:"rank,omitzero"`
	RankEqual    bool     `json:"rank_equal"` // another has the same
	Diff         *Decimal `json:"diff"`       // to the first, never less than 0
}
