package client

import (
	"fmt"

	"laurel/score"

	"github.com/go-json-experiment/json"
)

// Window is the watched part of a leaderboard, with all its rows.
type Window struct {
	ContestID string                 `json:"contest_id"`
	Split     string                 `json:"split"` // "" if there is no such leaderboard
	Category  string                 `json:"category,omitzero"`
	Around    string                 `json:"around,omitzero"` // in the middle; without a mark of it there are no rows
	Total     int                    `json:"total"`           // the number of rows of the leaderboard
	Revision  uint64                 `json:"revision"`
	Rows      []score.LeaderboardRow `json:"rows"`
}

// windowEvent is a window as a stream sends it: the order of its competitors, and the
// rows that have changed since the stream last sent them.
type windowEvent struct {
	Window
	Order []string `json:"order"`
}

// windows are the last windows that one stream has sent, by contest. Its next events
// refer to them.
type windows map[string]Window

// take returns the window of an event, with the rows of the last one where the event has
// none. The first event of a stream has all rows.
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
			return w, fmt.Errorf("lists %q in the leaderboard of %s, but never sent its row", competitor, e.ContestID)
		}
		w.Rows[i] = *rows[competitor]
	}
	known[e.ContestID] = w
	w.Rows = append([]score.LeaderboardRow{}, w.Rows...) // the caller may change its copy
	return w, nil
}

// takeAll returns the windows of a snapshot, whose events have all rows.
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

// takeOne decodes an event and returns its window.
func (known windows) takeOne(data []byte) ([]Window, error) {
	var e windowEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	w, err := known.take(e)
	return []Window{w}, err
}
