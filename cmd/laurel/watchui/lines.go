package watchui

import (
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"laurel/client"
	"laurel/score"

	"github.com/go-json-experiment/json"
)

// Print writes a line for each change, and to notes what happens to the connection. It returns when the watch ends.
func Print(out, notes io.Writer, updates iter.Seq2[client.Update, error]) error {
	var b Board // for what it says of the connection
	for u, err := range updates {
		if err != nil {
			return err
		}
		now := time.Now()
		b.Take(u, now)
		if u.Kind == client.UpdateConnected || u.Kind == client.UpdateLost {
			fmt.Fprintln(notes, b.Status(now))
		}
		var text strings.Builder
		for _, r := range u.Scores {
			line := fmt.Sprintf("%d  %s  %s  %s", r.Revision, r.ContestID, Result(&r), status(&r))
			for _, s := range []string{r.Period, r.Clock} {
				if s != "" {
					line += "  " + s
				}
			}
			fmt.Fprintln(&text, plain(line))
		}
		for _, m := range u.Medals {
			fmt.Fprintln(&text, plain(medals(m)))
		}
		for i := range u.Leaderboards {
			fmt.Fprintln(&text, plain(placed(&u.Leaderboards[i])))
		}
		for _, e := range u.Timeline {
			fmt.Fprintln(&text, event(&e))
		}
		if _, err := io.WriteString(out, text.String()); err != nil {
			return err
		}
	}
	return nil
}

func medals(m score.Medals) string {
	var rows []string
	for _, r := range m.Rows {
		rows = append(rows, fmt.Sprintf("%s %d/%d/%d", r.Organisation, r.Gold, r.Silver, r.Bronze))
	}
	return fmt.Sprintf("%d  %s  medals  %s", m.Revision, m.Competition, strings.Join(rows, ", "))
}

// line is a change as PrintJSON writes it.
type line struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// PrintJSON writes a line of JSON for each change, heartbeat and change of connection: {"event":"score","data":{..}}, with the data as the frontend
// sends it, but a part of a leaderboard whole. It returns when the watch ends.
func PrintJSON(out io.Writer, updates iter.Seq2[client.Update, error]) error {
	for u, err := range updates {
		if err != nil {
			return err
		}
		var lines []line
		switch u.Kind {
		case client.UpdateHeartbeat:
			lines = append(lines, line{"heartbeat", u.Beat})
		case client.UpdateConnected:
			lines = append(lines, line{"connected", map[string]any{"url": u.Frontend, "home": u.Home, "at_home": u.AtHome}})
		case client.UpdateLost:
			lines = append(lines, line{"lost", map[string]any{"url": u.Frontend, "error": u.Err.Error(), "wait_ms": u.Wait.Milliseconds()}})
		}
		for _, r := range u.Scores {
			lines = append(lines, line{"score", r})
		}
		for _, m := range u.Medals {
			lines = append(lines, line{"medals", m})
		}
		for _, w := range u.Leaderboards {
			lines = append(lines, line{"leaderboard", w})
		}
		for _, e := range u.Timeline {
			lines = append(lines, line{"timeline", e})
		}
		var text []byte
		for _, l := range lines {
			b, err := json.Marshal(l, json.Deterministic(true))
			if err != nil {
				return err
			}
			text = append(append(text, b...), '\n')
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return nil
}
