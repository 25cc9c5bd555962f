package watchui

import (
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"laurel/client"

	"github.com/go-json-experiment/json"
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
		for i := range u.Scores {
			fmt.Fprintln(&text, scoreLine(&u.Scores[i]))
		}
		for _, m := range u.Medals {
			fmt.Fprintln(&text, medalsLine(m))
		}
		for i := range u.Leaderboards {
			fmt.Fprintln(&text, windowLine(&u.Leaderboards[i]))
		}
		for i := range u.Timeline {
			fmt.Fprintln(&text, eventLine(&u.Timeline[i]))
		}
		if _, err := io.WriteString(out, text.String()); err != nil {
			return err
		}
	}
	return nil
}

// jsonLine is a change as PrintJSON writes it.
type jsonLine struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// PrintJSON writes a line of JSON for each change, heartbeat and change of the
// connection, such as {"event":"score","data":{..}}. The data is as the frontend sends
// it, except that a window of a leaderboard is always whole. It returns when the watch
// ends.
func PrintJSON(out io.Writer, updates iter.Seq2[client.Update, error]) error {
	for u, err := range updates {
		if err != nil {
			return err
		}
		var lines []jsonLine
		switch u.Kind {
		case client.UpdateHeartbeat:
			lines = append(lines, jsonLine{"heartbeat", u.Beat})
		case client.UpdateConnected:
			data := map[string]any{"url": u.Frontend, "home": u.Home, "at_home": u.AtHome}
			lines = append(lines, jsonLine{"connected", data})
		case client.UpdateLost:
			data := map[string]any{"url": u.Frontend, "error": u.Err.Error(), "wait_ms": u.Wait.Milliseconds()}
			lines = append(lines, jsonLine{"lost", data})
		}
		for _, r := range u.Scores {
			lines = append(lines, jsonLine{"score", r})
		}
		for _, m := range u.Medals {
			lines = append(lines, jsonLine{"medals", m})
		}
		for _, w := range u.Leaderboards {
			lines = append(lines, jsonLine{"leaderboard", w})
		}
		for _, e := range u.Timeline {
			lines = append(lines, jsonLine{"timeline", e})
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
