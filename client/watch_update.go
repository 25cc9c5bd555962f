package client

import (
	"fmt"
	"slices"

	"laurel/client/internal/sse"
	"laurel/score"
	"laurel/score/medal"

	"github.com/go-json-experiment/json"
)

// update decodes a message. ok is false for an unknown message and for one with nothing
// new, which is no error.
func (s *watch) update(conn *watchConn, m sse.Event) (u Update, ok bool, err error) {
	u.Kind = UpdateKind(m.Name)
	switch u.Kind {
	case UpdateSnapshot:
		err = s.snapshot(conn, m.Data, &u)
	case UpdateScore:
		u.Scores, err = one[score.Record](m.Data)
	case UpdateMedals:
		u.Medals, err = one[medal.Standings](m.Data)
	case UpdateTimeline:
		u.Timeline, err = one[score.TimelineEvent](m.Data)
	case UpdateLeaderboard:
		var events []windowEvent
		if events, err = one[windowEvent](m.Data); err == nil {
			u.Leaderboards, err = conn.known.take(events)
		}
	case UpdateHeartbeat:
		err = json.Unmarshal(m.Data, &u.Beat)
		s.c.refreshIfOld()
	default:
		return u, false, nil
	}
	switch {
	case err != nil:
		return u, false, fmt.Errorf("sent an invalid event %q: %w", m.Name, err)
	case u.Kind == UpdateHeartbeat:
		return u, true, nil
	}
	news := s.dedup.filter(&u)
	return u, news || u.Kind == UpdateSnapshot, nil
}

func one[T any](data []byte) ([]T, error) {
	list := make([]T, 1)
	err := json.Unmarshal(data, &list[0])
	return list, err
}

func (s *watch) snapshot(conn *watchConn, data []byte, u *Update) (err error) {
	var all struct {
		Store    string                `json:"store"`
		Scores   []score.Record        `json:"scores"`
		Medals   []medal.Standings     `json:"medals"`
		Timeline []score.TimelineEvent `json:"timeline"`
		Windows  []windowEvent         `json:"leaderboards"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	clear(conn.known) // the events of a snapshot have all rows
	if u.Leaderboards, err = conn.known.take(all.Windows); err != nil {
		return err
	}
	u.Scores, u.Medals, u.Timeline = all.Scores, all.Medals, all.Timeline
	u.NewStore = s.dedup.setStore(all.Store)
	return nil
}

// dedup records the revisions that the caller of a watch has been given, so that no
// record goes back to a lower revision and no event comes twice.
type dedup struct {
	store     string
	revisions map[subject]uint64
}

// subject is what has revisions of its own: a record, a timeline or a window.
type subject struct {
	kind UpdateKind
	id   string
}

// setStore notes the store of a snapshot. It reports whether that is another one than
// before: then revisions start over.
func (s *dedup) setStore(store string) (anew bool) {
	anew = s.revisions != nil && store != s.store
	if anew {
		clear(s.revisions)
	}
	s.store = store
	return anew
}

// filter removes from u what the caller has been given, and notes the rest. It reports
// whether anything is left.
func (s *dedup) filter(u *Update) bool {
	if s.revisions == nil {
		s.revisions = map[subject]uint64{}
	}
	known := func(kind UpdateKind, id string, revision uint64) bool {
		of := subject{kind, id}
		if have, ok := s.revisions[of]; ok && revision <= have {
			return true
		}
		s.revisions[of] = revision
		return false
	}
	u.Scores = slices.DeleteFunc(u.Scores, func(r score.Record) bool {
		return known(UpdateScore, r.ContestID, r.Revision)
	})
	u.Medals = slices.DeleteFunc(u.Medals, func(m medal.Standings) bool {
		return known(UpdateMedals, m.Competition, m.Revision)
	})
	u.Timeline = slices.DeleteFunc(u.Timeline, func(e score.TimelineEvent) bool {
		return known(UpdateTimeline, e.ContestID, e.Revision)
	})
	u.Leaderboards = slices.DeleteFunc(u.Leaderboards, func(w Window) bool {
		return known(UpdateLeaderboard, w.ContestID, w.Revision)
	})
	return len(u.Scores)+len(u.Medals)+len(u.Timeline)+len(u.Leaderboards) > 0
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

// take returns the windows of some events, with the rows of the last one where the event
// has none. The first event of a stream has all rows.
func (known windows) take(events []windowEvent) (list []Window, err error) {
	for _, e := range events {
		rows := map[string]score.LeaderboardRow{}
		for _, row := range slices.Concat(known[e.ContestID].Rows, e.Rows) {
			rows[row.Competitor] = row
		}
		w := e.Window
		w.Rows = make([]score.LeaderboardRow, len(e.Order))
		for i, competitor := range e.Order {
			row, ok := rows[competitor]
			if !ok {
				return nil, fmt.Errorf("lists %q in the leaderboard of %s, but never sent its row",
					competitor, e.ContestID)
			}
			w.Rows[i] = row
		}
		known[e.ContestID] = w
		w.Rows = slices.Clone(w.Rows) // the caller may change its copy
		list = append(list, w)
	}
	return list, nil
}
