package client

import (
	"fmt"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// Window is the part of a leaderboard that is watched, whole.
type Window struct {
	ContestID string                 `json:"contest_id"`
	Split     string                 `json:"split"` // "" where there is no such leaderboard
	Category  string                 `json:"category,omitzero"`
	Around    string                 `json:"around,omitzero"` // whose neighbours these are; there are no rows as long as he has no mark
	Total     int                    `json:"total"`           // of all rows of the board
	Revision  uint64                 `json:"revision"`
	Rows      []score.LeaderboardRow `json:"rows"`
}

// windowEvent is a window as a stream tells it: who is in it, and the rows that are not as the stream said before.
type windowEvent struct {
	Window
	Order []string `json:"order"`
}

// windows are those that one stream has told of, by contest. What it says next stands on them.
type windows map[string]Window

// take puts together a window from what the stream says now and has said before. The first of a stream is whole.
func (known windows) take(e windowEvent) (Window, error) {
	rows := map[string]*score.LeaderboardRow{}
	for _, list := range [][]score.LeaderboardRow{known[e.ContestID].Rows, e.Rows} {
		for i := range list {
			rows[list[i].Competitor] = &list[i]
		}
	}
	w := e.Window
	w.Rows = make([]score.LeaderboardRow, len(e.Order))
	for i, competitor := range e.Order {
		if rows[competitor] == nil {
			return w, fmt.Errorf("names %q in the leaderboard of %s, and never said what is known of it", competitor, e.ContestID)
		}
		w.Rows[i] = *rows[competitor]
	}
	known[e.ContestID] = w
	w.Rows = append([]score.LeaderboardRow{}, w.Rows...) // the caller may do with it what it likes
	return w, nil
}

// takeAll puts together the windows of a snapshot, which has everything.
func (known windows) takeAll(list []windowEvent) (all []Window, err error) {
	clear(known)
	for _, e := range list {
		w, err := known.take(e)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// takeOne puts together the window of an event.
func (known windows) takeOne(data []byte) ([]Window, error) {
	var e windowEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	w, err := known.take(e)
	return []Window{w}, err
}
