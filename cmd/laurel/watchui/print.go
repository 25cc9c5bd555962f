package watchui

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
)

// Print writes a line for each change to out, and one for each change of the connection
// to notes. It returns when the watch ends.
func Print(out, notes io.Writer, updates iter.Seq2[client.Update, error]) error {
	var v view // for the status of the connection
	for u, err := range updates {
		if err != nil {
			return err
		}
		now := time.Now()
		v.apply(u, now)
		if u.Kind == client.UpdateConnected || u.Kind == client.UpdateLost {
			fmt.Fprintln(notes, v.status(now))
		}
		var text strings.Builder
		if u.NewStore {
			fmt.Fprintln(&text, "another store: everything above is void")
		}
		for _, id := range u.Removed {
			fmt.Fprintln(&text, textfmt.OneLine(id+"  removed"))
		}
		if n := len(u.Dropped); n > 0 {
			fmt.Fprintf(notes,
				"contests that may have changed meanwhile, or be gone: %d; their next changes are shown\n", n)
		}
		for _, r := range u.Scores {
			fmt.Fprintln(&text, scoreLine(&r))
		}
		for _, m := range u.Medals {
			if u.Kind != client.UpdateSnapshot || len(m.Rows)+len(m.Outside) > 0 {
				fmt.Fprintln(&text, medalsLine(m))
			}
		}
		for _, w := range u.Leaderboards {
			fmt.Fprintln(&text, windowLine(w))
		}
		for _, e := range u.Timeline {
			fmt.Fprintln(&text, eventLine(&e))
		}
		if _, err := io.WriteString(out, text.String()); err != nil {
			return err
		}
	}
	return nil
}

type jsonLine struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// PrintJSON writes a line of JSON for each change, heartbeat and change of the
// connection, such as {"event":"score","data":{..}}. The data is as the frontend sends
// it, except that a window of a leaderboard is always whole. After new_store everything
// before is void. A contest that is dropped may have changed, or be gone, while there was no
// connection. It returns when the watch ends.
func PrintJSON(out io.Writer, updates iter.Seq2[client.Update, error]) error {
	for u, err := range updates {
		if err != nil {
			return err
		}
		var text bytes.Buffer
		add := func(event string, data any) {
			err = errors.Join(err, json.MarshalWrite(&text, jsonLine{event, data}, json.Deterministic(true)))
			text.WriteByte('\n')
		}
		switch u.Kind {
		case client.UpdateHeartbeat:
			add("heartbeat", u.Beat)
		case client.UpdateConnected:
			add("connected", map[string]any{"url": u.Frontend, "home": u.Home, "at_home": u.AtHome})
		case client.UpdateLost:
			add("lost", map[string]any{"url": u.Frontend, "error": u.Err.Error(), "wait_ms": u.Wait.Milliseconds()})
		}
		if u.NewStore {
			add("new_store", map[string]any{"url": u.Frontend})
		}
		for _, id := range u.Removed {
			add("removed", map[string]any{"contest_id": id})
		}
		for _, id := range u.Dropped {
			add("dropped", map[string]any{"contest_id": id})
		}
		for _, r := range u.Scores {
			add("score", r)
		}
		for _, m := range u.Medals {
			add("medals", m)
		}
		for _, w := range u.Leaderboards {
			add("leaderboard", w)
		}
		for _, e := range u.Timeline {
			add("timeline", e)
		}
		if _, writeErr := text.WriteTo(out); err != nil || writeErr != nil {
			return errors.Join(err, writeErr)
		}
	}
	return nil
}

func status(r *score.Record) string {
	s := strings.TrimSpace(r.ScheduleStatus + " " + r.ResultStatus)
	if r.Corrected {
		s += " CORRECTED"
	}
	switch {
	case r.Winner != "" && r.Decision != "":
		s += ", " + r.Winner + " won (" + r.Decision + ")"
	case r.Winner != "":
		s += ", " + r.Winner + " won"
	case r.Decision != "":
		s += ", " + r.Decision
	}
	return s
}

func scoreLine(r *score.Record) string {
	line := fmt.Sprintf("%d  %s  %s  %s", r.Revision, r.ContestID, r.Summary(), status(r))
	return textfmt.OneLine(textfmt.Join("  ", line, r.Period, r.Clock))
}

func medalsLine(m medal.Standings) string {
	var rows []string
	for _, r := range slices.Concat(m.Rows, m.Outside) {
		rows = append(rows, fmt.Sprintf("%s %d/%d/%d", r.Organisation, r.Gold, r.Silver, r.Bronze))
	}
	text := cmp.Or(strings.Join(rows, ", "), "none")
	return textfmt.OneLine(fmt.Sprintf("%d  %s  medals  %s", m.Revision, m.Competition, text))
}

func eventLine(e *score.TimelineEvent) string {
	s := fmt.Sprintf("%d  %s  %s  %s  %s", e.Revision, textfmt.Time(e.Time), e.ContestID, e.Type, e.Data)
	if e.VoidedBy != 0 {
		s += fmt.Sprintf("  voided at revision %d", e.VoidedBy)
	}
	return textfmt.OneLine(s)
}

func windowLine(w client.Window) string {
	var rows []string
	for _, r := range w.Rows {
		mark, _ := r.Text(&w.Format)
		rows = append(rows, textfmt.Join(" ", textfmt.Rank(r.Rank, r.RankEqual), r.Competitor, mark))
	}
	rows = append(rows, fmt.Sprintf("of %d", w.Total))
	return textfmt.OneLine(fmt.Sprintf("%d  %s  leaderboard  %s", w.Revision, w.ContestID, strings.Join(rows, ", ")))
}
