package score

// quickForm appends the data of what nearly every event is with its members in the order of the signed form, as the sorter would put them; false if that is
// not for a quick writer.
func quickForm(b []byte, d Data) (_ []byte, ok bool) {
	w := quickWriter{append(b, '{'), true}
	switch d := d.(type) {
	case *ScorePlay:
		if d == nil || d.Delta == nil || !bounded(*d.Delta) || !d.Result.inOrder() || !d.StatsDelta.inOrder() {
			return b, false
		}
		w.given("action", d.Action)
		w.given("athlete", d.Athlete)
		w.given("clock", d.Clock)
		w.given("comment", d.Comment)
		w.text("competitor", d.Competitor)
		w.decimal("delta", *d.Delta)
		w.given("period", d.Period)
		w.totals("result", d.Result)
		w.totals("stats_delta", d.StatsDelta)
	case *ResultSet:
		if d == nil || d.Mark != nil && !bounded(*d.Mark) {
			return b, false
		}
		w.given("category", d.Category)
		w.given("comment", d.Comment)
		w.text("competitor", d.Competitor)
		w.given("irm", d.IRM)
		if d.Mark != nil {
			w.decimal("mark", *d.Mark)
		}
		w.given("organisation", d.Organisation)
		w.given("reason", d.Reason)
		w.text("split", d.Split)
	case *ContestStatus:
		if d == nil {
			return b, false
		}
		w.given("clock", d.Clock)
		w.given("comment", d.Comment)
		w.given("period", d.Period)
		w.given("result_status", d.ResultStatus)
		w.given("schedule_status", d.ScheduleStatus)
	default:
		return b, false
	}
	return append(w.b, '}'), w.ok
}

// inOrder tells whether the codes are ASCII, of which the order is certain, and stand in it, each once.
func (t Totals) inOrder() bool {
	for i := range t {
		for j := range len(t[i].Code) {
			if c := t[i].Code[j]; c < ' ' || c > '~' || c == '"' || c == '\\' {
				return false
			}
		}
		if i > 0 && t[i-1].Code >= t[i].Code || !bounded(t[i].Value) {
			return false
		}
	}
	return true
}

// bounded: a decimal beyond its bound has more digits than the signed form takes.
func bounded(d Decimal) bool { return d <= MaxDecimal && d >= -MaxDecimal }
