package admin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
)

// Autopilot shows how the members are and which of them the master removes. Only the master
// knows.
func (h *Handlers) Autopilot(_ context.Context, r *handler.Request) (handler.Response, error) {
	a := h.Membership.Autopilot()
	return r.Result(a, func(b *bytes.Buffer) { autopilotText(b, a) })
}

func autopilotText(b *bytes.Buffer, a score.Autopilot) {
	after, least := "after "+a.CleanUpAfter, "no voter is removed"
	if a.CleanUpAfter == "0s" {
		after = "never"
	}
	if a.MinVoters > 0 {
		least = fmt.Sprintf("at least %d voters stay", a.MinVoters)
	}
	fmt.Fprintf(b, "dead members are removed %s, when the group was well for %s; %s\n", after, a.Stabilize, least)
	fmt.Fprintf(b, "all healthy: %s; the group stands the loss of %s\n\n", yesNo(a.Healthy),
		votersText(a.FailureTolerance))
	t := textfmt.NewTable("ID", "VOTE", "HEALTHY", "FOR", "LAST CONTACT", "DEAD", "KEPT BECAUSE")
	for _, m := range a.Members {
		since := "-"
		if m.Healthy {
			since = durationText(m.HealthyMS)
		}
		t.Row(m.ID, yesNo(m.Voter), yesNo(m.Healthy), since, durationText(m.LastContactMS)+" ago", yesNo(m.Dead),
			cmp.Or(m.Kept, "-"))
	}
	t.Write(b)
}

// deadText says who is dead.
func deadText(b *bytes.Buffer, frontends []score.Frontend) {
	for _, m := range frontends {
		if m.Dead {
			id := textfmt.OneLine(m.ID)
			fmt.Fprintf(b, "\n%s has not answered for %s: laurel cluster leave %s removes it\n", id,
				durationText(m.LastContactMS), id)
		}
	}
}

func durationText(ms int64) string {
	return score.FormatDuration((time.Duration(ms) * time.Millisecond).Truncate(time.Second))
}

func votersText(n int) string {
	if n == 1 {
		return "1 voter"
	}
	return fmt.Sprint(n, " voters")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
