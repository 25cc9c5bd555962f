package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client/eventstream"
	"laurel/score"
	"laurel/score/medal"
	"laurel/score/ranking"
)

// update decodes a message. ok is false if it is unknown or has nothing new.
func (s *watch) update(conn *watchConn, m eventstream.Event) (u Update, ok bool, err error) {
	u.Kind = UpdateKind(m.Name)
	switch u.Kind {
	case UpdateSnapshot:
		err = s.snapshot(conn, m.Data, &u)
	case UpdateRemoved:
		err = s.removed(m.Data, &u)
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
		if s.c.frontends.overdue() > listDelay {
			s.c.refreshInBackground(false)
		}
	default:
		return u, false, nil
	}
	switch {
	case err != nil:
		return u, false, fmt.Errorf("sent an invalid event %q: %w", m.Name, err)
	case u.Kind == UpdateHeartbeat:
		u.Sections = u.Beat.Sections
		return u, true, nil
	case u.Kind == UpdateRemoved:
		return u, len(u.Removed) > 0, nil
	}
	s.dropKnown(&u)
	news := len(u.Scores)+len(u.Medals)+len(u.Timeline)+len(u.Leaderboards) > 0
	return u, news || u.Kind == UpdateSnapshot, nil
}

func one[T any](data []byte) ([]T, error) {
	list := make([]T, 1)
	err := json.Unmarshal(data, &list[0])
	return list, err
}

func (s *watch) snapshot(conn *watchConn, data []byte, u *Update) (err error) {
	var all struct {
		Incarnation string                `json:"incarnation"`
		Former      []string              `json:"former"`
		Revision    uint64                `json:"revision"` // in the last part
		Scores      []score.Record        `json:"scores"`
		Medals      []medal.Standings     `json:"medals"`
		Timeline    []score.TimelineEvent `json:"timeline"`
		Windows     []windowEvent         `json:"leaderboards"`
		Sections    *score.Sections       `json:"sections"`
		More        bool                  `json:"more"`
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	if slices.Contains(s.former, all.Incarnation) {
		s.refused[conn.url] = time.Now().Add(formerPause)
		return fmt.Errorf("it has the incarnation %s of the store, which has ended: %s goes on without it",
			all.Incarnation, s.incarnation)
	}
	clear(conn.known) // the events of a snapshot have all rows
	if u.Leaderboards, err = conn.known.take(all.Windows); err != nil {
		return err
	}
	u.Scores, u.Medals, u.Timeline = all.Scores, all.Medals, all.Timeline
	u.More, u.Sections = all.More, all.Sections
	if u.NewStore = s.incarnation != "" && s.incarnation != all.Incarnation; u.NewStore {
		clear(s.revisions)
	}
	s.incarnation, s.former = all.Incarnation, all.Former
	for i := range all.Scores {
		conn.parts[all.Scores[i].ContestID] = true
	}
	if !all.More {
		u.Removed = s.dropGone(conn.parts, all.Revision)
		if s.query.Get("scope") == "now" {
			isNamed := func(id string) bool { return slices.Contains(s.query["contest"], id) }
			u.Dropped = slices.DeleteFunc(slices.Clone(u.Removed), isNamed)
			u.Removed = slices.DeleteFunc(u.Removed, func(id string) bool { return !isNamed(id) })
		}
		clear(conn.parts)
	}
	return nil
}

// removed reads that a contest is gone.
func (s *watch) removed(data []byte, u *Update) error {
	var gone struct {
		ContestID string `json:"contest_id"`
		Revision  uint64 `json:"revision"`
	}
	if err := json.Unmarshal(data, &gone); err != nil {
		return err
	}
	of := subject{UpdateScore, gone.ContestID}
	if have, ok := s.revisions[of]; ok && have < gone.Revision {
		delete(s.revisions, of)
		u.Removed = []string{gone.ContestID}
	}
	return nil
}

// dropGone forgets the contests that the caller has been given and that a snapshot of the
// store at a revision does not have. It returns their ids.
func (s *watch) dropGone(present map[string]bool, revision uint64) (gone []string) {
	for of, have := range s.revisions {
		if of.kind == UpdateScore && !present[of.id] && have <= revision {
			delete(s.revisions, of)
			gone = append(gone, of.id)
		}
	}
	slices.Sort(gone)
	return gone
}

// subject is what has revisions of its own: a record, a timeline or a window.
type subject struct {
	kind UpdateKind
	id   string
}

// dropKnown removes from u what the caller has been given, and notes the rest, so that no
// record goes back to a lower revision and no event comes twice.
func (s *watch) dropKnown(u *Update) {
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
}

// windowEvent is a window as a stream sends it: the order of its competitors, and the
// rows that have changed since the stream last sent them.
type windowEvent struct {
	Window
	Order []string `json:"order"`
}

// windows are the last windows of a stream, by contest. Its next events refer to them.
type windows map[string]Window

// take returns the windows of some events, with the rows of the last one where the event
// has none. The first event of a stream has all rows.
func (known windows) take(events []windowEvent) (list []Window, err error) {
	for _, e := range events {
		rows := map[string]ranking.Row{}
		for _, row := range slices.Concat(known[e.ContestID].Rows, e.Rows) {
			rows[row.Competitor] = row
		}
		w := e.Window
		w.Rows = make([]ranking.Row, len(e.Order))
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
